"""The commands for local keys of the gateway: add-key, change-key, list-keys, rotate-key and revoke-key."""

from __future__ import annotations

import os
import re
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


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 7 * 86_400  # seconds for which an old pair may be kept
name_option = click.option("--name", required=True, metavar="NAME", help="Name of the local key.")


def _duration(_context: click.Context, _option: click.Parameter, value: str | None) -> float:
    """Return a time such as 10m in seconds; 0.0 if none was given."""
    if value is None:
        return 0.0
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", value)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST:
        raise click.BadParameter(f"{value} is not a time such as 90s, 10m, 2h or 1d, of 7 days at most.")
    return float(seconds)


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
            _utc(each.created),
            _utc(old.until) if (old := each.old_now()) else "",
        )
        for each in found
    ]
    columns = (
        *(Column("name"), Column("account"), Column("allowed groups", "reason"), Column("created (UTC)", "id")),
        Column("old pair good until (UTC)", "id"),
    )
    write_table(columns, rows)


@click.command("rotate-key")
@click.argument("words", nargs=-1, metavar="[NAME]")
@click.option("--name", metavar="NAME", help="Name of the local key, if it is not the first word.")
@click.option(
    "--keep",
    callback=_duration,
    metavar="TIME",
    help="How long the old pair is good beside the new one, such as 90s, 10m or 2h. Default: it is refused at once.",
)
@json_option
@state_option
def rotate_key(words: tuple[str, ...], name: str | None, keep: float, as_json: bool, state: str | None) -> None:
    """Replace a bot's local key by a new one and print it.

    The old pair is refused at once, or after the time that --keep gives: the bot has to use the new one by then.
    """
    if len(words) + (name is not None) != 1:
        raise click.UsageError("Give the name of one local key")
    made = _local_keys(state).rotate(name or words[0], keep)
    _show_pair(made, as_json)
    if made.old is not None:
        complain(f"the old pair of {made.name} is good until {_utc(made.old.until)} UTC; it is refused then")


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
        "old_pair_until": old.until if (old := key.old_now()) else None,
    }


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
