"""Commands that call many accounts at the same time: balance --all, call-all, copy-order."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from krakenonce.brokers.credentials import MASTER, account, full_name, load_accounts
from krakenonce.brokers.fan_out import INTERRUPTED, Outcome, late, order_to_find, reason, verdicts
from krakenonce.cli.options import finite, json_option, kraken_options, params_of
from krakenonce.cli.output import complain, not_lost, to_json, write, write_table
from krakenonce.cli.waiting import Terminated, progress, terminable
from krakenonce.key.methods import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from krakenonce.brokers.credentials import Account
    from krakenonce.brokers.fan_out import Verdict
    from krakenonce.brokers.manager import BrokerManager

__all__ = ["call_all", "copy_order", "show_balances"]

accounts_option = click.option(
    "--accounts",
    metavar="NAME,...",
    help="Which accounts, such as MASTER,alice,bob.",
)
within_option = click.option(
    "--within",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    callback=finite,
    help="How long all calls together may take. What has not been sent by then is not sent. Asking for orders that got "
    "no answer comes after it.",
)


def show_balances(
    accounts: Iterable[Account],
    state: str | None,
    base_url: str,
    as_json: bool,
    found: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Print what accounts hold; all are asked, unless *found* has it."""
    accounts = list(accounts)
    if found is None:
        with _brokers(accounts, state, base_url) as (brokers, told, _):
            outcomes = brokers.call_all("Balance", on_outcome=told)
        for outcome in outcomes.values():
            if outcome.error is not None:
                complain(f"{outcome.account}: {reason(outcome.error)}")
        found = {name: outcome.get() for name, outcome in outcomes.items() if outcome.ok}
    if as_json:
        write(to_json(found))
    elif found:
        rows = [(name, asset, str(amount)) for name, held in found.items() for asset, amount in held.items()]
        write_table(("account", "asset", "amount"), rows)
    if len(found) < len(accounts):
        raise click.exceptions.Exit(1)


@click.command("call-all")
@click.argument("method")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@accounts_option
@within_option
@kraken_options
def call_all(
    method: str,
    parameters: tuple[str, ...],
    accounts: str | None,
    within: float | None,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Make one private call for many accounts at the same time, and print what became of each as JSON.

    Without --accounts it is made for all. One account's failure stops no other; the exit code is 1 if there was any.
    Nothing is asked first: AddOrder places an order for each.
    """
    if method in PUBLIC:
        raise click.UsageError(f"{method} is a public method, which needs no account: krakenonce call {method}")
    params = params_of(parameters)
    chosen = _chosen(load_accounts(os.environ, credentials), accounts)
    with _brokers(chosen, state, base_url) as (brokers, told, heed):
        names = [each.name for each in chosen]
        outcomes, stopped = _gathered(
            names, lambda note: brokers.call_all(method, params, within=within, on_outcome=note), told
        )
        with not_lost(lambda: _json(outcomes)):
            heed()
            write(_json(outcomes))
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
    metavar="[NAME=]FACTOR",
    help="What the volume is multiplied by: for all, or with a name for one account. May be given several times.",
)
@click.option("--validate", is_flag=True, help="Have Kraken check the orders only; nothing is placed.")
@within_option
@json_option
@kraken_options
def copy_order(
    parameters: tuple[str, ...],
    accounts: str | None,
    scales: tuple[str, ...],
    validate: bool,
    within: float | None,
    as_json: bool,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Place one order for many accounts at the same time: krakenonce copy-order pair=XBTUSD type=buy ...

    The parameters are those of Kraken's AddOrder. Without --accounts it is placed for all users, but not for MASTER,
    whose order it usually is. Nothing is asked first, and without --validate the orders are real. No order is placed
    twice: where no answer comes, Kraken is asked whether the order stands.
    """
    order: dict[str, Any] = params_of(parameters)
    if validate:
        order["validate"] = True
    there = load_accounts(os.environ, credentials)
    chosen = _chosen(there, accounts)
    if accounts is None:
        chosen = [each for each in chosen if each.name != MASTER]
        if not chosen:
            raise click.UsageError("There are no users to copy an order to: give --accounts MASTER, or set up users")
    scale = _scale(scales, chosen)
    with _brokers(chosen, state, base_url) as (brokers, told, heed):
        names = [each.name for each in chosen]
        outcomes, stopped = _gathered(
            names, lambda note: brokers.copy_order(order, names, scale, within=within, on_outcome=note), told
        )
        with not_lost(lambda: _json(outcomes)):
            found: dict[str, Outcome[Any]] = {}
            if stopped is None:
                unknown = [name for name in names if order_to_find(outcomes[name])]
                for name in unknown:
                    complain(f"{name}: no answer, asking Kraken whether the order stands")
                found, stopped = _gathered(unknown, lambda note: brokers.reconcile(outcomes, on_outcome=note))
            orders = verdicts(outcomes, found)
            heed()
            if as_json:
                write(_json(outcomes, orders))
            else:
                rows = [(name, each.state, each.details) for name, each in orders.items()]
                write_table(("account", "order", "details"), rows)
        if stopped:
            raise stopped
    if not all(each.state in ("placed", "valid") for each in orders.values()):
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _brokers(
    accounts: list[Account], state: str | None, base_url: str
) -> Iterator[tuple[BrokerManager, Callable[[object], None], Callable[[], None]]]:
    """Brokers for the accounts, what to call with each outcome, and what to call when all is to be told.

    From the first Ctrl-C or SIGTERM until then another one is ignored.
    """
    from krakenonce.brokers.manager import BrokerManager
    from krakenonce.global_manager import GlobalKrakenNonceManager
    from krakenonce.manager import NonceManager

    with (
        NonceManager(state) as manager,
        BrokerManager(accounts, nonces=GlobalKrakenNonceManager(manager), base_url=base_url) as brokers,
        terminable() as heed,
    ):
        try:
            with progress("accounts", len(accounts)) as told:
                yield brokers, told, heed
        except KeyboardInterrupt as stopped:
            _leave(signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT)


def _gathered(
    names: Iterable[str],
    calls: Callable[[Callable[[Outcome[Any]], None]], object],
    told: Callable[[object], None] = lambda _: None,
) -> tuple[dict[str, Outcome[Any]], KeyboardInterrupt | None]:
    """Make the calls; return what became of each, and what stopped them."""
    outcomes: dict[str, Outcome[Any]] = {}
    stopped = None

    def note(outcome: Outcome[Any]) -> None:
        outcomes[outcome.account] = outcome
        told(outcome)

    try:
        calls(note)
    except KeyboardInterrupt as interrupt:
        stopped = interrupt
    return {name: outcomes.get(name) or Outcome(name, error=late(why=INTERRUPTED)) for name in names}, stopped


def _leave(number: signal.Signals) -> NoReturn:
    """Exit at once: the interpreter would wait for the answers under way. The kernel gives back what they hold."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError, ValueError):
            stream.flush()
    os._exit(128 + number)


def _chosen(there: Mapping[str, Account], names: str | None) -> list[Account]:
    if names is None:
        return list(there.values()) or [account(there, MASTER)]
    return list({each.name: each for each in (account(there, name) for name in names.split(","))}.values())


def _scale(words: tuple[str, ...], accounts: list[Account]) -> dict[str, str]:
    """Each account's factor, by name."""
    names = {each.name: each for each in accounts}
    given: dict[str, str] = {}
    for word in words:
        name, equals, factor = word.rpartition("=")
        who = full_name(names, name) if equals else ""
        if who in given:
            raise click.UsageError(f"Give one --scale for {who or 'all accounts, and others as NAME=FACTOR'}")
        given[who] = factor
    return {name: given.get(name, given.get("", "1")) for name in names}


def _json(outcomes: Mapping[str, Outcome[Any]], orders: Mapping[str, Verdict] | None = None) -> str:
    told = {name: _as_dict(outcome) for name, outcome in outcomes.items()}
    for name, each in (orders or {}).items():
        told[name] |= {"verdict": each.state, "txids": each.txids}
    return to_json(told)


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
