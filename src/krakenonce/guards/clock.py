"""A clock for clients that make their nonce from the time in the middle of a method, where nothing can be replaced.

:func:`guard_method` makes the method hold the turn. Meanwhile, and for this call alone, the module's clock yields a
nonce of ours where the time becomes a nonce: with ``time.time() * 1000`` and ``time.time_ns()``.
"""

from __future__ import annotations

import functools
import logging
import time
from contextvars import ContextVar
from inspect import iscoroutinefunction
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from krakenonce.checks import check_manager
from krakenonce.errors import ConfigError
from krakenonce.guards.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.manager import NonceManager

logger = logging.getLogger("krakenonce")

_UNITS = {10**digits for digits in range(1, 10)}  # what turns seconds, or nanoseconds, into another unit


def guard_method(
    owner: type | ModuleType,
    name: str,
    *,
    key: Callable[..., str | None],
    clock: ModuleType,
    manager: NonceManager | None = None,
    heed_lockout: bool = True,
) -> None:
    """Let a method that makes a private call hold the key's turn, and take its nonce from us instead of the clock.

    Unlike ``guard()`` this changes the class, or the module, for all calls of this process. Guarding it again replaces
    the manager, the key and the setting, also those of ``krakenonce run``.

    Args:
        owner: The class, or the module, that has the method.
        name: Its name. It may be asynchronous.
        key: Is called with the method's arguments and returns the API key; None: this call is not private.
        clock: The module in which the nonce is made. Its names for ``time``, ``time.time`` and ``time.time_ns`` are
            replaced; they tell the time as before, but for the nonce of a call.
        manager: Where nonces and turns come from; None: one ``NonceManager()`` for the whole process.
        heed_lockout: Whether calls raise LockedOut while Kraken has locked the key out.

    Raises:
        ConfigError: There is no such method, or the module has no clock. The method raises it before it sends
            anything if the nonce would lose digits in a ``float``.
    """
    check_manager(manager)
    take_turns(Turns(manager, 30.0, heed_lockout=heed_lockout), owner, name, key=key, clock=clock)


def take_turns(
    turns: Turns, owner: type | ModuleType, name: str, *, key: Callable[..., str | None], clock: ModuleType
) -> None:
    """Do what :func:`guard_method` does, with these turns."""
    method = vars(owner).get(name)
    if not isinstance(method, FunctionType):
        raise ConfigError(f"guard_method() needs a function: {owner.__name__} itself has none with the name {name}")
    method = _guarded.get(method, method)
    _replace_clock(clock)
    replacement = (_asynchronous if iscoroutinefunction(method) else _synchronous)(method, turns, key)
    _guarded[replacement] = method
    setattr(owner, name, replacement)


class _Call:
    """The nonces of one call, which has its turn."""

    def __init__(self, turns: Turns, key: str, method: FunctionType) -> None:
        self._turns, self._key, self._method = turns, key, method
        self._asked = False

    def next(self) -> _Nonce:
        self._asked = True
        return _Nonce(self._turns.next(self._key))

    def ended(self, answer: object) -> None:
        self._turns.heard(self._key, answer)
        if not self._asked and self._method not in _warned:
            _warned.add(self._method)
            logger.warning(
                "%s has made a call without a nonce from its guarded clock; if the call was private, another one may "
                "be refused: see docs/how-to/write-an-adapter.md",
                self._method.__qualname__,
            )


def _synchronous(method: FunctionType, turns: Turns, key_of: Callable[..., str | None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **how: Any) -> Any:
        key = None if _current.get() else key_of(*args, **how)  # a call within a call has the turn already
        if key is None:
            return method(*args, **how)
        with turns.lane(key, method=method.__name__):
            current = _Call(turns, key, method)
            token = _current.set(current)
            try:
                answer = method(*args, **how)
            finally:
                _current.reset(token)
            current.ended(answer)
            return answer

    return call


def _asynchronous(method: FunctionType, turns: Turns, key_of: Callable[..., str | None]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(*args: Any, **how: Any) -> Any:
        key = None if _current.get() else key_of(*args, **how)
        if key is None:
            return await method(*args, **how)
        async with turns.lane(key, method=method.__name__):
            current = _Call(turns, key, method)
            token = _current.set(current)
            try:
                answer = await method(*args, **how)
            finally:
                _current.reset(token)
            current.ended(answer)
            return answer

    return call


class _Nonce(int):
    """A nonce that stays itself when it is brought into another unit, and becomes no float, which has 16 digits."""

    def _or_itself(self, unit: Any) -> Any:
        return self if unit in _UNITS else _refuse()

    __mul__ = __rmul__ = __truediv__ = __floordiv__ = _or_itself

    def __add__(self, more: Any) -> Any:
        return _refuse() if isinstance(more, float) else int(self) + more

    def __sub__(self, more: Any) -> Any:
        return _refuse() if isinstance(more, float) else int(self) - more

    def __float__(self) -> float:
        return _refuse()

    def __format__(self, how: str) -> str:
        return str(int(self)) if how in (".0f", "") else _refuse() if how[-1] in "eEfFgG%" else format(int(self), how)

    __radd__ = __add__
    __hash__ = int.__hash__


class _Now(float):
    """The time in seconds, which becomes a nonce when it is brought into a smaller unit."""

    def __mul__(self, unit: float) -> Any:
        current = _current.get()
        return current.next() if current is not None and unit in _UNITS else float(self) * unit

    __rmul__ = __mul__
    __hash__ = float.__hash__


def _refuse() -> NoReturn:
    raise ConfigError(
        "Not sent: the nonce would become a float here, which has 16 digits, and a nonce has 19. Replace the method "
        "that makes it: see docs/how-to/write-an-adapter.md"
    )


def _time() -> float:
    return time.time() if _current.get() is None else _Now(time.time())


def _time_ns() -> int:
    current = _current.get()
    return time.time_ns() if current is None else current.next()


class _Time(ModuleType):
    """The module ``time`` as a client has it."""

    def __init__(self) -> None:
        super().__init__("time", time.__doc__)
        self.time, self.time_ns = _time, _time_ns

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def __dir__(self) -> Iterator[str]:
        return iter(dir(time))


def _replace_clock(module: ModuleType) -> None:
    clocks = {id(time): _Time(), id(time.time): _time, id(time.time_ns): _time_ns}
    found = {name: clocks[id(value)] for name, value in vars(module).items() if id(value) in clocks}
    ours = (_time, _time_ns)
    if not found and not any(isinstance(each, _Time) or each in ours for each in list(vars(module).values())):
        raise ConfigError(f"{module.__name__} has no clock: neither time nor time.time nor time.time_ns is in it")
    vars(module).update(found)


_current: ContextVar[_Call | None] = ContextVar("_current", default=None)
_warned: set[FunctionType] = set()
_guarded: dict[Callable[..., Any], FunctionType] = {}  # the methods, by what has replaced them
