"""Commands that make one account's calls: balance, call, adopt."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from krakenonce.brokers.credentials import MASTER, Account, read_accounts
from krakenonce.cli.accounts import balances_of
from krakenonce.cli.completion import complete_method
from krakenonce.cli.options import (
    account_of,
    account_option,
    always_json_option,
    confirm,
    force_option,
    json_option,
    kraken_options,
    method_of,
    params_of,
)
from krakenonce.cli.outcomes import complain_of, show_balances
from krakenonce.cli.output import complain, not_lost, to_json, write
from krakenonce.cli.tables import Column, write_table
from krakenonce.cli.waiting import report_long_wait, terminable
from krakenonce.errors import KrakenError, KrakenonceError
from krakenonce.key.methods import PUBLIC
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.brokers.fan_out import Outcome
    from krakenonce.kraken.adopt import Adopted


EXAMPLES = """\b
krakenonce call Ticker pair=XBTUSD
krakenonce call AddOrder pair=XBTUSD type=buy ordertype=limit volume=1 price=100 validate=true
krakenonce call CancelOrderBatch 'orders=["OU22CG-KLAF2-FWUDD7", "OWMCXH-RC4YZ-5XBN2P"]'
krakenonce call TradeVolume 'pair=[{"asset": "XBTUSD", "aclass": "forex"}]'
krakenonce call MaintenanceSchedule
"""

_FILE = "RetrieveExport"


@click.command()
@account_option
@click.option("--all", "every", is_flag=True, help="Show all accounts that have credentials.")
@json_option
@kraken_options
def balance(
    account_name: str | None, every: bool, as_json: bool, state: str | None, base_url: str, credentials: Path | None
) -> None:
    """Show the balance of an account.

    With --all, all accounts are asked at the same time. If an account fails, its error is printed on stderr, the
    others are shown, and the exit code is 1.
    """
    if every and account_name is not None:
        raise click.UsageError("Give --account or --all, not both")
    accounts = read_accounts(os.environ, credentials).all() if every else {}
    if accounts:
        _show_all(balances_of(accounts.values(), state, base_url), as_json)
        return
    chosen = _named(credentials, account_name)
    held = _call(chosen, "Balance", {}, state, base_url)
    if as_json:
        write(to_json({chosen.name: held}))
        return
    columns = (Column("account"), Column("asset"), Column("amount", "number"))
    write_table(columns, [(chosen.name, asset, str(amount)) for asset, amount in held.items()])


def _show_all(outcomes: dict[str, Outcome[Any]], as_json: bool) -> None:
    found = {name: each.result for name, each in outcomes.items() if each.ok}
    complain_of(outcomes)
    if as_json:
        write(to_json(found))
    else:
        show_balances(outcomes)
    if len(found) < len(outcomes):
        raise click.exceptions.Exit(1)


@click.command(epilog=EXAMPLES)
@click.argument("method", shell_complete=complete_method)
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@account_option
@force_option
@always_json_option
@kraken_options
def call(
    method: str,
    parameters: tuple[str, ...],
    account_name: str | None,
    force: bool,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Make one call to Kraken and print its result as JSON.

    METHOD is Kraken's name of the method. A public method such as Time needs no account. All others are private
    calls with the account's key. There is no confirmation: AddOrder places an order, AddStrategy starts a strategy. The
    order gets a cl_ord_id, and a deadline in ten seconds, unless you give them.
    """
    params = params_of(method_of(method), parameters, force=force)
    if method in PUBLIC:
        from krakenonce.kraken.client import Kraken

        with Kraken(base_url=base_url) as kraken:
            write(to_json(kraken.public(method, **params)))
        return
    chosen = _named(credentials, account_name)
    if method == _FILE and sys.stdout is not None and sys.stdout.isatty():
        raise click.UsageError(f"{_FILE} gives a zip file: write it to one, as in `... > export.zip`")
    with terminable() as handle_signals:
        result = _call(chosen, method, params, state, base_url)
        shown = result if isinstance(result, bytes) else to_json(result)
        with not_lost(lambda: "a file; make the call again" if isinstance(shown, bytes) else shown):
            handle_signals()
            write(shown)


@click.command()
@account_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@kraken_options
def adopt(
    account_name: str | None, yes: bool, as_json: bool, state: str | None, base_url: str, credentials: Path | None
) -> None:
    """Adopt an API key that gets Invalid nonce for every call.

    Another tool has used larger nonces with this key, and Kraken remembers the largest. adopt tries up to four
    nonces, each far above the one before. Kraken counts each refused one as an Invalid nonce, and after too many it
    locks the account out for some minutes. So if all four are refused, wait 15 minutes and run adopt again: it goes on
    above them.

    The accepted nonce starts a counter for this key alone, which all krakenonce processes with this state directory
    use from then on. This cannot be undone: Kraken refuses all other tools that use this key with smaller nonces. The
    alternative is a new API key.

    If the account has several keys, adopt goes through all of them, one after the other. It ends at the first one that
    cannot be adopted, and tries no other key once Kraken has refused four nonces. Wait 15 minutes then, and run it
    again: of keys that were adopted, the first nonce is accepted.
    """
    chosen = _named(credentials, account_name)
    done: list[dict[str, Any]] = []
    count = len(chosen.keys)
    whose = f"the key of {chosen.name}" if count == 1 else f"one of the {count} keys of {chosen.name}"
    if not yes:
        confirm(f"Kraken will refuse every other tool that uses {whose}. This cannot be undone. Continue?")
    with NonceManager(state) as manager, _written_as_json(done, as_json):
        for number, pair in enumerate(chosen.keys, 1):
            name = chosen.name if count == 1 else f"key {number} of {chosen.name}"
            refused = sum(each["refused"] for each in done)
            try:
                adopted = _adopt(Account(name, keys=[pair], tier=chosen.tier), manager, base_url, refused)
            except KrakenonceError:
                if count > 1:
                    complain(f"{name} was not adopted" + (", nor were those after it" if number < count else ""))
                raise
            done.append({"account": chosen.name, "key": number, **adopted._asdict()})
            if not as_json:
                write(f"{name} now uses the counter {adopted.scope}; Kraken has accepted nonce {adopted.nonce}")
    complain(f"warning: Kraken now refuses every other tool that uses {whose}; stop those tools")


@contextlib.contextmanager
def _written_as_json(done: list[dict[str, Any]], as_json: bool) -> Iterator[None]:
    """Write what was done also if the rest fails: it cannot be undone."""
    try:
        yield
    finally:
        if as_json and done:
            write(to_json(done))


def _adopt(one: Account, manager: NonceManager, base_url: str, before: int) -> Adopted:
    """Adopt one key. *before* it Kraken had refused so many nonces of the account."""
    from krakenonce.kraken.adopt import TRIES
    from krakenonce.kraken.adopt import adopt as adopt_key
    from krakenonce.kraken.client import Kraken

    if before >= TRIES:
        raise KrakenonceError(
            f"Kraken has refused {before} nonces of this account, and counts them: wait 15 minutes and run adopt again"
        )
    with (
        Kraken(
            one.key,
            one.secret,
            manager=manager,
            scope=manager.own_scope(one.key),
            tier=one.tier,
            otp=one.otp,
            base_url=base_url,
        ) as kraken,
        report_long_wait(one, manager),
    ):
        kraken.account_name = one.name
        return adopt_key(kraken, manager, refused=lambda nonce: complain(f"Kraken refused nonce {nonce}"))


def _named(credentials: Path | None, name: str | None) -> Account:
    """Return the account that --account names. An empty name (from an unset variable) is an error, not MASTER."""
    return account_of(read_accounts(os.environ, credentials), MASTER if name is None else name)


def _call(who: Account, method: str, params: dict[str, str], state: str | None, base_url: str) -> Any:
    """Make one private call and return Kraken's result."""
    from krakenonce.kraken.client import Kraken

    with (
        NonceManager(state) as manager,
        Kraken(keys=who.keys, manager=manager, tier=who.tier, base_url=base_url) as kraken,
        report_long_wait(who, manager),
    ):
        kraken.account_name = who.name
        try:
            return kraken.private(method, **params)
        except KrakenError as error:
            if error.order is not None and error.order.cl_ord_ids:
                ids = ", ".join(error.order.cl_ord_ids)
                complain(f"the order's cl_ord_id is {ids}: look for it in OpenOrders and ClosedOrders")
            raise
