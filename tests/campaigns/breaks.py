"""Breaks of the file backend, one line each, that the campaigns have to notice."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce import rule
from krakenonce.backends.file import filesystem, mark, recovery
from krakenonce.backends.file.mark_file import MarkFile
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.backends.file.scope_files import ScopeFiles

if TYPE_CHECKING:
    import pytest

__all__ = ["BREAKS", "Break"]


class Break(NamedTuple):
    """One line of the file backend that is replaced by another.

    Args:
        name: What is wrong then.
        owner: The module or class.
        function: The function in it.
        line: What is there, once.
        broken: What is there instead.
        caught: The scenario that shows it, or the seed with which the state machine finds it.
        first: Of that scenario, the system call to begin with: a crash before it shows nothing.
    """

    name: str
    owner: Any
    function: str
    line: str
    broken: str
    caught: str | int = 0
    first: int = 1

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Break the file backend until the test is over."""
        function = getattr(self.owner, self.function)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.line) == 1, f"{self.line!r} is not there exactly once in {self.function}"
        names: dict[str, Any] = {}
        module = vars(sys.modules[function.__module__])
        exec(compile(source.replace(self.line, self.broken), self.name, "exec"), module, names)  # noqa: S102 - the break
        ours = [module for name, module in sys.modules.items() if name.startswith("krakenonce.")]
        for each in {self.owner, *(module for module in ours if vars(module).get(self.function) is function)}:
            monkeypatch.setattr(each, self.function, names[self.function])


BREAKS = [
    Break(
        "nothing is synced", MarkFile, "_write_durably", "sync(self._fd)", "pass", "the first nonce in a new directory"
    ),
    Break(
        "the names are not synced",
        OpenFiles,
        "sync_names",
        "os.fsync(self._directory)",
        "pass",
        "the first nonce in a new directory",
    ),
    Break(
        "the one above is not synced",
        filesystem,
        "make_directory",
        "sync_directory(directory.parent)",
        "pass",
        "the first nonce in a new directory",
    ),
    Break(
        "the mark is not raised",
        ScopeFiles,
        "_advance",
        " or nonce > self._mark.own.mark or now_ns - state.anchor.wall_ns > MARK_STEP",
        "",
        "the first nonce in a new directory",
    ),
    Break(
        "a new file has the old mark",
        MarkFile,
        "read",
        "own.file == (self._inode, record.file_id)",
        "own.file[0] == self._inode",
        "the mark is deleted and made again by a process that is killed",
        first=11,
    ),
    Break(
        "only one slot is written",
        MarkFile,
        "raise_above",
        "self._write_durably(second, slot_offset(slots[1]), not_written)",
        "pass",
        "the first nonce in a new directory",
    ),
    Break(
        "the sure slot is written first",
        mark,
        "slots_in_writing_order",
        "zero >= one",
        "zero <= one",
        "a restart",
        first=11,
    ),
    Break(
        "the older slot passes as the one in doubt",
        mark,
        "_doubt",
        "record.sequence",
        "-record.sequence",
        "a restart",
        first=11,
    ),
    Break("which slot was first is forgotten", mark, "_doubt", "record.which", "0", "a restart", first=15),
    Break(
        "an old nonce file is trusted while the mark is raised",
        MarkFile,
        "raise_above",
        "old_base=last or 0",
        "old_base=0",
        "a restart after a reboot with an old nonce file",
    ),
    Break(
        "the mark is what the nonce is",
        MarkFile,
        "raise_above",
        "mark_for(nonce)",
        "nonce - 1",
        "the first nonce in a new directory",
    ),
    Break(
        "the mark goes down",
        MarkFile,
        "raise_above",
        "max(mark_for(nonce), before.mark if before else 0)",
        "mark_for(nonce)",
        "a floor beyond the mark",
    ),
    Break(
        "a mark that was read is trusted",
        ScopeFiles,
        "_advance_slowly",
        "if nonce > self._mark.own.mark:",
        "if nonce > max([self._mark.own.mark, *(record.mark for record in records if record)]):",
        "the first nonce in a new directory",
    ),
    Break(
        "a directory that was found is trusted",
        filesystem,
        "make_directory",
        "sync_directory(path.parent)",
        "pass",
        "the first nonce in a new directory",
    ),
    Break(
        "the nonce file is trusted after a reboot",
        recovery,
        "last_issued",
        "if not same_boot:",
        "if False:",
        "the mark is raised",
    ),
    Break(
        "the nonce file is not compared with the mark",
        recovery,
        "last_issued",
        "base <= value <= mark for base",
        "True for base",
    ),
    Break(
        "the nonce file is not written",
        ScopeFiles,
        "_advance",
        'os.pwrite(self._text_fd, b"%d" % nonce, 0) != _DIGITS',
        "False",
    ),
    Break(
        "the nonce file is not read",
        ScopeFiles,
        "_advance",
        "int(text) if",
        "(state.last if state.last > 0 else int(text)) if",
        5,
    ),
    Break("deleted files are not noticed", OpenFiles, "are_in_place", " or self.are_surely_in_place()", " or True"),
    Break("the clock lowers the nonce", ScopeFiles, "_advance", "now_ns if now_ns > last else last + 1", "now_ns"),
    Break("a jump is trusted at once", rule, "judge_clock", "step <= STEP_LIMIT", "True"),
    Break(
        "a failed sync is swallowed",
        MarkFile,
        "_write_durably",
        "offset + len(instead))\n        raise",
        "offset + len(instead))",
    ),
    Break("a short write passes as a whole one", filesystem, "write_whole", "!= len(data)", "< 0", 2),
    Break("there is no largest nonce", rule, "next_nonce", "if nonce > NONCE_MAX:", "if False:", 3),
]
