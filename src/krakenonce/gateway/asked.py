"""One private call, from its arrival until it is answered, or until it is over and its client has gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from krakenonce.gateway.answered import answered
from krakenonce.gateway.replies import not_sent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.gateway.replies import Reply


_LEFT = "its client has disconnected before it was sent"


class Asked:
    """One call. While it has a turn it is entered with ``with``: then it comes to its end without its client, too.

    Args:
        activity: Where it is counted.
        method: The method, as far as it is known.

    Attributes:
        local: The local key; None: it is not known, and the call is not in the list of calls.
        params: The parameters of a call that changes something; else None.
        reply: What is known of the answer while its client may go.
    """

    __slots__ = ("_activity", "_came", "_has_left", "_is_made", "local", "method", "params", "reply")

    def __init__(self, activity: Activity, method: str) -> None:
        self._activity = activity
        self._came = time.monotonic()
        self.method = method
        self.local: LocalKey | None = None
        self.params: Mapping[str, Any] | None = None
        self.reply: Reply | None = None
        self._is_made = self._has_left = False

    def __enter__(self) -> Self:
        self._is_made = True
        return self

    def __exit__(self, *_: object) -> None:
        self._is_made = False
        if self._has_left:
            self._note(self.reply)

    def answer(self, reply: Reply) -> None:
        """Its client gets this answer."""
        # Without a local key the method is not shown: it comes from an unknown sender.
        caller = (self.local.name, self.local.account, self.method) if self.local else ("", "", "")
        self._activity.reply(*caller, reply, time.monotonic() - self._came)
        self._note(reply)

    def leave(self) -> None:
        """Its client has disconnected."""
        self._has_left = True
        if not self._is_made:
            self._note(self.reply)

    def _note(self, reply: Reply | None) -> None:
        if self.local is not None:
            reply = reply or not_sent("client_gone", "EService:Unavailable", _LEFT)
            self._activity.over(answered(self.local.name, self.local.account, self.method, self.params, reply))
