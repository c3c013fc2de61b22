"""Who is let in: the key, its signature, its number, the lockout and what the key may do.

Kraken does not document in which order it checks a request; here it is key, nonce present, signature, nonce above
the last accepted one, second factor. A refused request leaves the number as it was; an accepted number stays used,
whatever comes after. Switches are in :class:`~krakenonce.testing.rules.Rules`.
"""

from __future__ import annotations

import hmac
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from krakenonce.kraken.wire import decode_secret, verify
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from krakenonce.testing.fake_account import FakeAccount
    from krakenonce.testing.request import Request
    from krakenonce.testing.rules import Rules

__all__ = ["INVALID_NONCE", "Admission", "check_otp", "check_permission"]

INVALID_NONCE = "EAPI:Invalid nonce"
_LEAD_TO_LOCKOUT = ("EAPI:Invalid key", "EAPI:Invalid signature", INVALID_NONCE)
_ANY_TRADING = ({"modify-trades"}, {"close-trades"})

# Any one of the sets will do. Methods that are not here need no permission.
_NEEDED: dict[str, tuple[set[str], ...]] = {
    "Balance": ({"query-funds"},),
    "BalanceEx": ({"query-funds"},),
    "TradeVolume": ({"query-funds"},),
    "TradeBalance": ({"query-funds"}, {"query-open-trades"}),
    "OpenOrders": ({"query-open-trades"},),
    "OpenPositions": ({"query-open-trades"},),
    "ClosedOrders": ({"query-closed-trades"},),
    "TradesHistory": ({"query-closed-trades"},),
    "QueryTrades": ({"query-closed-trades"},),
    "QueryOrders": ({"query-open-trades"}, {"query-closed-trades"}),
    "Ledgers": ({"query-ledger"},),
    "QueryLedgers": ({"query-ledger"},),
    "AddOrder": ({"modify-trades"},),
    "AddOrderBatch": ({"modify-trades"},),
    "AmendOrder": _ANY_TRADING,
    "EditOrder": ({"modify-trades", "close-trades"},),
    "CancelOrder": _ANY_TRADING,
    "CancelOrderBatch": _ANY_TRADING,
    "CancelAll": _ANY_TRADING,
    "CancelAllOrdersAfter": _ANY_TRADING,
    "GetWebSocketsToken": ({"create-ws-token"},),
    "DepositMethods": ({"add-funds"},),
    "DepositAddresses": ({"add-funds"},),
    "DepositStatus": ({"add-funds"},),
    "WithdrawMethods": ({"withdraw-funds"},),
    "WithdrawAddresses": ({"withdraw-funds"},),
    "WithdrawInfo": ({"withdraw-funds"},),
    "Withdraw": ({"withdraw-funds"},),
    "WithdrawStatus": ({"withdraw-funds"},),
    "WithdrawCancel": ({"withdraw-funds"},),
    "WalletTransfer": ({"withdraw-funds"},),
}


def check_permission(account: FakeAccount, method: str) -> None:
    """Refuse a method that the key may not call.

    Raises:
        Refused: ``EGeneral:Permission denied``.
    """
    needed = _NEEDED.get(method)
    if needed is not None and not any(each <= account.permissions for each in needed):
        raise Refused("EGeneral:Permission denied")


@dataclass(slots=True)
class _Failures:
    """The failures in a row of one key, known or not."""

    times: deque[float] = field(default_factory=deque)
    locked_until: float = 0.0


class Admission:
    """Checks requests.

    Args:
        rules: The switches.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._failures: dict[str, _Failures] = {}
        self._used: dict[str, set[int]] = {}

    def let_in(self, account: FakeAccount | None, request: Request) -> FakeAccount:
        """Return whose request it is, and count its number as used.

        Args:
            account: Whose key it carries, ``None`` for an unknown key.
            request: The request.

        Raises:
            Refused: With the error to answer with.
        """
        key = request.headers.get("API-Key", "")
        failures = self._failures.setdefault(key, _Failures())
        if request.now < failures.locked_until:
            raise Refused("EGeneral:Temporary lockout")
        try:
            owner = self._checked(account, request)
        except Refused as refusal:
            self._note(failures, str(refusal), request.now)
            raise
        failures.times.clear()
        return owner

    def _checked(self, account: FakeAccount | None, request: Request) -> FakeAccount:
        nonce = request.nonce
        if account is None:
            raise Refused("EAPI:Invalid key")
        if nonce is None:
            raise Refused(INVALID_NONCE)
        if self._rules.sig_before_nonce:
            self._check_signature(account, request, nonce)
            self._check_nonce(account, nonce)
        else:
            self._check_nonce(account, nonce)
            self._check_signature(account, request, nonce)
        self._use(account, nonce)
        return account

    def _check_signature(self, account: FakeAccount, request: Request, nonce: int) -> None:
        signature, secret = request.headers.get("API-Sign", ""), decode_secret(account.secret)
        if not verify(request.path_qs, request.body, request.content_type, secret, signature):
            if self._rules.failed_sig_consumes_nonce:
                self._use(account, nonce)
            raise Refused("EAPI:Invalid signature")

    def _check_nonce(self, account: FakeAccount, nonce: int) -> None:
        if nonce > account.last_nonce:
            return
        if account.nonce_window:
            lowest = account.last_nonce - account.nonce_window
            is_inside = nonce > lowest or (nonce == lowest and self._rules.window_includes_edge)
            is_new = nonce != account.last_nonce and nonce not in self._used.get(account.key, ())
            if is_inside and (is_new or self._rules.window_allows_duplicates):
                return
        raise Refused(INVALID_NONCE)

    def _use(self, account: FakeAccount, nonce: int) -> None:
        account.last_nonce = max(account.last_nonce, nonce)
        if account.nonce_window:
            lowest = account.last_nonce - account.nonce_window
            used = {each for each in self._used.get(account.key, ()) if each >= lowest}
            self._used[account.key] = used | {nonce}

    def _note(self, failures: _Failures, error: str, now: float) -> None:
        if not self._rules.lockout_after or error not in _LEAD_TO_LOCKOUT:
            return
        failures.times.append(now)
        while failures.times[0] < now - self._rules.lockout_within:
            failures.times.popleft()
        if len(failures.times) >= self._rules.lockout_after:
            failures.times.clear()
            failures.locked_until = now + self._rules.lockout_seconds


def check_otp(account: FakeAccount, given: str, error: str) -> None:
    """Refuse a call without the account's second factor.

    Raises:
        Refused: With *error*.
    """
    if account.otp is not None and not hmac.compare_digest(account.otp.encode(), given.encode()):
        raise Refused(error)
