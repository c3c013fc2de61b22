"""Commands that talk to Kraken: balance, call."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

import click

from krakenonce.cli.options import account_option, json_option, kraken_options
from krakenonce.cli.output import complain, to_json, write, write_table
from krakenonce.credentials import MASTER, Account, account, load_accounts
from krakenonce.errors import KrakenonceError, LaneTimeout
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["balance", "call"]

# Kraken's methods that need no key.
PUBLIC = frozenset(
    ("Time", "SystemStatus", "Assets", "AssetPairs", "Ticker", "OHLC", "Depth", "GroupedBook", "Trades", "Spread")
)

EXAMPLES = """\b
krakenonce call Ticker pair=XBTUSD
krakenonce call AddOrder pair=XBTUSD type=buy ordertype=limit volume=1 price=100 validate=true
"""

_PATIENCE = 2.0  # seconds to wait for a turn in silence
_METHOD = re.compile(r"[A-Za-z]+")


@click.command()
@account_option
@click.option("--all", "every", is_flag=True, help="Every account there are credentials for.")
@json_option
@kraken_options
def balance(
    account_name: str | None, every: bool, as_json: bool, state: str | None, base_url: str, credentials: Path | None
) -> None:
    """Show what an account holds.

    With --all an account that fails is named on stderr, the others are shown, and the exit code is 1.
    """
    if every and account_name is not None:
        raise click.UsageError("Give --account or --all, not both")
    accounts = load_accounts(os.environ, credentials)
    wanted = [account(accounts, account_name or MASTER)] if not (every and accounts) else list(accounts.values())
    found: dict[str, dict[str, Any]] = {}
    with NonceManager(state) as manager:
        for each in wanted:
            try:
                found[each.name] = _call(each, "Balance", {}, manager, base_url)
            except KrakenonceError as error:
                if not every:
                    raise
                complain(f"{each.name}: {error}")
    if as_json:
        write(to_json(found))
    elif found:
        rows = [(name, asset, str(amount)) for name, held in found.items() for asset, amount in held.items()]
        write_table(("account", "asset", "amount"), rows)
    if len(found) < len(wanted):
        raise click.exceptions.Exit(1)


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
    with the account's key, in the key's turn. Nothing is asked first: AddOrder places an order.
    """
    if not _METHOD.fullmatch(method):
        raise click.UsageError("METHOD is one of Kraken's names, such as Balance: letters only")
    params = _params(parameters)
    if method in PUBLIC:
        write(to_json(_call(Account("", "", ""), method, params, None, base_url)))
        return
    chosen = account(load_accounts(os.environ, credentials), account_name or MASTER)
    with NonceManager(state) as manager:
        write(to_json(_call(chosen, method, params, manager, base_url)))


def _call(who: Account, method: str, params: dict[str, str], manager: NonceManager | None, base_url: str) -> Any:
    """Make one call and return Kraken's result; without a manager a public one."""
    from krakenonce.kraken.client import Kraken
    from krakenonce.kraken.errors import result_of

    with Kraken(who.key, who.secret, manager=manager, base_url=base_url) as kraken:
        if manager is None:
            return result_of(kraken.query_public(method, params))
        with _turn(who, manager):
            return result_of(kraken.query_private(method, params))


@contextlib.contextmanager
def _turn(who: Account, manager: NonceManager) -> Iterator[None]:
    """The key's lane, with a word on stderr if it takes long to come."""
    lane = manager.lane(who.key, timeout=_PATIENCE)
    try:
        lane.acquire()
    except LaneTimeout as error:
        complain(f"{who.name} is still waiting for its turn: {error}; Ctrl-C gives up")
        lane = manager.lane(who.key)
        lane.acquire()
    try:
        yield
    finally:
        lane.release()


def _params(words: tuple[str, ...]) -> dict[str, str]:
    params: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise click.UsageError("A parameter is written KEY=VALUE, such as pair=XBTUSD")
        if name == "nonce":
            raise click.UsageError("The nonce is chosen here: leave it out")
        if name in params:
            raise click.UsageError(f"The parameter {name} is given twice")
        params[name] = value
    return params
