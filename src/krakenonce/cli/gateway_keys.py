"""The commands for local keys of the gateway: add-key, change-key, list-keys, rotate-key and revoke-key."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from krakenonce.backends.moved import refuse_moved_state
from krakenonce.brokers.credentials import account, read_accounts
from krakenonce.cli.completion import complete_account
from krakenonce.cli.options import json_option, state_option, wrong_usage
from krakenonce.cli.output import complain, not_lost, to_json, write
from krakenonce.cli.tables import Column, write_table

if TYPE_CHECKING:
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys


name_option = click.option("--name", required=True, metavar="NAME", help="Name of the local key.")


@click.command("add-key")
@name_option
@click.option(
    "--account",
    "account_name",
    default="MASTER",
    show_default=True,
    metavar="NAME",
    shell_complete=complete_account,
    help="Account whose Kraken key the bot uses.",
)
@click.option(
    "--allow",
    default="query",
    show_default=True,
    metavar="GROUP,...",
    help="Groups of methods that the bot may call: query, trade, cancel, cancel-all, token, deposit, withdraw, "
    "transfer, earn, export, nonce, other.",
)
@click.option(
    "--trace-orders",
    is_flag=True,
    help="Add a cl_ord_id and a deadline to its orders that have none, so that the gateway can always find out what "
    "became of them.",
)
@click.option("--strict-nonce", is_flag=True, hidden=True)
@json_option
@click.option("--credentials", type=click.Path(path_type=Path), metavar="FILE", help="TOML file with the accounts.")
@state_option
def add_key(
    name: str,
    account_name: str,
    allow: str,
    trace_orders: bool,
    strict_nonce: bool,
    as_json: bool,
    credentials: Path | None,
    state: str | None,
) -> None:
    """Make a local key for a bot and print it. The secret is shown only once."""
    from krakenonce.gateway.local_keys import check_name
    from krakenonce.gateway.settings import credentials_path

    with wrong_usage():
        check_name(name)

    found = read_accounts(os.environ, credentials_path(credentials, os.environ))
    names = {each: each for each in (*found.accounts, *found.wrong)}  # only the name is needed
    groups = _groups(allow)
    whose = _name_of(names, account_name)
    made = _local_keys(state).add(name, whose, groups, trace_orders=trace_orders)
    if strict_nonce:
        complain("--strict-nonce has no effect any more: the gateway never sends a request twice. Leave it out.")
    _warn(groups, made.account)
    _show_pair(made, as_json)


@click.command("change-key")
@name_option
@click.option("--add", default="", metavar="GROUP,...", help="Groups of methods that the bot may call from now on.")
@click.option("--remove", default="", metavar="GROUP,...", help="Groups that it may not call any more.")
@json_option
@state_option
def change_key(name: str, add: str, remove: str, as_json: bool, state: str | None) -> None:
    """Change what a bot's local key may call. The pair stays; it counts from the next call on."""
    more, less = (_groups(words) if words else frozenset() for words in (add, remove))
    if not more and not less:
        raise click.UsageError("Give --add or --remove")
    made = _local_keys(state).change(name, more, less)
    _warn(more, made.account)
    write(to_json(_as_dict(made)) if as_json else f"local key {name} may call now: {','.join(sorted(made.allow))}")


@click.command("list-keys")
@json_option
@state_option
def list_keys(as_json: bool, state: str | None) -> None:
    """Show the local keys, without their secrets."""
    found = _local_keys(state).all()
    if as_json:
        write(to_json([_as_dict(each) for each in found]))
        return
    rows = [
        (
            each.name,
            each.account,
            ",".join(sorted(each.allow)) + (" traced" if each.trace_orders else ""),
            f"{datetime.fromtimestamp(each.created, UTC):%Y-%m-%d %H:%M}",
        )
        for each in found
    ]
    columns = (Column("name"), Column("account"), Column("allowed groups", "reason"), Column("created (UTC)", "id"))
    write_table(columns, rows)


@click.command("rotate-key")
@name_option
@json_option
@state_option
def rotate_key(name: str, as_json: bool, state: str | None) -> None:
    """Replace a bot's local key by a new one and print it. The old one is refused at once."""
    _show_pair(_local_keys(state).rotate(name), as_json)


@click.command("revoke-key")
@name_option
@json_option
@state_option
def revoke_key(name: str, as_json: bool, state: str | None) -> None:
    """Revoke a bot's local key. It is refused at once."""
    _local_keys(state).revoke(name)
    write(to_json({"name": name, "revoked": True}) if as_json else f"local key {name} is revoked")


def _groups(words: str) -> frozenset[str]:
    from krakenonce.gateway.groups import parse_groups

    with wrong_usage():
        return parse_groups(words.split(","))


def _name_of(names: dict[str, str], wanted: str) -> str:
    """Return the full name of an account. If there are none, what is wrong are the credentials, not the usage."""
    if not names:
        return account(names, wanted)
    with wrong_usage():
        return account(names, wanted)


def _warn(groups: frozenset[str], who: str) -> None:
    """Say what these groups reach beyond the bot that gets them."""
    if "token" in groups:
        complain("warning: with a WebSocket token the bot can do all that the Kraken key may do, despite --allow")
    if "cancel-all" in groups:
        complain(
            f"warning: CancelAll and CancelAllOrdersAfter cancel the orders of all programs that trade on {who}. The "
            "timer that the latter sets is one for all of them: it cancels their orders, too, when this bot stops"
        )


def _local_keys(state: str | None) -> LocalKeys:
    from krakenonce.gateway.key_storage import key_storage
    from krakenonce.gateway.local_keys import LocalKeys
    from krakenonce.gateway.settings import open_state

    store = open_state(state).store
    found = LocalKeys(key_storage(store))
    found.refresh()
    refuse_moved_state(store)  # these keys are as they were then
    return found


def _show_pair(made: LocalKey, as_json: bool) -> None:
    with not_lost(lambda: f"the local key of {made.name} is valid now; `krakenonce gateway rotate-key` replaces it"):
        if as_json:
            write(to_json({**_as_dict(made), "api_key": made.key, "api_secret": made.secret}))
            return
        write(f"API key:    {made.key}")
        write(f"API secret: {made.secret}")
    complain(f"local key {made.name} for account {made.account}; the secret is not shown again")


def _as_dict(key: LocalKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "account": key.account,
        "allow": sorted(key.allow),
        "trace_orders": key.trace_orders,
        "created": key.created,
    }
