"""What became of the calls of many accounts: as JSON, or as a table with each reason once and the sum below it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from krakenonce.brokers.fan_out import reason
from krakenonce.cli.output import complain, to_json
from krakenonce.cli.tables import Column, write_table, write_text
from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from krakenonce.brokers.fan_out import Outcome, Verdict
    from krakenonce.cli.tables import Colour


_COLOURS: dict[str, Colour] = {"not placed": "red", "unknown": "yellow"}
_SOME = 3  # accounts that are named before their number is


def as_json(outcomes: Mapping[str, Outcome[Any]], orders: Mapping[str, Verdict] | None = None) -> str:
    """Return all outcomes as JSON; *orders* adds what became of each order."""
    shown = {name: _as_dict(outcome) for name, outcome in outcomes.items()}
    for name, each in (orders or {}).items():
        shown[name] |= {"verdict": each.state, "txids": each.txids}
    return to_json(shown)


def show_orders(outcomes: Mapping[str, Outcome[Any]], orders: Mapping[str, Verdict], *, validate: bool) -> None:
    """Write the orders of all accounts as a table, then what went wrong, then the sum.

    Args:
        outcomes: The outcomes of the calls, by account.
        orders: What became of each order.
        validate: Whether Kraken has only checked them.
    """
    columns = (Column("account"), Column("order", "id"), Column("order id", "id"), Column("details", "reason"))
    write_table(columns, [_order_row(name, each, outcomes[name]) for name, each in orders.items()], _colour)
    failed = {name: each for name, each in orders.items() if each.state in ("not placed", "unknown")}
    for line in _once({name: _without_ids(each.details, outcomes[name]) for name, each in failed.items()}):
        write_text(line)
    counts = Counter(str(each.state) for each in orders.values())
    write_text(_sum("valid" if validate else "placed", counts, {"not placed": "not", "unknown": "unknown"}))


def show_balances(outcomes: Mapping[str, Outcome[Any]]) -> None:
    """Write the balances of all accounts as a table, with the sum of the accounts."""
    failed = {name: each.error for name, each in outcomes.items() if each.error is not None}
    rows: list[Sequence[str]] = []
    for name, each in outcomes.items():
        if each.error is None:
            rows += [(name, asset, str(amount), "") for asset, amount in each.get().items()]
        else:
            rows.append((name, "", "", _short(each.error)))
    columns = (Column("account"), Column("asset"), Column("amount", "number"), Column("error", "reason"))
    width = len(columns) if failed else len(columns) - 1
    if rows:
        write_table(columns[:width], [row[:width] for row in rows], lambda row: "red" if row[0] in failed else None)
    shown = Counter(shown=len(outcomes) - len(failed), failed=len(failed))
    write_text(f"accounts: {_sum('shown', shown, {'failed': 'failed'})}")


def complain_of(outcomes: Mapping[str, Outcome[Any]]) -> None:
    """Write to stderr why accounts have no result: one line for each reason."""
    failed = {name: reason(each.error) for name, each in outcomes.items() if each.error is not None}
    for line in _once(failed):
        complain(line)


def sum_of(outcomes: Mapping[str, Outcome[Any]]) -> str:
    """Return how many calls were answered with a result, how many failed, and of how many that is not known."""
    counts = Counter(
        "ok" if each.ok else "unknown" if each.may_have_executed == "unknown" else "failed"
        for each in outcomes.values()
    )
    return _sum("ok", counts, {"failed": "failed", "unknown": "unknown"})


def _order_row(name: str, order: Verdict, outcome: Outcome[Any]) -> tuple[str, str, str, str]:
    if order.state == "unknown":
        sent = getattr(outcome.error, "order", None)
        return name, order.state, ", ".join(sent.cl_ord_ids if sent else ()), _why(outcome)
    ids = ", ".join(order.txids)
    if order.state == "not placed":
        return name, order.state, ids, _why(outcome) if outcome.may_have_executed == "no" else "did not reach Kraken"
    return name, order.state, ids, order.details.removeprefix(ids).strip()


def _why(outcome: Outcome[Any]) -> str:
    return "" if outcome.error is None else _short(outcome.error)


def _short(error: Exception) -> str:
    """Return an error in a few words: Kraken's own string, or else its name."""
    if isinstance(error, ConfigError):
        return "not sent"
    said = getattr(error, "errors", ())
    return str(said[0]) if said else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def _without_ids(text: str, outcome: Outcome[Any]) -> str:
    """Return a reason without the order's own ids, which are in the table: so it is the same for all such orders."""
    order = getattr(outcome.error, "order", None)
    ids = ", ".join(order.cl_ord_ids if order else ())
    return text.replace(f" (cl_ord_id {ids})", "").replace(f"cl_ord_id {ids}", "its cl_ord_id") if ids else text


def _once(texts: Mapping[str, str]) -> Iterable[str]:
    """Return a line for each distinct text, which begins with the accounts that it is about."""
    names: dict[str, list[str]] = {}
    for name, text in texts.items():
        names.setdefault(text, []).append(name)
    for text, whose in names.items():
        more = f" and {len(whose) - _SOME} more" if len(whose) > _SOME else ""
        yield f"{', '.join(whose[:_SOME])}{more}: {text}"


def _sum(first: str, counts: Mapping[str, int], others: Mapping[str, str]) -> str:
    """Return how often each state came: *first* always, *others* if there are any, each by its word."""
    parts = [f"{counts.get(first, 0)} {first}"]
    parts += [f"{counts[state]} {word}" for state, word in others.items() if counts.get(state)]
    return ", ".join(parts)


def _colour(row: Sequence[str]) -> Colour | None:
    return _COLOURS.get(row[1])


def _as_dict(outcome: Outcome[Any]) -> dict[str, Any]:
    if outcome.error is None:
        return {"result": outcome.result}
    order = getattr(outcome.error, "order", None)
    return {
        "error": type(outcome.error).__name__,
        "message": reason(outcome.error),
        "may_have_executed": outcome.may_have_executed,
        **({} if order is None else {"cl_ord_ids": list(order.cl_ord_ids)}),  # by which it can be looked for
    }
