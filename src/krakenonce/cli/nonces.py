"""Commands for nonces: next, peek, stats, raise-floor."""

from __future__ import annotations

import contextlib
import time

import click

from krakenonce.backends import SERVED, ScopeStats
from krakenonce.backends.moved import refuse_moved_state
from krakenonce.cli.options import confirm, json_option, scope_option, state_option
from krakenonce.cli.output import to_json, write
from krakenonce.cli.tables import Column, write_table
from krakenonce.errors import InvalidScope, NonceError
from krakenonce.manager import NonceManager
from krakenonce.rule import NONCE_MAX

_DAY = 86_400 * 10**9  # nanoseconds


@click.command("next")
@scope_option
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many nonces to issue.")
@json_option
@state_option
def next_(scope: str, count: int, as_json: bool, state: str | None) -> None:
    """Print the next nonce. It is larger than all nonces before it.

    A printed nonce is used up, even if it is never sent to Kraken.
    """
    with NonceManager(state) as manager:
        if as_json:
            write(to_json({"scope": scope, "nonces": [manager.next(scope) for _ in range(count)]}))
            return
        for _ in range(count):
            write(str(manager.next(scope)))


@click.command()
@scope_option
@json_option
@state_option
def peek(scope: str, as_json: bool, state: str | None) -> None:
    """Print the last nonce issued by any process. Changes nothing."""
    with NonceManager(state) as manager:
        last = manager.peek(scope)
        refuse_moved_state(manager.store)
        if last is None:
            raise NonceError(
                f"counter {scope} in {_place(manager)} has issued no nonce yet; `krakenonce next` issues one"
            )
        write(to_json({"scope": scope, "last": last}) if as_json else str(last))


@click.command()
@click.option("--scope", metavar="NAME", help="Show only this counter. Default: all counters in the directory.")
@json_option
@state_option
def stats(scope: str | None, as_json: bool, state: str | None) -> None:
    """Show each counter's last nonce, lead and high-water mark. Changes nothing."""
    with NonceManager(state) as manager:
        refuse_moved_state(manager.store)
        found = _stats_of_all(manager) if scope is None else [manager.stats(scope)]
        if as_json:
            fields = ("scope", "last", "mark", "lead_ns")
            scopes = [{field: getattr(each, field) for field in fields} for each in found]
            write(to_json({"directory": _place(manager), "shared": manager.store.shared, "scopes": scopes}))
            return
        if found:
            numbers = ("last nonce", "lead over the clock (s)", "high-water mark")
            write_table((Column("counter"), *(Column(each, "number") for each in numbers)), map(_row, found))
        served = SERVED[manager.store.shared]
        write(f"{'nonces kept' if found else 'no nonces issued yet'} in {_place(manager)}, for {served}")


@click.command("raise-floor", context_settings={"ignore_unknown_options": True})  # -5 is a number, not an option
@click.argument("floor", metavar="N", type=click.INT)
@scope_option
@click.option(
    "--yes",
    is_flag=True,
    help="Do not ask before raising the counter global more than a day ahead of the clock.",
)
@json_option
@state_option
def raise_floor(floor: int, scope: str, yes: bool, as_json: bool, state: str | None) -> None:
    """Make all later nonces larger than N. This cannot be undone.

    Use it for an API key from which Kraken has accepted larger nonces. A floor below the last nonce changes nothing.
    A floor cannot be lowered.
    """
    if scope == "global" and not yes and time.time_ns() + _DAY < floor < NONCE_MAX:
        confirm(
            f"{floor} is more than a day ahead of the clock, and all keys that use the counter global will use nonces "
            "above it. This cannot be undone. Continue?"
        )
    with NonceManager(state) as manager:
        manager.raise_floor(floor, scope)
        last = manager.peek(scope)
        is_raised = last is None or last <= floor
        if as_json:
            write(to_json({"scope": scope, "last": last, "raised": is_raised}))
            return
        unchanged = "" if is_raised else f"; {floor} is not larger, so nothing was changed"
        write(f"the next nonce of counter {scope} will be larger than {last}{unchanged}")


def _stats_of_all(manager: NonceManager) -> list[ScopeStats]:
    found = []
    for scope in manager.store.scopes():
        with contextlib.suppress(InvalidScope):  # not a counter's file, but named almost like one
            found.append(manager.stats(scope))
    return found


def _row(seen: ScopeStats) -> tuple[str, ...]:
    lead = "-" if seen.lead_ns is None else f"{seen.lead_ns / 1e9:.3f}"
    last, mark = ("-" if nonce is None else str(nonce) for nonce in (seen.last, seen.mark))
    return seen.scope, last, lead, mark


def _place(manager: NonceManager) -> str:
    """Return the state directory, or the backend's repr."""
    return str(getattr(manager.store, "directory", manager.store))
