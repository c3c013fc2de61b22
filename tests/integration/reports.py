"""Everything that an error report can show of an error: the variables of its frames, whatever they contain."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import krakenonce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_HERE = Path(__file__).parents[1]  # the tests: their own variables are what is looked for
_OURS = Path(krakenonce.__file__).parent
_DEEP = 6  # levels of containers


def chain(error: BaseException) -> list[BaseException]:
    """Return the error and all that led to it, hidden or not, also where one is an argument of another."""
    found: list[BaseException] = []
    todo: list[Any] = [error]
    while todo:
        each = todo.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            todo += [each.__cause__, each.__context__, *each.args, *getattr(each, "exceptions", ())]
    return found


def frames(error: BaseException) -> Iterator[FrameType]:
    """Return the frames of the error and of all that led to it, without those of the tests and of pytest."""
    for each in chain(error):
        trace = each.__traceback__
        while trace is not None:
            file = Path(trace.tb_frame.f_code.co_filename)
            if not file.is_relative_to(_HERE) and not file.is_relative_to(Path(pytest.__file__).parent):
                yield trace.tb_frame
            trace = trace.tb_next


def report(error: BaseException) -> str:
    """Return what a report of the error shows: as sentry-sdk, rich and ``pytest -l`` write it, and a bit more."""
    lines = [f"{each!r} {each} {vars(each)} {getattr(each, '__notes__', '')}" for each in chain(error)]
    for frame in frames(error):
        lines += [f"{frame.f_code.co_qualname}: {name} = {text_of(value)}" for name, value in frame.f_locals.items()]
    return "\n".join(lines)


def our_frames(error: BaseException) -> list[str]:
    """Return the functions of krakenonce whose frames the error has."""
    return [frame.f_code.co_qualname for frame in frames(error) if Path(frame.f_code.co_filename).is_relative_to(_OURS)]


def text_of(value: object, depth: int = 0) -> str:
    """Return what is shown of a value: its repr, and all parts of what looks like a container."""
    text = repr(value)
    if isinstance(value, bytes | bytearray):
        return text + bytes(value).decode("latin-1")
    parts: list[Any] = []
    if isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, Sequence | AbstractSet) and not isinstance(value, str):
        parts = list(value)
    elif dataclasses.is_dataclass(value) and _is_generated(type(value).__repr__):
        parts = [getattr(value, each.name, None) for each in dataclasses.fields(value) if each.repr]
    return text if depth > _DEEP else " ".join([text, *(text_of(each, depth + 1) for each in parts)])


def _is_generated(function: Any) -> bool:
    return bool(inspect.unwrap(function).__code__.co_filename == "<string>")
