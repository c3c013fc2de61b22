"""What an adapter has to do with: turns, numbers and a timeout on one side, a client's methods on the other.

An adapter is a function of a client and its :class:`Turns`. It replaces attributes of that one object: what sends a
private call holds the key's lane meanwhile, and what makes the client's nonce takes the number from the manager::

    def adapter(client, turns):
        send = client.private

        def private(method, **params):
            with turns.lane(client.key):
                return send(method, **params)

        client.private = private
        client.make_nonce = lambda: turns.next(client.key)

    krakenonce.guard(Client(key, secret), adapter=adapter)

It also gives ``turns.timeout`` to a client that would wait for ever, and sees to it that no call is sent twice. If it
hands Kraken's decoded answer to ``turns.heard(client.key, answer)`` within the turn, a lockout closes the key for every
process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from krakenonce.errors import ConfigError
from krakenonce.manager import NonceManager
from krakenonce.process import ForkCheck

if TYPE_CHECKING:
    from types import TracebackType

    from krakenonce.key.api_key import ApiKey

__all__ = ["Adapter", "Turn", "Turns", "refuse_repeats", "replace"]

_shared: dict[str, NonceManager] = {}


class Turns:
    """The turns and numbers of one guarded client.

    Args:
        manager: Where they come from; None: one ``NonceManager()`` for all of this process, made when needed.
        timeout: Seconds after which a client without a timeout of its own gives up a call.
        heed_lockout: Whether calls are refused here while Kraken has locked the key out.
    """

    def __init__(self, manager: NonceManager | None, timeout: float, *, heed_lockout: bool = True) -> None:
        self.timeout = timeout
        self._heed_lockout = heed_lockout
        self._manager = manager
        self.after_fork = ForkCheck()  # called with what closes the parent's connections

    @property
    def manager(self) -> NonceManager:
        """Where turns and numbers come from."""
        # setdefault is one step for all threads, and a manager made in vain has opened nothing.
        return self._manager or _shared.get("manager") or _shared.setdefault("manager", NonceManager())

    def become(self, manager: NonceManager | None, timeout: float, *, heed_lockout: bool) -> None:
        """Take turns and nonces from another manager from now on."""
        self._manager, self.timeout, self._heed_lockout = manager, timeout, heed_lockout

    def lane(self, key: str | None) -> Turn:
        """Return the turn of an API key, to be held with ``with`` or ``async with`` until the answer is read.

        Entering it raises LockedOut while Kraken has locked the key out; nothing must be sent then.

        Args:
            key: The client's key, read anew for each call: it may change.

        Raises:
            ConfigError: There is no key.
        """
        return Turn(self.api_key(key), heed_lockout=self._heed_lockout)

    def next(self, key: str | None) -> int:
        """Return the nonce for the call whose turn is held: 19 digits.

        Raises:
            ConfigError: There is no key.
            NonceError: There is no nonce to be had; nothing must be sent.
        """
        return self.api_key(key).next()

    def heard(self, key: str | None, answer: object) -> None:
        """Act on Kraken's answer if it is a refusal: a lockout closes the key for every process.

        To be called in the turn.

        Args:
            key: The client's key.
            answer: Kraken's answer, decoded; anything else is ignored.
        """
        if isinstance(answer, dict) and answer.get("error"):
            from krakenonce.key.answers import refusal_in

            refusal, api_key = refusal_in(answer), self.api_key(key)
            if refusal is not None:
                api_key.settle(api_key.place("", {}), refusal)

    def api_key(self, key: str | None) -> ApiKey:
        """Return what stands for the client's API key. Raises ConfigError if it has none."""
        from krakenonce.key.api_key import ApiKey

        if not key:
            raise ConfigError("A private call needs an API key: give the client its key and secret first.")
        return ApiKey(self.manager, key)


class Turn:
    """A guarded client's turn: a context manager, sync and async.

    Args:
        api_key: Whose turn it is.
        heed_lockout: Whether entering it raises LockedOut during a lockout.
    """

    __slots__ = ("_api_key", "_heed_lockout", "_lane")

    def __init__(self, api_key: ApiKey, *, heed_lockout: bool) -> None:
        self._api_key = api_key
        self._heed_lockout = heed_lockout
        self._lane = api_key.turn()

    def __enter__(self) -> Self:
        self._lane.acquire()
        return self._looked()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lane.release()

    async def __aenter__(self) -> Self:
        await self._lane.__aenter__()
        return self._looked()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lane.release()

    def _looked(self) -> Self:
        try:
            if self._heed_lockout:
                self._api_key.check_open()
        except BaseException:
            self._lane.release()
            raise
        return self


Adapter = Callable[[Any, Turns], object]


def replace(client: Any, name: str, function: Callable[..., Any], turns: Turns) -> None:
    """Put *function* in the place of a method of this one object.

    It is called with the method as it was, the client, the turns, and then the caller's arguments.
    """
    before = vars(client).get(name)  # somebody may have replaced it already
    if before is None:
        method = getattr(type(client), name, None)
        # Not the bound method, which a pickled copy would look up by its name and find the replacement.
        before = partial(method, client) if method else getattr(client, name)
    setattr(client, name, partial(function, before, client, turns))


def refuse_repeats(session: Any) -> None:
    """Make sure that a ``requests`` session does not send a POST again by itself.

    Raises:
        ConfigError: It has an adapter that does: Kraken may have executed the first.
    """
    for adapter in getattr(session, "adapters", {}).values():
        retry = getattr(adapter, "max_retries", None)
        verbs = getattr(retry, "allowed_methods", ("GET",))  # none given: all verbs
        if getattr(retry, "total", 0) != 0 and (not verbs or "POST" in verbs):
            raise ConfigError(
                "The client's HTTP session repeats POST requests, so an order could be placed twice: mount an adapter "
                "whose Retry has the default allowed_methods."
            )
