"""The queries that bots make most, with results in Python's types. Both clients run these procedures."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.kraken.calling import Calls
    from krakenonce.kraken.request import Steps


_IDS_PER_CALL = 50  # of QueryOrders
_OLD_NAME = 4  # letters of names such as XXBT and ZUSD


class AssetBalance(NamedTuple):
    """One asset of an account, in units of the asset.

    Args:
        balance: What the account has.
        hold_trade: How much of it open orders hold.
        credit: The credit line, if there is one.
        credit_used: How much of it is used.
        earning: What earns rewards automatically: Kraken has it under ``NAME.F`` besides, and trades with it as with
            *balance*.
    """

    balance: Decimal
    hold_trade: Decimal
    credit: Decimal = Decimal(0)
    credit_used: Decimal = Decimal(0)
    earning: Decimal = Decimal(0)

    @property
    def available(self) -> Decimal:
        """What can be spent: balance + earning + credit - credit_used - hold_trade."""
        return self.balance + self.earning + self.credit - self.credit_used - self.hold_trade


@dataclass(frozen=True, slots=True)
class WebSocketToken:
    """A token for Kraken's WebSocket API; use it within *expires* seconds. The repr does not show it."""

    token: str = field(repr=False)
    expires: int


@dataclass(frozen=True, slots=True)
class ApiKeyInfo:
    """What Kraken knows about the API key that made the call.

    Args:
        name: The key's name at Kraken.
        nonce: The largest nonce accepted, which is that of this call.
        nonce_window: How far below it Kraken still accepts a nonce; leave it at 0.
        permissions: Such as ``query-funds``.
        raw: Kraken's whole answer.
    """

    name: str
    nonce: int
    nonce_window: int
    permissions: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)


class Advisories(NamedTuple):
    """What Kraken announces, as its page on SystemStatus describes it; the lists are empty if there is nothing.

    Args:
        status: ``online``, ``maintenance``, ``cancel_only`` or ``post_only``; the lists do not change it.
        upcoming_maintenance: Maintenance that is planned for the next 72 hours and has not begun.
        emergency: Incidents that are not resolved.
    """

    status: str
    upcoming_maintenance: list[Any]
    emergency: list[Any]


class Page(NamedTuple):
    """One page of a history: entries by Kraken's id, the newest first, and how many there are in all."""

    entries: dict[str, dict[str, Any]]
    total: int

    def new(self, seen: set[str]) -> list[tuple[str, dict[str, Any]]]:
        """Return the entries that are not in *seen*, and add them to it: new entries shift all that are behind them."""
        found = [(txid, entry) for txid, entry in self.entries.items() if txid not in seen]
        seen.update(self.entries)
        return found


def balances(calls: Calls, /, *, account_id: str | None = None) -> Steps[dict[str, Decimal]]:
    """Return what the account has of each asset, by Kraken's name for it (Balance).

    Args:
        calls: The key's calls; a client's method has them.
        account_id: Only what this wallet has; ListWalletAccounts names the wallets.
    """
    return calls.read("Balance", {"account_id": account_id}, _amounts)


def extended_balances(calls: Calls, /) -> Steps[dict[str, AssetBalance]]:
    """Return what the account has of each asset and how much of it is held (BalanceEx).

    What earns rewards automatically is in the result twice: as *earning* of its asset, and as an asset ``NAME.F``,
    which Kraken's page on BalanceEx calls read-only.
    """

    def read(result: dict[str, dict[str, Any]]) -> dict[str, AssetBalance]:
        names = ("balance", "hold_trade", "credit", "credit_used")
        parts = {asset: [Decimal(str(held.get(name, 0))) for name in names] for asset, held in result.items()}
        return {asset: AssetBalance._make([*own, _earning(asset, parts)]) for asset, own in parts.items()}

    return calls.read("BalanceEx", {}, read)


def trade_balance(calls: Calls, /, asset: str = "ZUSD") -> Steps[dict[str, Decimal]]:
    """Return margin and equity, in units of *asset*, under Kraken's short names such as ``eb`` (TradeBalance)."""
    return calls.read("TradeBalance", {"asset": asset}, _amounts)


def open_orders(
    calls: Calls, /, *, cl_ord_id: str | None = None, userref: int | None = None
) -> Steps[dict[str, dict[str, Any]]]:
    """Return the open orders by Kraken's id, as Kraken describes them (OpenOrders).

    Args:
        calls: The key's calls; a client's method has them.
        cl_ord_id: Only the one with this id.
        userref: Only those of this group.
    """
    params = {"cl_ord_id": cl_ord_id, "userref": userref}
    return calls.read("OpenOrders", params, lambda result: dict(result["open"]))


def closed_orders(
    calls: Calls,
    /,
    *,
    cl_ord_id: str | None = None,
    start: float | None = None,
    end: float | None = None,
    offset: int = 0,
) -> Steps[Page]:
    """Return one page of the orders that are filled, cancelled or expired (ClosedOrders).

    Args:
        calls: The key's calls; a client's method has them.
        cl_ord_id: Only the one with this id.
        start: Only those after this time, in seconds since 1970.
        end: Only those up to this time, in seconds since 1970.
        offset: How many to skip, from the newest on.
    """
    params = {"cl_ord_id": cl_ord_id, "start": start, "end": end, "ofs": offset or None}
    return calls.read(
        "ClosedOrders",
        params,
        lambda result: Page(dict(result["closed"]), int(result.get("count", len(result["closed"])))),
    )


def query_orders(calls: Calls, /, txids: Iterable[str]) -> Steps[dict[str, dict[str, Any]]]:
    """Return orders by Kraken's id, open or closed, fifty with each call (QueryOrders)."""
    wanted = list(txids)
    found: dict[str, dict[str, Any]] = {}
    for first in range(0, len(wanted), _IDS_PER_CALL):
        txid = ",".join(wanted[first : first + _IDS_PER_CALL])
        found |= yield from calls.read("QueryOrders", {"txid": txid}, dict)
    return found


def until_now(calls: Calls, /) -> Steps[float]:
    """Return a time that is not before Kraken's now, in seconds since 1970."""
    yield from calls.learn_time()
    return calls.time.latest()


def trade_page(calls: Calls, /, start: float | None, end: float, offset: int) -> Steps[Page]:
    """Return one page of the trades between two times in seconds since 1970 (TradesHistory)."""
    params = {"start": start, "end": end, "ofs": offset or None}
    return calls.read("TradesHistory", params, lambda result: _page(result, "trades"))


def ledger_page(
    calls: Calls, /, start: float | None, end: float, offset: int, *, account_id: str | None = None
) -> Steps[Page]:
    """Return one page of the ledger between two times in seconds since 1970 (Ledgers), of one wallet or all."""
    params = {"start": start, "end": end, "ofs": offset or None, "account_id": account_id}
    return calls.read("Ledgers", params, lambda result: _page(result, "ledger"))


def websocket_token(calls: Calls, /) -> Steps[WebSocketToken]:
    """Return a token for the WebSocket API (GetWebSocketsToken)."""
    return calls.read("GetWebSocketsToken", {}, lambda result: WebSocketToken(result["token"], int(result["expires"])))


def api_key_info(calls: Calls, /) -> Steps[ApiKeyInfo]:
    """Return what Kraken knows about this key (GetApiKeyInfo). Like any private call it needs a large enough nonce."""

    def read(raw: dict[str, Any]) -> ApiKeyInfo:
        window = raw.get("nonceWindow", raw.get("nonce_window", 0))
        name = raw.get("apiKeyName", raw.get("api_key_name", ""))
        return ApiKeyInfo(str(name), int(raw["nonce"]), int(window), tuple(raw.get("permissions", ())), raw)

    return calls.read("GetApiKeyInfo", {}, read)


def server_time(calls: Calls, /) -> Steps[int]:
    """Return Kraken's clock, in whole seconds since 1970 (Time)."""
    return calls.read("Time", {}, lambda result: int(result["unixtime"]))


def system_status(calls: Calls, /) -> Steps[str]:
    """Return ``online``, ``maintenance``, ``cancel_only`` or ``post_only`` (SystemStatus)."""
    return calls.read("SystemStatus", {}, lambda result: str(result["status"]))


def system_advisories(calls: Calls, /) -> Steps[Advisories]:
    """Return what Kraken announces beside its state (SystemStatus). MaintenanceSchedule has the next seven days."""

    def read(result: dict[str, Any]) -> Advisories:
        planned, emergency = (result.get(name) or [] for name in ("upcoming_maintenance", "emergency"))
        return Advisories(str(result["status"]), list(planned), list(emergency))

    return calls.read("SystemStatus", {}, read)


def _amounts(result: dict[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(str(amount)) for name, amount in result.items()}


def _earning(asset: str, parts: dict[str, list[Decimal]]) -> Decimal:
    # Kraken's old names of assets have a letter more, which their .F names do not have: XXBT and XBT.F.
    short = asset[1:] if len(asset) == _OLD_NAME and asset[0] in "XZ" and asset[1:] not in parts else asset
    found = next((parts[name] for name in (f"{asset}.F", f"{short}.F") if name in parts), None)
    return found[0] if found else Decimal(0)


def _page(result: dict[str, Any], part: str) -> Page:
    return Page(dict(result[part]), int(result["count"]))
