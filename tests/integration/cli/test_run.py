"""`krakenonce run`: programs that do not know krakenonce, in processes of their own, against the fake Kraken."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.testing import FakeAccount

ROOT = Path(__file__).parents[3]
BOT = Path(__file__).parent / "programs" / "bot.py"


class Runner:
    """Runs programs under `krakenonce run` with the keys of a fake account."""

    def __init__(self, fake: FakeKraken, account: FakeAccount, url: str, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN", "PYTHON"))}
        self.env = ours | {
            "KRAKENONCE_STATE_DIR": str(folder / "state"),
            "TEST_KEY": account.key,
            "TEST_SECRET": account.secret,
            "TEST_URL": url,
        }

    def start(self, *command: str, options: tuple[str, ...] = (), **env: str) -> subprocess.Popen[str]:
        """Start a command."""
        words = [sys.executable, "-m", "krakenonce", "run", *options, "--", *command]
        env = self.env | {"PYTHONPATH": str(ROOT / "src")} | env
        return subprocess.Popen(
            words, env=env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *command: str, options: tuple[str, ...] = (), **env: str) -> tuple[int, str, list[str]]:
        """Run a command to its end; return its exit code, what it printed, and the lines on stderr."""
        with self.start(*command, options=options, **env) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err.splitlines()

    def bot(self, job: str) -> tuple[int, list[str]]:
        """Run one of the jobs of the program; return how many calls it made, and the lines on stderr."""
        code, out, lines = self.run(sys.executable, str(BOT), job)
        assert code == 0, lines
        return json.loads(out), lines


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """Runs programs whose calls overtake each other."""
    fake = FakeKraken()
    account = fake.add_account("bot", balances={"ZUSD": "100"})
    with FakeKrakenServer(fake, latency=0.002, jitter=0.002) as server:
        yield Runner(fake, account, server.url, tmp_path)


def counted(lines: list[str]) -> int:
    """Return how many calls the last line says."""
    found = re.search(r"krakenonce: (\d+) private calls? went through", lines[-1])
    assert found, lines
    return int(found[1])


@pytest.mark.parametrize("job", ["with_krakenex", "with_ccxt", "with_ccxt_async", "with_sdk"])
def test_a_program_that_does_not_know_krakenonce_is_guarded(runner: Runner, job: str) -> None:
    """Each call has a nonce of ours, also where a subclass sets a nonce of its own, and the summary counts them."""
    made, lines = runner.bot(job)
    assert [len(str(arrival.nonce)) for arrival in runner.fake.accepted()] == [19] * made
    assert counted(lines) == made == len(runner.fake.arrivals)


def test_all_processes_of_a_program_share_the_turns(runner: Runner) -> None:
    """Subprocesses and spawned, forked and fork-server workers: no call is refused, and all are counted."""
    made, lines = runner.bot("in_children")
    assert runner.fake.invalid_nonces() == []
    assert len(runner.fake.accepted()) == made
    assert counted(lines) == made


def test_spawned_workers_are_guarded(runner: Runner) -> None:
    """A spawned worker begins as a new interpreter."""
    made, _ = runner.bot("spawned")
    assert [len(str(arrival.nonce)) for arrival in runner.fake.accepted()] == [19] * made


def test_the_first_line_says_what_is_guarded_and_where_the_state_is(runner: Runner, tmp_path: Path) -> None:
    """A relative --state means the same directory wherever the program goes."""
    script = "import os; os.chdir('/'); print(os.environ['KRAKENONCE_STATE_DIR'])"
    _, out, lines = runner.run(sys.executable, "-c", script, options=("--state", "here"))
    assert out.strip() == f"file:{tmp_path / 'here'}"
    first = next(line for line in lines if "are guarded" in line)
    assert "krakenex, ccxt, python-kraken-sdk" in first
    assert first.endswith(f"state: {tmp_path / 'here'}")


def test_a_program_without_a_client_is_told_what_to_do(runner: Runner) -> None:
    """Nothing of it is touched, no client is imported, and the last line names the adapter and the gateway."""
    _, lines = runner.bot("nothing")
    assert lines[-1].startswith("krakenonce: NOTHING was guarded")
    assert "docs/how-to/write-an-adapter.md" in lines[-1]
    assert "docs/how-to/run-the-gateway.md" in lines[-1]


def test_the_python_programs_of_a_shell_script_are_guarded(runner: Runner) -> None:
    """The command need not be Python."""
    code, _, lines = runner.run("sh", "-c", f"{sys.executable} {BOT} with_krakenex; exit 7")
    assert code == 7
    assert counted(lines) == len(runner.fake.accepted()) == 5


def test_a_command_that_starts_no_python_is_told_so(runner: Runner) -> None:
    """There was nothing to guard."""
    code, out, lines = runner.run("echo", "-n", "hello", "--state")
    assert (code, out) == (0, "hello --state")
    assert "no Python process has started that could be guarded" in lines[-1]


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-I", "bot.py"),
        (sys.executable, "-W", "error", "-sE", "-m", "bot"),
        ("env", "A=1", sys.executable, "-BS", "bot.py"),
        ("./isolated",),
    ],
    ids=lambda command: " ".join(map(os.path.basename, command)),
)
def test_a_python_that_would_ignore_us_is_not_started(runner: Runner, tmp_path: Path, command: tuple[str, ...]) -> None:
    """With -I, -E or -S, also in the first line of a script, nothing would be guarded: exit code 2, and why."""
    script = tmp_path / "isolated"
    script.write_text(f"#!{sys.executable} -I\nprint('started')\n", encoding="utf-8")
    script.chmod(0o700)
    (tmp_path / "bot.py").write_text("print('started')\n", encoding="utf-8")
    code, out, (line,) = runner.run(*command)
    assert (code, out) == (2, "")
    assert "does not read PYTHONPATH" in line


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("subprocess.run([sys.executable, '-I', '-c', '5'])", "with -I"),
        ("os.system(sys.executable + ' -E -c 5')", "with -E"),
        ("subprocess.run(sys.executable + ' -S -c 5', shell=True)", "with -S"),
        ("subprocess.run([sys.executable, '-c', '5'], env={})", "an environment without our PYTHONPATH"),
        ("os.spawnve(os.P_WAIT, sys.executable, ['python', '-c', '5'], {})", "an environment without our PYTHONPATH"),
        ("os.environ.pop('PYTHONPATH')", "it has changed PYTHONPATH"),
    ],
)
def test_a_child_that_cannot_be_guarded_is_warned_about(runner: Runner, start: str, why: str) -> None:
    """It is started all the same, since it may have nothing to do with Kraken; the warning says why."""
    code, out, lines = runner.run(sys.executable, "-c", f"import os, subprocess, sys; {start}; print(1)")
    assert (code, out.strip()) == (0, "1")
    (warning,) = [line for line in lines if "warning" in line]
    assert why in warning


def test_ordinary_children_are_not_warned_about(runner: Runner) -> None:
    """Neither other programs, nor Python with our environment."""
    script = (
        "import os, subprocess, sys; subprocess.run(['true', '-I'], env={}); "
        "subprocess.run([sys.executable, '-c', '5', '-I'], env=dict(os.environ)); os.system('true')"
    )
    _, _, lines = runner.run(sys.executable, "-c", script)
    assert [line for line in lines if "warning" in line] == []


def test_a_sitecustomize_of_the_user_still_runs(runner: Runner, tmp_path: Path) -> None:
    """It stands further back in PYTHONPATH, and is the module that the program imports."""
    (tmp_path / "sitecustomize.py").write_text("ANSWER = 42\n", encoding="utf-8")
    path = os.pathsep.join((str(ROOT / "src"), str(tmp_path)))
    script = "import sitecustomize; print(sitecustomize.ANSWER); import krakenex; krakenex.API().close()"
    code, out, lines = runner.run(sys.executable, "-c", script, PYTHONPATH=path)
    assert (code, out.strip()) == (0, "42")
    assert lines[-1].endswith("clients guarded: krakenex 1")


def test_a_client_that_the_program_guards_itself_keeps_its_manager(runner: Runner, tmp_path: Path) -> None:
    """Its own line is not undone, and its calls are counted, also those of a client that is not known here."""
    script = (
        "import os, krakenex, krakenonce\n"
        "api = krakenonce.guard(krakenex.API(os.environ['TEST_KEY'], os.environ['TEST_SECRET']), "
        f"krakenonce.NonceManager({str(tmp_path / 'other')!r}))\n"
        "api.uri = os.environ['TEST_URL']\n"
        "assert api.query_private('Balance')['error'] == []\n"
        "class Client: pass\n"
        "def adapter(client, turns):\n"
        "    with turns.lane('key'): pass\n"
        "krakenonce.guard(Client(), adapter=adapter)\n"
    )
    code, _, lines = runner.run(sys.executable, "-c", script)
    assert (code, counted(lines)) == (0, 2), lines
    assert (tmp_path / "other").exists()


def test_a_client_that_its_constructor_guards_keeps_its_manager(runner: Runner, tmp_path: Path) -> None:
    """What a subclass guards while it is made is not guarded again with our manager."""
    script = (
        "import os, krakenex, krakenonce\n"
        "class Mine(krakenex.API):\n"
        "    def __init__(self):\n"
        "        super().__init__(os.environ['TEST_KEY'], os.environ['TEST_SECRET'])\n"
        f"        krakenonce.guard(self, krakenonce.NonceManager({str(tmp_path / 'other')!r}))\n"
        "api = Mine()\n"
        "api.uri = os.environ['TEST_URL']\n"
        "assert api.query_private('Balance')['error'] == []\n"
    )
    code, _, lines = runner.run(sys.executable, "-c", script)
    assert (code, counted(lines)) == (0, 1), lines
    assert (tmp_path / "other").exists()
    assert not (tmp_path / "state").exists()


def test_a_program_in_another_environment_is_guarded(runner: Runner, tmp_path: Path) -> None:
    """A virtual environment without krakenonce uses ours; with a console script of its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (library,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (library / "krakenex").mkdir()
    (library / "krakenex" / "__init__.py").write_text("from krakenex.api import API\n", encoding="utf-8")
    (library / "krakenex" / "api.py").write_text(
        "class API:\n session = None\n def query_private(self): pass\n _query = _nonce = query_private\n",
        encoding="utf-8",
    )
    script = tmp_path / "venv" / "bin" / "bot"
    script.write_text(
        f"#!{python}\nimport krakenex, sys\nfrom krakenonce import __file__ as ours\nkrakenex.API()\nprint(ours)\n",
        encoding="utf-8",
    )
    script.chmod(0o700)
    code, out, lines = runner.run(str(script))
    assert (code, lines[-1][-10:]) == (0, "krakenex 1"), lines
    assert out.strip() == str(ROOT / "src" / "krakenonce" / "__init__.py")


def test_another_program_with_the_name_of_a_client_is_left_alone(runner: Runner, tmp_path: Path) -> None:
    """Nor another version of it, which makes its calls in another way."""
    (tmp_path / "ziwia").mkdir()
    (tmp_path / "ziwia" / "api.py").write_text("class Api: private = staticmethod(print)\n", encoding="utf-8")
    code, out, lines = runner.run(sys.executable, "-c", "import ziwia.api; ziwia.api.Api.private('here')")
    assert (code, out) == (0, "here\n"), lines
    assert lines[-1].startswith("krakenonce: NOTHING was guarded")


def test_calls_of_a_killed_process_are_counted(runner: Runner) -> None:
    """The exit code says which signal it was."""
    code, _, lines = runner.run(sys.executable, str(BOT), "killed")
    assert code == 128 + signal.SIGKILL
    assert counted(lines) == len(runner.fake.accepted()) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_signal_is_passed_on(runner: Runner, number: signal.Signals) -> None:
    """The program handles it as without us, and its exit code is ours."""
    script = (
        "import os, signal, sys, time\n"
        "for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):\n"
        "    signal.signal(each, lambda number, _: (os.write(1, b'got %d' % number), sys.exit(9)))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.05)\n"  # not pause(): the signal may come just before it
    )
    with runner.start(sys.executable, "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert out == f"got {int(number)}", err
    assert process.returncode == 9
    assert "NOTHING was guarded" in err.splitlines()[-1]


def test_ctrl_c_ends_a_program_as_without_us(runner: Runner) -> None:
    """It gets KeyboardInterrupt, and the summary follows; the exit code is that of a program that SIGINT has ended."""
    script = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)"
    with runner.start(sys.executable, "-c", script) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert "krakenonce: NOTHING was guarded" in err.splitlines()[-1]


def test_a_command_that_is_not_there_is_told(runner: Runner) -> None:
    """The exit codes are those of a shell, and no summary pretends that something ran."""
    code, _, lines = runner.run("no-such-program")
    assert code == 127
    assert lines[-1] == "krakenonce: no-such-program was not found; nothing was started"
    code, _, lines = runner.run(str(BOT))
    assert code == 126
    assert lines[-1].endswith("could not be started (Permission denied); nothing was started")


def test_a_state_of_one_process_is_refused(runner: Runner) -> None:
    """Each process would have nonces of its own."""
    code, _, (line,) = runner.run("echo", options=("--state", "memory:"))
    assert code == 1
    assert "memory:" in line
