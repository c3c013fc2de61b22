"""Breaks of the store, one line each, that the campaigns have to notice."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce import rule
from krakenonce.stores import filesystem, recovery
from krakenonce.stores.mark_file import MarkFile
from krakenonce.stores.place import Place
from krakenonce.stores.scope_files import ScopeFiles
from krakenonce.stores.scope_state import ScopeState

if TYPE_CHECKING:
    import pytest

__all__ = ["BREAKS", "Break"]


class Break(NamedTuple):
    """One line of the store that is replaced by another.

    Args:
        name: What is wrong then.
        invariant: The promise that is broken.
        owner: The module or class.
        function: The function in it.
        line: What stands there, once.
        broken: What stands there instead.
        caught: The scenario that shows it, or the seed with which the state machine finds it.
    """

    name: str
    invariant: int
    owner: Any
    function: str
    line: str
    broken: str
    caught: str | int = 0

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Break the store until the test is over."""
        function = getattr(self.owner, self.function)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.line) == 1, f"{self.line!r} does not stand once in {self.function}"
        names: dict[str, Any] = {}
        module = vars(sys.modules[function.__module__])
        exec(compile(source.replace(self.line, self.broken), self.name, "exec"), module, names)  # noqa: S102 - the break
        ours = [module for name, module in sys.modules.items() if name.startswith("krakenonce.")]
        for each in {self.owner, *(module for module in ours if vars(module).get(self.function) is function)}:
            monkeypatch.setattr(each, self.function, names[self.function])


BREAKS = [
    Break(
        "nothing is synced", 1, filesystem, "sync", "os.fdatasync(fd)", "pass", "the first number in a new directory"
    ),
    Break(
        "the directory is not synced",
        1,
        filesystem,
        "sync_directory",
        "os.fsync(fd)",
        "pass",
        "the first number in a new directory",
    ),
    Break(
        "the one above is not synced",
        1,
        filesystem,
        "make_directory",
        "sync_directory(directory.parent)",
        "pass",
        "the first number in a new directory",
    ),
    Break(
        "the mark is not extended",
        1,
        ScopeFiles,
        "advance",
        " or nonce > state.mark",
        "",
        "the first number in a new directory",
    ),
    Break(
        "a new file has the old mark",
        1,
        ScopeState,
        "of_file",
        " and mark >= self.mark",
        "",
        "the mark is deleted under a running process",
    ),
    Break(
        "only one slot is written",
        1,
        MarkFile,
        "write",
        "slots_in_writing_order(before)",
        "(0,)",
        "the first number in a new directory",
    ),
    Break(
        "the mark is what the number is",
        1,
        ScopeFiles,
        "_extend",
        "mark_for(nonce)",
        "nonce - 1",
        "the first number in a new directory",
    ),
    Break(
        "the mark goes down",
        2,
        ScopeFiles,
        "_extend",
        "max(mark_for(nonce), before.mark if before else 0)",
        "mark_for(nonce)",
        "a floor beyond the mark",
    ),
    Break(
        "a mark that was read is believed",
        3,
        ScopeFiles,
        "_advance_slowly",
        "if nonce > state.mark:",
        "if nonce > max([state.mark, *(record.mark for record in records if record)]):",
        "the first number in a new directory",
    ),
    Break(
        "a directory that was found is believed",
        3,
        filesystem,
        "make_directory",
        "sync_directory(path.parent)",
        "pass",
        "the first number in a new directory",
    ),
    Break("both slots are written at once", 3, MarkFile, "write", "if not any(before):", "if True:"),
    Break(
        "the text is believed after a reboot",
        1,
        recovery,
        "last_issued",
        "if not same_boot:",
        "if False:",
        "the mark is extended",
    ),
    Break(
        "the text is not held against the mark",
        1,
        recovery,
        "last_issued",
        "if not any(slot and slot.mark - WINDOW <= value <= slot.mark for slot in records):",
        "if False:",
    ),
    Break(
        "the text is not written", 7, ScopeFiles, "advance", 'os.pwrite(text_fd, b"%d" % nonce, 0) != _DIGITS', "False"
    ),
    Break(
        "the text is not read",
        4,
        ScopeFiles,
        "advance",
        "int(text) if",
        "(state.last if state.last > 0 else int(text)) if",
    ),
    Break("deleted files are not noticed", 4, Place, "is_held", " or self._are_the_ones(changed)", " or True"),
    Break("the clock lowers the number", 5, ScopeFiles, "advance", "now_ns if now_ns > last else last + 1", "now_ns"),
    Break("a jump is believed at once", 5, rule, "judge_clock", "step <= STEP_LIMIT", "True"),
    Break(
        "a failed sync is swallowed",
        6,
        MarkFile,
        "_write_durably",
        "offset + len(before))\n        raise",
        "offset + len(before))",
    ),
    Break("a short write is taken for a whole one", 6, filesystem, "write_whole", "!= len(data)", "< 0", 2),
    Break("there is no end", 8, rule, "next_nonce", "if nonce > NONCE_MAX:", "if False:", 3),
]
