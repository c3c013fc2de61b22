"""What error reports show of us: no variable of a call, and a repr of every object.

Error trackers, ``pytest -l`` and rich show the variables of every frame that an error came through. Those of a call are
the API key, the signature and the order; those of the library that sends it are its headers and its body.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

from krakenonce.errors import KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType


_LEFT_OUT = "krakenonce has left out these frames, because error reports would show the call in their variables:"

E = TypeVar("E", bound=BaseException)
F = TypeVar("F", bound="Callable[..., Any]")


def blind(function: F) -> F:
    """Let every error leave *function* as :func:`bare` makes it: its caller's frames are shown, none from here on."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            failed = error
        try:
            raise bare(failed, sys.exception())  # the frames inside krakenonce are left out
        finally:
            del args, kwargs, failed

    return cast("F", call)


def blind_async(function: F) -> F:
    """Do the same for a coroutine function."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            failed = error
        try:
            raise bare(failed, sys.exception())  # the frames inside krakenonce are left out
        finally:
            del args, kwargs, failed

    return cast("F", call)


def bare(error: E, handled: BaseException | None = None) -> E:
    """Return *error* without its frames and those of the errors that led to it.

    These keep their types and texts. An error that is neither ours nor an interruption may be a bug, so it and those
    that led to it get a note with the places in the code.

    Args:
        error: The error.
        handled: The error that the caller is handling, which stays as it is.
    """
    is_expected = isinstance(error, KrakenonceError) or not isinstance(error, Exception)
    seen = {id(handled)}
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if each.__suppress_context__:
            each.__context__ = None
        if not is_expected:
            _note(each)
        each.__traceback__ = None
        inside = (*each.args, *(each.exceptions if isinstance(each, BaseExceptionGroup) else ()))
        todo += [each.__cause__, each.__context__, *(part for part in inside if isinstance(part, BaseException))]
    return error


def _note(error: BaseException) -> None:
    places = "".join(f'\n  File "{file}", line {line}, in {name}' for file, line, name in _places(error.__traceback__))
    if places and not any(note.startswith(_LEFT_OUT) for note in getattr(error, "__notes__", ())):
        error.add_note(_LEFT_OUT + places)


def _places(trace: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename != __file__:
            yield code.co_filename, trace.tb_lineno, code.co_name
        trace = trace.tb_next


def whole(text: Callable[[Any], str]) -> Callable[[Any], str]:
    """Let a ``__repr__`` work before the constructor has ended, too.

    Debuggers show the object whose constructor has just refused its arguments. An error of its repr would hide why.
    """

    @functools.wraps(text)
    def __repr__(self: object) -> str:  # noqa: N807 - it becomes the method
        try:
            return text(self)
        except AttributeError:
            return f"<{type(self).__name__} that was not made>"

    return __repr__
