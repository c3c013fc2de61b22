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

It also gives ``turns.timeout`` to a client that would wait for ever, and sees to it that no call is sent twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..manager import NonceManager

if TYPE_CHECKING:
    from ..lanes import Lane

__all__ = ["Adapter", "Turns", "refuse_repeats", "replace"]

_shared: dict[str, NonceManager] = {}


class Turns:
    """The turns and numbers of one guarded client.

    Args:
        manager: Where they come from; None: one ``NonceManager()`` for all of this process, made when needed.
        timeout: Seconds after which a client without a timeout of its own gives up a call.
    """

    def __init__(self, manager: NonceManager | None, timeout: float) -> None:
        self.timeout = timeout
        self._manager = manager
        self._process = os.getpid()

    @property
    def manager(self) -> NonceManager:
        """Where turns and numbers come from."""
        # setdefault is one step for all threads, and a manager made in vain has opened nothing.
        return self._manager or _shared.get("manager") or _shared.setdefault("manager", NonceManager())

    def become(self, manager: NonceManager | None, timeout: float) -> None:
        """Take turns and numbers from another manager from now on."""
        self._manager, self.timeout = manager, timeout

    def lane(self, key: str | None) -> Lane:
        """Return the lane of an API key, to be held with ``with`` or ``async with`` until the answer is read.

        Args:
            key: The client's key, read anew for each call: it may change.

        Raises:
            ConfigError: There is no key.
        """
        return self.manager.lane(_needed(key))

    def next(self, key: str | None) -> int:
        """Return the number for the call whose lane is held: 19 digits.

        Raises:
            ConfigError: There is no key.
            NonceError: No number to be had; nothing must be sent.
        """
        return self.manager.next_for(_needed(key))

    def forked(self) -> bool:
        """Return whether this is the first call after a fork: open connections belong to the parent process."""
        before, self._process = self._process, os.getpid()
        return before != self._process


def _needed(key: str | None) -> str:
    if not key:
        raise ConfigError("A private call needs an API key: give the client its key and secret first.")
    return key


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
