"""The commands gateway run, add-key, change-key, list-keys, rotate-key and revoke-key."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from krakenonce.backends.moved import refuse_moved_state
from krakenonce.brokers.credentials import account, read_accounts
from krakenonce.cli.options import finite, json_option, kraken_options, state_option
from krakenonce.cli.output import complain, not_lost, show_events, to_json, write, write_table
from krakenonce.extras import needed_by

if TYPE_CHECKING:
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys


name_option = click.option("--name", required=True, metavar="NAME", help="Name of the local key.")


@click.group(no_args_is_help=False)
def gateway() -> None:
    """Let bots in any language share Kraken keys.

    Each bot has a local key of its own. It keeps its unmodified client and changes the base URL and the key pair. The
    gateway waits for the turn, takes a nonce, signs with the real secret, and returns Kraken's answer unchanged.
    """


@gateway.command("run")
@click.option(
    "--listen",
    default="127.0.0.1:8686",
    show_default=True,
    metavar="HOST:PORT|unix:PATH",
    help="Address to listen on. All addresses except loopback and Unix sockets need --tls-cert and --tls-key.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="PEM file with the certificate.")
@click.option(
    "--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="PEM file with the certificate's private key."
)
@click.option(
    "--queue",
    "length",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="How many calls may wait for one Kraken key.",
)
@click.option(
    "--max-wait",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    callback=finite,
    metavar="SECONDS",
    help="How long a call may wait for the rate limit and for its turn, in seconds.",
)
@click.option(
    "--order-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    callback=finite,
    metavar="SECONDS",
    help="How long to wait for the answer to an order, in seconds. Then the gateway asks Kraken what became of it.",
)
@click.option(
    "--connect-to",
    metavar="IP",
    help="IP address of the host in --base-url, if the hosts file of this machine has that name lead to the gateway. "
    "TLS still asks for the name.",
)
@kraken_options
def run(
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    length: int,
    max_wait: float,
    order_timeout: float,
    connect_to: str | None,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C. SIGHUP makes it read the accounts again.

    The accounts come from the environment or --credentials, as for the other commands; under systemd also from
    $CREDENTIALS_DIRECTORY/krakenonce.toml.
    """
    with needed_by("the gateway", "gateway"):
        import aiohttp  # noqa: F401
    from krakenonce.gateway.running import run as serve
    from krakenonce.gateway.settings import Settings

    show_events()
    if os.geteuid() == 0:
        complain("warning: the gateway runs as root; run it as another user")
    settings = Settings(
        state=state,
        credentials=credentials,
        base_url=base_url,
        connect_to=connect_to,
        listen=listen,
        tls_cert=tls_cert,
        tls_key=tls_key,
        queue_length=length,
        max_wait=max_wait,
        order_timeout=order_timeout,
    )
    serve(settings, ready=lambda listening: write(f"gateway listening at {listening.url}; stop it with Ctrl-C"))


@gateway.command("add-key")
@name_option
@click.option(
    "--account",
    "account_name",
    default="MASTER",
    show_default=True,
    metavar="NAME",
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
    from krakenonce.gateway.groups import parse_groups
    from krakenonce.gateway.settings import credentials_path

    found = read_accounts(os.environ, credentials_path(credentials, os.environ))
    names = {each: each for each in (*found.accounts, *found.wrong)}  # only the name is needed
    groups = parse_groups(allow.split(","))
    made = _local_keys(state).add(name, account(names, account_name), groups, trace_orders=trace_orders)
    if strict_nonce:
        complain("--strict-nonce has no effect any more: the gateway never sends a request twice. Leave it out.")
    _warn(groups, made.account)
    _show_pair(made, as_json)


@gateway.command("change-key")
@name_option
@click.option("--add", default="", metavar="GROUP,...", help="Groups of methods that the bot may call from now on.")
@click.option("--remove", default="", metavar="GROUP,...", help="Groups that it may not call any more.")
@state_option
def change_key(name: str, add: str, remove: str, state: str | None) -> None:
    """Change what a bot's local key may call. The pair stays; it counts from the next call on."""
    from krakenonce.gateway.groups import parse_groups

    more, less = (parse_groups(words.split(",")) if words else frozenset() for words in (add, remove))
    if not more and not less:
        raise click.UsageError("Give --add or --remove")
    made = _local_keys(state).change(name, more, less)
    _warn(more, made.account)
    write(f"local key {name} may call now: {','.join(sorted(made.allow))}")


@gateway.command("list-keys")
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
    write_table(("name", "account", "allowed groups", "created (UTC)"), rows)


@gateway.command("rotate-key")
@name_option
@json_option
@state_option
def rotate_key(name: str, as_json: bool, state: str | None) -> None:
    """Replace a bot's local key by a new one and print it. The old one is refused at once."""
    _show_pair(_local_keys(state).rotate(name), as_json)


@gateway.command("revoke-key")
@name_option
@state_option
def revoke_key(name: str, state: str | None) -> None:
    """Revoke a bot's local key. It is refused at once."""
    _local_keys(state).revoke(name)
    write(f"local key {name} is revoked")


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
