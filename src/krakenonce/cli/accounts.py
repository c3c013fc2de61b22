"""Commands that call many accounts at the same time: balance --all, call-all, copy-order."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from krakenonce.brokers.credentials import MASTER, full_name, read_accounts
from krakenonce.brokers.fan_out import INTERRUPTED, Outcome, late, order_to_find, verdicts
from krakenonce.brokers.procedures import factor_of
from krakenonce.cli.completion import complete_private_method, complete_scale
from krakenonce.cli.options import (
    account_of,
    accounts_option,
    always_json_option,
    force_option,
    json_option,
    kraken_options,
    method_of,
    params_of,
    seconds,
    wrong_usage,
)
from krakenonce.cli.outcomes import as_json as json_of
from krakenonce.cli.outcomes import show_orders, sum_of
from krakenonce.cli.output import complain, not_lost, write
from krakenonce.cli.waiting import Terminated, progress, terminable
from krakenonce.key.methods import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from krakenonce.brokers.credentials import Account, Found
    from krakenonce.brokers.manager import BrokerManager


within_option = click.option(
    "--within",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    callback=seconds,
    help="Time limit for all calls together, in seconds. A call that has not been sent by then is not sent. Asking "
    "Kraken about orders that got no answer may take longer.",
)


def balances_of(accounts: Iterable[Account], state: str | None, base_url: str) -> dict[str, Outcome[Any]]:
    """Return the balances of accounts, all asked at the same time."""
    with _brokers(list(accounts), state, base_url) as (brokers, advance, _):
        return brokers.call_all("Balance", on_outcome=advance)


@click.command("call-all")
@click.argument("method", shell_complete=complete_private_method)
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@accounts_option
@within_option
@force_option
@always_json_option
@kraken_options
def call_all(
    method: str,
    parameters: tuple[str, ...],
    accounts: str | None,
    within: float | None,
    force: bool,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Make one private call for many accounts at the same time, and print each outcome as JSON.

    Without --accounts the call is made for all accounts. An error in one account does not affect the others; the exit
    code is then 1. There is no confirmation: AddOrder places an order for each account.
    """
    if method in PUBLIC:
        raise click.UsageError(f"{method} is a public method and needs no account; use `krakenonce call {method}`")
    if method == "RetrieveExport":
        raise click.UsageError("RetrieveExport gives a file: `krakenonce call RetrieveExport id=... > export.zip`")
    params = params_of(method_of(method), parameters, force=force)
    chosen = _chosen(read_accounts(os.environ, credentials), accounts)
    with _brokers(chosen, state, base_url) as (brokers, advance, handle_signals):
        names = [each.name for each in chosen]
        outcomes, stopped = _gathered(
            names, lambda note: brokers.call_all(method, params, within=within, on_outcome=note), advance
        )
        with not_lost(lambda: json_of(outcomes)):
            handle_signals()
            write(json_of(outcomes))
        if sys.stderr is not None and sys.stderr.isatty():
            complain(sum_of(outcomes))
        if stopped:
            raise stopped
    if not all(outcome.ok for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)


@click.command("copy-order")
@click.argument("parameters", nargs=-1, required=True, metavar="KEY=VALUE...")
@accounts_option
@click.option(
    "--scale",
    "scales",
    multiple=True,
    shell_complete=complete_scale,
    metavar="[NAME=]FACTOR",
    help="Factor for the volume, for all accounts or for one. May be repeated.",
)
@click.option("--validate", is_flag=True, help="Let Kraken check the orders without placing them.")
@within_option
@force_option
@json_option
@kraken_options
def copy_order(
    parameters: tuple[str, ...],
    accounts: str | None,
    scales: tuple[str, ...],
    validate: bool,
    within: float | None,
    force: bool,
    as_json: bool,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Place one order for many accounts at the same time: krakenonce copy-order pair=XBTUSD type=buy ...

    The parameters are those of Kraken's AddOrder. Without --accounts the order is placed for all users, but not for
    MASTER, whose order it usually is. There is no confirmation: without --validate the orders are real. No order is
    placed twice. If an order gets no answer, krakenonce asks Kraken whether it was placed.
    """
    order = params_of("AddOrder", parameters, force=force)
    if validate:
        order["validate"] = True
    chosen = _chosen(read_accounts(os.environ, credentials), accounts)
    if accounts is None:
        chosen = [each for each in chosen if each.name != MASTER]
        if not chosen:
            raise click.UsageError("There are no user accounts: add users to the credentials, or use --accounts MASTER")
    scale = _scale(scales, chosen)
    with _brokers(chosen, state, base_url) as (brokers, advance, handle_signals):
        names = [each.name for each in chosen]
        outcomes, stopped = _gathered(
            names, lambda note: brokers.copy_order(order, names, scale, within=within, on_outcome=note), advance
        )
        with not_lost(lambda: json_of(outcomes)):
            found: dict[str, Outcome[Any]] = {}
            if stopped is None:
                unknown = [name for name in names if order_to_find(outcomes[name])]
                for name in unknown:
                    complain(f"{name}: no answer; asking Kraken whether the order was placed")
                found, stopped = _gathered(unknown, lambda note: brokers.reconcile(outcomes, on_outcome=note))
            orders = verdicts(outcomes, found)
            handle_signals()
            if as_json:
                write(json_of(outcomes, orders))
            else:
                show_orders(outcomes, orders, validate=validate)
        if stopped:
            raise stopped
    if not all(each.state in ("placed", "valid") for each in orders.values()):
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _brokers(
    accounts: list[Account], state: str | None, base_url: str
) -> Iterator[tuple[BrokerManager, Callable[[object], None], Callable[[], None]]]:
    """Yield the brokers, a function to call with each outcome, and one to call before the outcomes are printed.

    After the first Ctrl-C or SIGTERM, others are ignored until then.
    """
    from krakenonce.brokers.manager import BrokerManager
    from krakenonce.global_manager import GlobalKrakenNonceManager
    from krakenonce.manager import NonceManager

    with (
        NonceManager(state) as manager,
        BrokerManager(accounts, nonces=GlobalKrakenNonceManager(manager), base_url=base_url) as brokers,
        terminable() as handle_signals,
    ):
        try:
            with progress("accounts", len(accounts)) as advance:
                yield brokers, advance, handle_signals
        except KeyboardInterrupt as stopped:
            _leave(signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT)


def _gathered(
    names: Iterable[str],
    calls: Callable[[Callable[[Outcome[Any]], None]], object],
    advance: Callable[[object], None] = lambda _: None,
) -> tuple[dict[str, Outcome[Any]], KeyboardInterrupt | None]:
    """Make the calls. Return the outcome of each, and the interrupt that stopped them, if any."""
    outcomes: dict[str, Outcome[Any]] = {name: Outcome(name, error=late(why=INTERRUPTED)) for name in names}

    def note(outcome: Outcome[Any]) -> None:
        outcomes[outcome.account] = outcome
        advance(outcome)

    try:
        calls(note)
    except KeyboardInterrupt as stopped:
        return outcomes, stopped
    return outcomes, None


def _leave(number: signal.Signals) -> NoReturn:
    """Exit at once: the interpreter would wait for the answers to calls in progress. The kernel frees their lanes.

    What was written was flushed then. To flush again would wait for ever if nobody reads stdout.
    """
    os._exit(128 + number)


def _chosen(found: Found, names: str | None) -> list[Account]:
    if names is None:
        return list(found.all().values()) or [found.one(MASTER)]
    return list({each.name: each for each in [account_of(found, name) for name in names.split(",")]}.values())


def _scale(words: tuple[str, ...], accounts: list[Account]) -> dict[str, str]:
    """Each account's factor, by name."""
    names = {each.name: each for each in accounts}
    given: dict[str, str] = {}
    for word in words:
        name, equals, factor = word.rpartition("=")
        with wrong_usage():
            found = full_name(names, name) if equals else ""
            factor_of(factor)
        if found in given:
            raise click.UsageError(
                f"--scale was given twice for {found or 'all accounts; write others as NAME=FACTOR'}"
            )
        given[found] = factor
    return {name: given.get(name, given.get("", "1")) for name in names}
