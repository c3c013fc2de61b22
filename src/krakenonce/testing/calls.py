"""What becomes of a call: whether it is accepted, which method answers it, and its entry in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.key.funding import is_funding
from krakenonce.testing.documented import DOCUMENTED_PRIVATE, DOCUMENTED_PUBLIC
from krakenonce.testing.documented.checking import check, not_simulated
from krakenonce.testing.private import PRIVATE, Call, count_refused
from krakenonce.testing.public import PUBLIC
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.testing.admission import Admission
    from krakenonce.testing.engine import MatchingEngine
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.limits import Limits
    from krakenonce.testing.request import Arrival, Request


class Calls:
    """Answers calls. One at a time is answered.

    Args:
        engine: The matching engine.
        limits: The counters of the limits.
        admission: Who may make which call.
        keys: The API keys.
        arrivals: The log.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        limits: Limits,
        admission: Admission,
        keys: Mapping[str, ApiKey],
        arrivals: list[Arrival],
    ) -> None:
        self._engine, self._limits, self._admission = engine, limits, admission
        self._keys, self._arrivals = keys, arrivals

    def public(self, request: Request) -> Any:
        """Return the result of a public call. Raises Refused with the error to answer with."""
        if is_funding(request.path_qs, request.headers):
            raise not_simulated("/funding/v1")
        if request.kind != "public":
            raise Refused("EGeneral:Unknown method")
        check(DOCUMENTED_PUBLIC, request.method, request.params)
        return PUBLIC[request.method](self._engine, request.params, request.now)

    def private(self, request: Request) -> Any:
        """Return the result of a private call, and log it. Raises Refused with the error to answer with."""
        known = self._keys.get(request.key)
        last_nonce = known.last_nonce if known else None
        accepted, error = False, None
        try:
            key = self._admission.accept(known, request)
            accepted = True
            return self._answer(key, request)
        except Refused as refusal:
            error = str(refusal)
            raise
        finally:
            self._arrivals.append(request.arrived(known, last_nonce, accepted=accepted, error=error))

    def log_lost(self, request: Request, error: str | None) -> None:
        """Log a private call that a fault keeps from being executed; see :meth:`FakeKraken.log_lost`."""
        known = self._keys.get(request.key)
        last_nonce = known.last_nonce if known else None
        self._arrivals.append(request.arrived(known, last_nonce, accepted=False, error=error))

    def _answer(self, key: ApiKey, request: Request) -> Any:
        if request.method not in DOCUMENTED_PRIVATE:
            raise Refused("EGeneral:Unknown method")
        self._admission.check_call(key, request)
        call = Call(
            key.account,
            key,
            request.nonce,
            request.params,
            request.now,
            request.received,
            request.hidden_for,
            self._engine,
            self._limits,
        )
        try:
            check(DOCUMENTED_PRIVATE, request.method, request.params)
        except Refused:
            count_refused(request.method, call)
            raise
        return PRIVATE[request.method](call)
