"""Which requests are accepted: the lockout, the key, its nonce, its signature, its second factor, its permissions.

Kraken does not document in which order it checks a request; here it is key, nonce present, signature, nonce above
the last accepted one, second factor. A refused request leaves the last nonce as it was; an accepted nonce stays used,
whatever comes after. Switches are in :class:`~krakenonce.testing.rules.Rules`.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from typing import TYPE_CHECKING

from krakenonce.testing.documented import DOCUMENTED_PRIVATE
from krakenonce.testing.request import Refused, Request

if TYPE_CHECKING:
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.limits import Limits
    from krakenonce.testing.rules import Rules


INVALID_NONCE = "EAPI:Invalid nonce"
_INVALID_SIGNATURE = "EAPI:Invalid signature"
_LEAD_TO_LOCKOUT = ("EAPI:Invalid key", _INVALID_SIGNATURE, INVALID_NONCE)


class Admission:
    """Checks requests.

    Args:
        rules: The switches.
        limits: The counters of the calls.
    """

    def __init__(self, rules: Rules, limits: Limits) -> None:
        self._rules, self._limits = rules, limits
        self._failures: dict[str, list[float]] = {}  # the times of consecutive failures, by key, known or unknown
        self._locked_until: dict[str, float] = {}
        self._used: defaultdict[str, set[int]] = defaultdict(set)  # accepted nonces by key, of keys with a window

    def accept(self, key: ApiKey | None, request: Request) -> ApiKey:
        """Return the key of an accepted request; its nonce is used from then on.

        Args:
            key: The key of the request, ``None`` for an unknown one.
            request: The request.

        Raises:
            Refused: With the error to answer with.
        """
        if request.now < self._locked_until.get(request.key, 0.0):
            raise Refused("EGeneral:Temporary lockout")
        try:
            if key is None or not key.is_valid(request.now):
                raise Refused("EAPI:Invalid key")
            self._check(key, request)
        except Refused as refusal:
            self._note(request, str(refusal))
            raise
        self._failures.pop(request.key, None)
        return key

    def check_call(self, key: ApiKey, request: Request) -> None:
        """Refuse a call for what comes after the nonce: limits, second factor, permissions, and the mode of Kraken.

        Raises:
            Refused: With the error to answer with.
        """
        if self._rules.max_in_flight and request.in_flight > self._rules.max_in_flight:
            raise Refused(f"EService:Throttled: {int(request.now) + 1}")
        self._limits.count_call(key, request.method, request.now)
        otp = str(request.params.get("otp", ""))
        if key.otp is not None and not hmac.compare_digest(key.otp.encode(), otp.encode("utf-8", "replace")):
            raise Refused(self._rules.otp_error)
        self.check_permitted(key, request.method)

    def check_permitted(self, key: ApiKey, method: str) -> None:
        """Refuse a call of *method*, also one over a WebSocket, because of the permissions or the mode of Kraken.

        Raises:
            Refused: With the error to answer with.
        """
        needed = DOCUMENTED_PRIVATE[method].permissions
        if needed and not any(each <= key.permissions for each in needed):
            raise Refused("EGeneral:Permission denied")
        if self._rules.status == "maintenance":
            raise Refused("EService:Unavailable")

    def _check(self, key: ApiKey, request: Request) -> None:
        nonce = request.nonce
        if nonce is None:
            raise Refused(INVALID_NONCE)
        checks = {
            _INVALID_SIGNATURE: request.is_signed_with(key.signer),
            INVALID_NONCE: self._is_acceptable(key, nonce),
        }
        in_order = checks if self._rules.sig_before_nonce else reversed(checks)
        error = next((error for error in in_order if not checks[error]), None)
        if error is None or (error == _INVALID_SIGNATURE and self._rules.failed_sig_consumes_nonce):
            key.last_nonce = max(key.last_nonce, nonce)
            if key.nonce_window:
                self._used[key.key].add(nonce)
        if error is not None:
            raise Refused(error)

    def _is_acceptable(self, key: ApiKey, nonce: int) -> bool:
        """Return whether a nonce is above the last one, or below it within the key's nonce window."""
        if nonce > key.last_nonce:
            return True
        lowest = key.last_nonce - key.nonce_window
        is_inside = nonce > lowest or (nonce == lowest and self._rules.window_includes_edge)
        is_new = nonce != key.last_nonce and nonce not in self._used[key.key]
        return bool(key.nonce_window) and is_inside and (is_new or self._rules.window_allows_duplicates)

    def _note(self, request: Request, error: str) -> None:
        """Note a failure, and lock the key out if there were too many."""
        if not self._rules.lockout_after or error not in _LEAD_TO_LOCKOUT:
            return
        earliest = request.now - self._rules.lockout_within
        failures = [at for at in self._failures.get(request.key, ()) if at >= earliest]
        self._failures[request.key] = [*failures, request.now]
        if len(failures) + 1 >= self._rules.lockout_after:
            del self._failures[request.key]
            self._locked_until[request.key] = request.now + self._rules.lockout_seconds
