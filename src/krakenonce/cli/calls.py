"""Commands that make one account's calls: balance, call, adopt."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from krakenonce.brokers.credentials import MASTER, account, load_accounts
from krakenonce.cli.accounts import show_balances
from krakenonce.cli.options import account_option, confirm, json_option, kraken_options, params_of
from krakenonce.cli.output import complain, not_lost, to_json, write
from krakenonce.cli.waiting import patience, terminable
from krakenonce.errors import KrakenError
from krakenonce.kraken.methods import PUBLIC
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from krakenonce.brokers.credentials import Account

__all__ = ["adopt", "balance", "call"]

EXAMPLES = """\b
krakenonce call Ticker pair=XBTUSD
krakenonce call AddOrder pair=XBTUSD type=buy ordertype=limit volume=1 price=100 validate=true
"""

_METHOD = re.compile(r"[A-Za-z]+(/[A-Za-z]+)?")


@click.command()
@account_option
@click.option("--all", "every", is_flag=True, help="Every account there are credentials for.")
@json_option
@kraken_options
def balance(
    account_name: str | None, every: bool, as_json: bool, state: str | None, base_url: str, credentials: Path | None
) -> None:
    """Show what an account holds.

    With --all all are asked at the same time. An account that fails is named on stderr, the others are shown, and the
    exit code is 1.
    """
    if every and account_name is not None:
        raise click.UsageError("Give --account or --all, not both")
    accounts = load_accounts(os.environ, credentials)
    if every and accounts:
        show_balances(accounts.values(), state, base_url, as_json)
        return
    chosen = _named(accounts, account_name)
    show_balances(
        [chosen], state, base_url, as_json, found={chosen.name: _call(chosen, "Balance", {}, state, base_url)}
    )


@click.command(epilog=EXAMPLES)
@click.argument("method")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@account_option
@kraken_options
def call(
    method: str,
    parameters: tuple[str, ...],
    account_name: str | None,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Make one call to Kraken and print its result as JSON.

    METHOD is Kraken's name for it: a public one such as Time needs no account, any other is a private call
    with the account's key, in the key's turn. Nothing is asked first: AddOrder places an order. It gets a cl_ord_id
    and a deadline ten seconds ahead, unless you give them.
    """
    if not _METHOD.fullmatch(method):
        raise click.UsageError("METHOD is one of Kraken's names, such as Balance: letters only")
    params = params_of(parameters)
    if method in PUBLIC:
        from krakenonce.kraken.client import Kraken

        with Kraken(base_url=base_url) as kraken:
            write(to_json(kraken.public(method, **params)))
        return
    chosen = _named(load_accounts(os.environ, credentials), account_name)
    with terminable() as heed:
        result = to_json(_call(chosen, method, params, state, base_url))
        with not_lost(lambda: result):
            heed()
            write(result)


@click.command()
@account_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@kraken_options
def adopt(account_name: str | None, yes: bool, state: str | None, base_url: str, credentials: Path | None) -> None:
    """Take over a key that answers Invalid nonce to everything.

    Kraken remembers a larger number for it than ours, from another tool. Numbers far above are tried, three at most;
    each one that is refused is an Invalid nonce in Kraken's books, and too many of those lock an account out for a
    while. The one that is accepted goes into a counter of the key's own, which every krakenonce process on this state
    directory uses from then on. There is no way back: every other tool that uses this key with smaller numbers is
    locked out for good. A new key at Kraken is the alternative.
    """
    from krakenonce.kraken.adopt import adopt as take_over
    from krakenonce.kraken.client import Kraken

    chosen = _named(load_accounts(os.environ, credentials), account_name)
    if not yes:
        confirm(f"Every other tool that uses the key of {chosen.name} will be locked out for good. Go on?")
    with (
        NonceManager(state) as manager,
        Kraken(
            chosen.key,
            chosen.secret,
            manager=manager,
            scope=manager.own_scope(chosen.key),
            tier=chosen.tier,
            base_url=base_url,
        ) as kraken,
        patience(chosen, manager),
    ):
        taken = take_over(kraken, manager, refused=lambda number: complain(f"Kraken refused {number}, going higher"))
    write(f"{chosen.name} takes its numbers from the counter {taken.scope} now; the last one accepted is {taken.nonce}")
    complain(f"warning: every other tool that uses the key of {chosen.name} is locked out from now on: stop it")


def _named(accounts: Mapping[str, Account], name: str | None) -> Account:
    """The account that --account names: an empty name, of a variable that is not set, is not MASTER's."""
    return account(accounts, MASTER if name is None else name)


def _call(who: Account, method: str, params: dict[str, str], state: str | None, base_url: str) -> Any:
    """Make one private call and return Kraken's result."""
    from krakenonce.kraken.client import Kraken

    with (
        NonceManager(state) as manager,
        Kraken(who.key, who.secret, manager=manager, tier=who.tier, base_url=base_url) as kraken,
        patience(who, manager),
    ):
        try:
            return kraken.private(method, **params)
        except KrakenError as error:
            if error.order is not None and error.order.cl_ord_ids:
                ids = ", ".join(error.order.cl_ord_ids)
                complain(f"the order's cl_ord_id is {ids}: look for it in OpenOrders and ClosedOrders")
            raise
