"""Plant each bug in a copy of the tree, and see whether the test that is named for it fails."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prove.campaign import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prove.campaign import Figures, Trial
    from prove.planted.bug import Planted

__all__ = ["ROOT", "check_fit", "plant"]

ROOT = Path(__file__).parents[2]
_COPIED = ("src", "tests", "bot", "prove", "docs", "deploy", "pyproject.toml")
_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".run-*")  # the copies themselves are in the latter
_AT_ONCE = 4  # most tests wait for processes
# Of what it prints only the end is shown, so what failed comes last.
_PYTEST = ("-m", "pytest", "-q", "-x", "-rpfE", "-p", "no:cacheprovider", "-p", "no:xdist")
_MAX_WAIT = 60.0  # seconds for one test that does not hang
_CLUMSY = re.compile(r"^(?:E +)?(?:Name|Import|Syntax|UnboundLocal|Attribute)Error\b", re.MULTILINE)
_WHERE = (
    "import subprocess, sys, krakenonce; print(krakenonce.__file__, flush=True);"
    "subprocess.run([sys.executable, '-c', 'import krakenonce; print(krakenonce.__file__)'], check=True)"
)


def plant(trial: Trial, bugs: Sequence[Planted], root: Path = ROOT) -> Figures:
    """Plant bugs, one at a time in each of a few copies; raise Broken for those that no test has noticed."""
    for bug in bugs:
        check_fit(bug, root)
    shares = [share for share in (bugs[part::_AT_ONCE] for part in range(_AT_ONCE)) if share]
    copies = [TreeCopy(root, trial.directory / f"copy{part}", trial.seed) for part in range(len(shares))]
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        missed = [line for lines in workers.map(TreeCopy.work, copies, shares) for line in lines]
    if missed:
        raise Broken("\n".join((f"{len(missed)} of {len(bugs)} planted bugs were not caught:", *missed)))
    promises = {bug.promise for bug in bugs if isinstance(bug.promise, int)}
    return {"bugs planted and caught": len(bugs), "tests": len({bug.test for bug in bugs}), "promises": len(promises)}


def check_fit(bug: Planted, root: Path = ROOT) -> str:
    """Return the text of the file with the bug in it. Raises Broken if it does not fit any more."""
    path = root / bug.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(bug.was) != 1:
        raise Broken(
            f"the planted bug {bug.name!r} no longer fits {bug.file}, where its text is {text.count(bug.was)} times: "
            "bring it up to date"
        )
    changed = text.replace(bug.was, bug.becomes)
    if path.suffix != ".py":  # of the status page
        return changed
    try:
        compile(changed, bug.file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Broken(f"the planted bug {bug.name!r} makes {bug.file} no Python: {error}") from None
    return changed


class Ended(NamedTuple):
    """How a run of pytest ended. The code is None if it had to be killed."""

    code: int | None
    output: str

    def says(self, word: str, test: str) -> bool:
        """Whether *test*, or one set of its parameters, is reported as PASSED or FAILED."""
        return re.search(rf"^{word} {re.escape(test)}(\[| |$)", self.output, re.MULTILINE) is not None

    @property
    def end(self) -> str:
        """Its last lines."""
        return "\n".join(f"        {line}" for line in self.output.rstrip().splitlines()[-12:])


class TreeCopy:
    """A copy of the tree in which bugs are planted.

    Args:
        root: The tree.
        place: Where the copy will be.
        seed: For the tests that draw by chance.
    """

    def __init__(self, root: Path, place: Path, seed: int) -> None:
        self._place = place
        self._seed = seed
        for name in _COPIED:
            source = root / name
            if source.is_dir():
                shutil.copytree(source, place / name, ignore=_NOT_COPIED)
            elif source.exists():
                shutil.copy2(source, place / name)
        self._env = {**os.environ, "PYTHONPATH": str(place / "src"), "PYTHONUNBUFFERED": "1"}
        self._env.pop("PYTHONDONTWRITEBYTECODE", None)  # or every run would compile everything again

    def work(self, bugs: Sequence[Planted]) -> list[str]:
        """Plant these bugs, one after the other; return a line for each that was not caught."""
        self._check_whose_code_runs()
        self._check_sound(bugs)
        return [line for line in map(self._look, bugs) if line]

    def _check_whose_code_runs(self) -> None:
        """An installed krakenonce must not win over the copy, nor in a process that a test starts."""
        command = [sys.executable, "-c", _WHERE]
        shown = subprocess.run(command, cwd=self._place, env=self._env, capture_output=True, text=True, check=True)
        expected = str(self._place / "src" / "krakenonce" / "__init__.py")
        if shown.stdout.split("\n") != [expected, expected, ""]:
            raise Broken(f"the copy's code is not what runs, but {shown.stdout!r}")

    def _check_sound(self, bugs: Sequence[Planted]) -> None:
        """Without a bug all of the tests must pass, and in time. Otherwise a failure would prove nothing."""
        tests = sorted({bug.test for bug in bugs})
        ended = self._pytest(tests, _MAX_WAIT, max_wait=_MAX_WAIT * len(tests))
        wanting = [test for test in tests if not ended.says("PASSED", test)]
        if ended.code != 0 or wanting:
            some = ", ".join(wanting[:5]) + (f" and {len(wanting) - 5} more" if len(wanting) > 5 else "")
            raise Broken(f"without a planted bug, these do not pass: {some or '-'}\n{ended.end}")
        for bug in bugs:
            if bug.hangs and self._pytest([bug.test], bug.hangs / 2).code != 0:
                raise Broken(f"without a planted bug, {bug.test} takes so long that it might seem to hang")

    def _look(self, bug: Planted) -> str | None:
        with self._planted(bug):
            ended = self._pytest([bug.test], bug.hangs or _MAX_WAIT, "thread" if bug.hangs else "signal")
        why = _why_not_caught(bug, ended)
        return why and f"    {bug.name} ({bug.file}): {bug.test} {why}\n{ended.end}"

    @contextlib.contextmanager
    def _planted(self, bug: Planted) -> Iterator[None]:
        path = self._place / bug.file
        sound, times = path.read_bytes(), path.stat()
        path.write_text(check_fit(bug, self._place), encoding="utf-8")
        # Another time than the sound file's, or Python would take what it has compiled from that.
        os.utime(path, (times.st_atime, times.st_mtime + 60))
        try:
            yield
        finally:
            path.write_bytes(sound)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _pytest(self, tests: list[str], timeout: float, method: str = "signal", max_wait: float | None = None) -> Ended:
        """Run tests; *timeout* is for each, and *max_wait* for all: a thread that hangs outlives its test."""
        options = (
            f"--timeout={timeout}",
            f"--timeout-method={method}",
            f"--hypothesis-seed={self._seed}",
            f"--basetemp={self._place / 'tmp'}",  # every other run of pytest cleans up in the usual place
        )
        # What is compiled from a planted bug is not kept.
        env = self._env if max_wait else {**self._env, "PYTHONDONTWRITEBYTECODE": "1"}
        output = self._place / "output"
        with output.open("wb") as out:
            pytest = subprocess.Popen(
                [sys.executable, *_PYTEST, *options, *tests],
                cwd=self._place,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = pytest.wait(max_wait or timeout + 10)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with contextlib.suppress(ProcessLookupError):  # what a test started and did not end
                    os.killpg(pytest.pid, signal.SIGKILL)
                pytest.wait()
        return Ended(code, output.read_text(encoding="utf-8", errors="replace"))


def _why_not_caught(bug: Planted, ended: Ended) -> str | None:
    if ended.code == 0:
        return "passes all the same"
    timed_out = "Failed: Timeout" in ended.output or "+ Timeout +" in ended.output
    if (ended.code is None or timed_out) and not bug.hangs:
        return "does not end; set hangs=, if that is what the bug does"
    if ended.code not in (1, None) or not (ended.says("FAILED", bug.test) or timed_out):
        return f"does not fail, but pytest ends with {ended.code}"
    if _CLUMSY.search(ended.output):
        return "only finds that the planted code cannot run"
    return None
