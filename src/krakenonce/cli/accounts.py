"""Commands that call many accounts at the same time: balance --all, call-all, copy-order."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

from krakenonce.cli.options import json_option, kraken_options, params_of
from krakenonce.cli.output import complain, to_json, write, write_table
from krakenonce.cli.waiting import progress
from krakenonce.credentials import MASTER, account, load_accounts
from krakenonce.errors import KrakenError, KrakenonceError
from krakenonce.kraken.methods import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from krakenonce.broker_manager import BrokerManager
    from krakenonce.credentials import Account
    from krakenonce.fan_out import Outcome

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
    help="How long the whole may take. What has not been sent by then is not sent.",
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
        with _brokers(accounts, state, base_url) as (brokers, told):
            outcomes = brokers.call_all("Balance", on_outcome=told)
        for outcome in outcomes.values():
            if outcome.error is not None:
                complain(f"{outcome.account}: {_message(outcome.error)}")
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
    with _brokers(chosen, state, base_url) as (brokers, told):
        outcomes = brokers.call_all(method, params, within=within, on_outcome=told)
    _print_json(outcomes)


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
    with _brokers(chosen, state, base_url) as (brokers, told):
        names = [each.name for each in chosen]
        outcomes = brokers.copy_order(order, names, scale, within=within, on_outcome=told)
        verdicts = {name: _verdict(outcome) for name, outcome in outcomes.items()}
    if as_json:
        write(
            to_json({name: {**_as_dict(outcomes[name]), "verdict": verdict} for name, (verdict, _) in verdicts.items()})
        )
    else:
        write_table(("account", "order", "details"), [(name, *told) for name, told in verdicts.items()])
    if not all(verdict in ("placed", "valid") for verdict, _ in verdicts.values()):
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _brokers(
    accounts: list[Account], state: str | None, base_url: str
) -> Iterator[tuple[BrokerManager, Callable[[object], None]]]:
    """Brokers for the accounts, and what to call with each outcome."""
    from krakenonce.broker_manager import BrokerManager
    from krakenonce.global_manager import GlobalKrakenNonceManager
    from krakenonce.manager import NonceManager

    with (
        NonceManager(state) as manager,
        BrokerManager(accounts, nonces=GlobalKrakenNonceManager(manager), base_url=base_url) as brokers,
        progress("accounts", len(accounts)) as told,
    ):
        yield brokers, told


def _chosen(there: Mapping[str, Account], names: str | None) -> list[Account]:
    if names is None:
        return list(there.values()) or [account(there, MASTER)]
    return list({each.name: each for each in (account(there, name) for name in names.split(","))}.values())


def _scale(words: tuple[str, ...], accounts: list[Account]) -> str | dict[str, str]:
    """One factor for all, or each account's by name."""
    common = [word for word in words if "=" not in word]
    if len(common) > 1:
        raise click.UsageError("Give one --scale for all accounts, and others as NAME=FACTOR")
    scale = {each.name: common[0] if common else "1" for each in accounts}
    names = {each.name: each.name for each in accounts}
    for word in words:
        name, equals, factor = word.partition("=")
        if equals:
            scale[account(names, name)] = factor
    return scale


def _verdict(outcome: Outcome[Any]) -> tuple[str, str]:
    """What became of one account's order, in a word, and details; Kraken is asked if that is not known."""
    if outcome.error is None:
        result = outcome.get()
        order, txids = result["descr"]["order"], result.get("txid")
        return ("placed", f"{', '.join(txids)} {order}") if txids else ("valid", order)
    if outcome.may_have_executed == "no":
        return "not placed", _message(outcome.error)
    try:
        complain(f"{outcome.account}: no answer, asking Kraken whether the order stands")
        found = outcome.error.reconcile() if isinstance(outcome.error, KrakenError) else None
    except KrakenonceError as error:
        return "unknown", _message(error)
    if found is None or found.stands is None:
        return "unknown", _message(outcome.error)
    return ("placed", ", ".join(found.orders)) if found.stands else ("not placed", "it did not reach Kraken")


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, KrakenonceError) else f"unexpected {type(error).__name__}"


def _as_dict(outcome: Outcome[Any]) -> dict[str, Any]:
    if outcome.error is None:
        return {"result": outcome.result}
    return {
        "error": type(outcome.error).__name__,
        "message": _message(outcome.error),
        "may_have_executed": outcome.may_have_executed,
    }


def _print_json(outcomes: Mapping[str, Outcome[Any]]) -> None:
    write(to_json({name: _as_dict(outcome) for name, outcome in outcomes.items()}))
    if not all(outcome.ok for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)
