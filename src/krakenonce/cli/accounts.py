"""Commands that call many accounts at the same time: balance --all, call-all, copy-order."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from krakenonce.cli.options import finite, json_option, kraken_options, params_of
from krakenonce.cli.output import complain, not_lost, to_json, write, write_table
from krakenonce.cli.waiting import Terminated, progress, terminable
from krakenonce.credentials import MASTER, account, load_accounts
from krakenonce.errors import KrakenError, KrakenonceError
from krakenonce.fan_out import late
from krakenonce.kraken.methods import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from krakenonce.broker_manager import BrokerManager
    from krakenonce.credentials import Account
    from krakenonce.fan_out import Outcome

__all__ = ["call_all", "copy_order", "show_balances"]

_NOT_REACHED = "it did not reach Kraken"

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
    with _brokers(chosen, state, base_url) as (brokers, told, heed):
        names = [each.name for each in chosen]
        outcomes, stopped = _gathered(
            names, told, lambda note: brokers.call_all(method, params, within=within, on_outcome=note)
        )

        def report() -> str:
            return to_json({name: _as_dict(outcomes[name]) for name in names})

        with not_lost(report):
            heed()
            write(report())
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
            names, told, lambda note: brokers.copy_order(order, names, scale, within=within, on_outcome=note)
        )
        with not_lost(lambda: to_json({name: _as_dict(outcomes[name]) for name in names})):
            verdicts = {name: _verdict(outcomes[name]) for name in names}
            if stopped is None:
                stopped = _ask_for_unknown(outcomes, verdicts)
            heed()
            if as_json:
                found = {name: {"verdict": each.word, "txids": each.txids} for name, each in verdicts.items()}
                write(to_json({name: {**_as_dict(outcomes[name]), **found[name]} for name in names}))
            else:
                rows = [(name, each.word, each.details) for name, each in verdicts.items()]
                write_table(("account", "order", "details"), rows)
        if stopped:
            raise stopped
    if not all(each.word in ("placed", "valid") for each in verdicts.values()):
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _brokers(
    accounts: list[Account], state: str | None, base_url: str
) -> Iterator[tuple[BrokerManager, Callable[[object], None], Callable[[], None]]]:
    """Brokers for the accounts, what to call with each outcome, and what to call when all is to be told.

    From the first Ctrl-C or SIGTERM until then another one is ignored.
    """
    from krakenonce.broker_manager import BrokerManager
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
    told: Callable[[object], None],
    calls: Callable[[Callable[[Outcome[Any]], None]], Mapping[str, Outcome[Any]]],
) -> tuple[Mapping[str, Outcome[Any]], KeyboardInterrupt | None]:
    """Make the calls; return what became of each, and what stopped them."""
    outcomes: dict[str, Outcome[Any]] = {}

    def note(outcome: Outcome[Any]) -> None:
        outcomes[outcome.account] = outcome
        told(outcome)

    try:
        return calls(note), None
    except KeyboardInterrupt as stopped:
        return {name: outcomes.get(name) or late(name, why="Interrupted") for name in names}, stopped


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


def _scale(words: tuple[str, ...], accounts: list[Account]) -> str | dict[str, str]:
    """One factor for all, or each account's by name."""
    common = [word for word in words if "=" not in word]
    if len(common) > 1:
        raise click.UsageError("Give one --scale for all accounts, and others as NAME=FACTOR")
    scale = {each.name: common[0] if common else "1" for each in accounts}
    names, named = {each.name: each.name for each in accounts}, set[str]()
    for word in words:
        name, equals, factor = word.partition("=")
        if equals:
            found = account(names, name)
            if found in named:
                raise click.UsageError(f"Give one --scale for {found}")
            named.add(found)
            scale[found] = factor
    return scale


class _Verdict(NamedTuple):
    """What became of one account's order, in a word, with details, and the ids that Kraken gave it."""

    word: str
    details: str
    txids: Sequence[str] = ()


def _verdict(outcome: Outcome[Any]) -> _Verdict:
    """Say what became of one account's order, as far as that is known without asking Kraken."""
    if outcome.error is None:
        result = outcome.get()
        order, txids = result["descr"]["order"], result.get("txid")
        return _Verdict("placed", f"{', '.join(txids)} {order}", txids) if txids else _Verdict("valid", order)
    if outcome.may_have_executed == "no":
        return _Verdict("not placed", _message(outcome.error))
    return _unknown(outcome.error, _message(outcome.error))


def _ask_for_unknown(outcomes: Mapping[str, Outcome[Any]], verdicts: dict[str, _Verdict]) -> KeyboardInterrupt | None:
    """Ask Kraken, side by side, for the orders of which nothing is known; return what stopped it, Ctrl-C say."""
    from krakenonce.broker_manager import THREADS

    unknown = {
        name: outcome.error
        for name, outcome in outcomes.items()
        if verdicts[name].word == "unknown" and isinstance(outcome.error, KrakenError)
    }
    pool = ThreadPoolExecutor(THREADS)
    try:
        for name in unknown:
            complain(f"{name}: no answer, asking Kraken whether the order stands")
        asked = {pool.submit(_asked, error): name for name, error in unknown.items()}
        for answered in as_completed(asked):
            verdicts[asked[answered]] = answered.result()
    except KeyboardInterrupt as stopped:
        return stopped
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return None


def _asked(error: KrakenError) -> _Verdict:
    """Say what Kraken answers when it is asked for the order."""
    try:
        found = error.reconcile()
    except Exception as failed:  # whatever it is, the others are to be told
        return _unknown(error, _message(failed))
    if found is None or found.stands is None:
        return _unknown(error, _message(error))
    txids = list(found.orders)
    return _Verdict("placed", ", ".join(txids), txids) if found.stands else _Verdict("not placed", _NOT_REACHED)


def _unknown(error: BaseException, why: str) -> _Verdict:
    """With the ids to look for, whatever the reason is."""
    order = getattr(error, "order", None)
    missing = [each for each in (order.cl_ord_ids if order else ()) if each not in why]
    return _Verdict("unknown", f"{why} (cl_ord_id {', '.join(missing)})" if missing else why)


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, KrakenonceError) else f"unexpected {type(error).__name__}"


def _as_dict(outcome: Outcome[Any]) -> dict[str, Any]:
    if outcome.error is None:
        return {"result": outcome.result}
    order = getattr(outcome.error, "order", None)
    return {
        "error": type(outcome.error).__name__,
        "message": _message(outcome.error),
        "may_have_executed": outcome.may_have_executed,
        **({} if order is None else {"cl_ord_ids": list(order.cl_ord_ids)}),  # by which it can be looked for
    }
