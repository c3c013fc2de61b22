"""Commands for the number: next, peek, stats, raise-floor."""

from __future__ import annotations

import contextlib
import time

import click

from krakenonce.cli.options import confirm, json_option, scope_option, state_option
from krakenonce.cli.output import to_json, write, write_table
from krakenonce.errors import InvalidScope, NonceError
from krakenonce.manager import ManagerStats, NonceManager
from krakenonce.rule import NONCE_MAX
from krakenonce.stores import SERVED

__all__ = ["next_", "peek", "raise_floor", "stats"]

_DAY = 86_400 * 10**9  # nanoseconds


@click.command("next")
@scope_option
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many numbers.")
@state_option
def next_(scope: str, count: int, state: str | None) -> None:
    """Print the next number, larger than every number before it.

    A number printed is used up, whether or not it is sent to Kraken.
    """
    with NonceManager(state) as manager:
        for _ in range(count):
            write(str(manager.next(scope)))


@click.command()
@scope_option
@state_option
def peek(scope: str, state: str | None) -> None:
    """Print the last number issued by anybody. Changes nothing."""
    with NonceManager(state) as manager:
        last = manager.peek(scope)
        if last is None:
            raise NonceError(f"no number of {scope} in {_place(manager)} yet: krakenonce next issues one")
        write(str(last))


@click.command()
@click.option("--scope", metavar="NAME", help="Only this counter. Default: all that the directory has.")
@json_option
@state_option
def stats(scope: str | None, as_json: bool, state: str | None) -> None:
    """Show the last numbers and their lead over the clock. Changes nothing."""
    with NonceManager(state) as manager:
        found = _stats_of_all(manager) if scope is None else [manager.stats(scope)]
        if as_json:
            fields = ("scope", "last", "mark", "lead_ns")
            scopes = [{field: getattr(each, field) for field in fields} for each in found]
            write(to_json({"directory": _place(manager), "shared": manager.store.shared, "scopes": scopes}))
            return
        if found:
            write_table(("scope", "last", "lead over the clock (s)", "mark"), map(_row, found))
        served = SERVED[manager.store.shared]
        write(f"{'state' if found else 'no numbers yet'} in {_place(manager)}, for {served}")


@click.command("raise-floor", context_settings={"ignore_unknown_options": True})  # -5 is a number, not an option
@click.argument("floor", metavar="N", type=click.INT)
@scope_option
@click.option("--yes", is_flag=True, help="Do not ask before the counter of all keys goes far ahead of the clock.")
@state_option
def raise_floor(floor: int, scope: str, yes: bool, state: str | None) -> None:
    """Make the next number larger than N, for good.

    For a key that Kraken has seen with larger numbers. A floor below the last number changes nothing, and
    no floor can be taken back.
    """
    if scope == "global" and not yes and time.time_ns() + _DAY < floor < NONCE_MAX:
        confirm(f"{floor} is far ahead of the clock, and all keys without a --scope of their own go there. Go on?")
    with NonceManager(state) as manager:
        manager.raise_floor(floor, scope)
        last = manager.peek(scope)
        unchanged = f"; {floor} is below that, so nothing has changed" if last is not None and last > floor else ""
        write(f"the next number of {scope} will be larger than {last}{unchanged}")


def _stats_of_all(manager: NonceManager) -> list[ManagerStats]:
    found = []
    for scope in manager.store.scopes():
        with contextlib.suppress(InvalidScope):  # somebody else's file, named almost like ours
            found.append(manager.stats(scope))
    return found


def _row(seen: ManagerStats) -> tuple[str, ...]:
    lead = "-" if seen.lead_ns is None else f"{seen.lead_ns / 1e9:.3f}"
    last, mark = ("-" if number is None else str(number) for number in (seen.last, seen.mark))
    return seen.scope, last, lead, mark


def _place(manager: NonceManager) -> str:
    """Return the state directory, or what the store calls itself."""
    return str(getattr(manager.store, "directory", manager.store))
