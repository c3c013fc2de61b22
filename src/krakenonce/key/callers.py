"""Who asks for a turn: a task, a greenlet or a thread. Imports no library that the program does not use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from krakenonce.native import get_ident

if TYPE_CHECKING:
    from collections.abc import Callable


_T = TypeVar("_T")
_acting: dict[int, object] = {}  # the threads that act for another caller


def act_as(owner: object, step: Callable[[], _T]) -> _T:
    """Take a step in this thread for another caller, who waits for it."""
    _acting[thread := get_ident()] = owner
    try:
        return step()
    finally:
        del _acting[thread]


def current_owner() -> object:
    """Return the caller: the task of asyncio or trio that is running, else the greenlet, else the thread."""
    if _acting and (owner := _acting.get(get_ident())) is not None:
        return owner
    loop = running_loop()
    if loop is not None:
        task = sys.modules["asyncio"].current_task(loop)
        return get_ident() if task is None or _is_tornado_s() else task
    return _trio_task() or _greenlet() or get_ident()


def running_loop() -> Any:
    """Return asyncio's event loop that is running in this thread, if any."""
    events = sys.modules.get("asyncio.events")
    ask = getattr(events, "_get_running_loop", None)  # None while another thread is still importing asyncio
    return ask() if ask else None


def in_trio() -> bool:
    """Whether trio is running in this thread."""
    lowlevel = sys.modules.get("trio.lowlevel")
    return lowlevel is not None and bool(lowlevel.in_trio_run())


def event_loop_name() -> str:
    """Return the name of the library whose event loop runs in this thread, if any."""
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is not None and reactor.running and sys.modules["twisted.python.threadable"].ioThread == get_ident():
        return "Twisted"
    if running_loop() is not None:
        return "Tornado" if "tornado.gen" in sys.modules else "asyncio"
    return "trio" if in_trio() else ""


def has_ended(owner: Any) -> bool:
    """Whether *owner* is a task that cannot continue, because its event loop was closed before the task had ended."""
    return hasattr(owner, "get_loop") and bool(owner.get_loop().is_closed())


def is_stopped_by_us(owner: Any) -> bool:
    """Whether *owner*, who is not the caller, is a task or a greenlet that cannot continue while this thread waits."""
    if hasattr(owner, "get_loop"):
        return bool(owner.get_loop() is running_loop())
    if hasattr(owner, "parent_nursery"):
        return in_trio() and _trio_root(owner) is sys.modules["trio.lowlevel"].current_root_task()
    if hasattr(owner, "gr_frame"):
        return _root(owner) is _root(sys.modules["greenlet"].getcurrent())
    return False


def _trio_task() -> object:
    return sys.modules["trio.lowlevel"].current_task() if in_trio() else None


def _trio_root(task: Any) -> Any:
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
    return task


def _greenlet() -> object:
    """Return the greenlet that is running; None in a thread's first one, which is the thread itself."""
    module = sys.modules.get("greenlet")
    current = module.getcurrent() if module is not None else None
    return None if current is None or current.parent is None else current


def _root(greenlet: Any) -> Any:
    while greenlet.parent is not None:
        greenlet = greenlet.parent
    return greenlet


def _is_tornado_s() -> bool:
    """Whether a generator-based coroutine of Tornado is running: its first part runs in a task, the others do not."""
    if "tornado.gen" not in sys.modules:
        return False
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        name = frame.f_globals.get("__name__")
        if name in ("tornado.gen", "asyncio.events"):
            return bool(name == "tornado.gen")
    return False
