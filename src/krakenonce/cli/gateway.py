"""The commands gateway run, add-key, list-keys, rotate-key and revoke-key."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from krakenonce.brokers.credentials import account, load_accounts
from krakenonce.cli.options import finite, json_option, kraken_options, state_option
from krakenonce.cli.output import complain, not_lost, to_json, write, write_table
from krakenonce.extras import needed_by

if TYPE_CHECKING:
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys

__all__ = ["gateway"]


name_option = click.option("--name", required=True, metavar="NAME", help="What the local key is called.")


@click.group(no_args_is_help=False)
def gateway() -> None:
    """Let bots in any language share Kraken keys, each with a key pair of its own.

    A bot keeps its stock client and changes the base URL and the key pair. The gateway takes the turn and the number,
    signs with the real secret, and passes Kraken's answer on as it came.
    """


@gateway.command("run")
@click.option(
    "--listen",
    default="127.0.0.1:8686",
    show_default=True,
    metavar="HOST:PORT|unix:PATH",
    help="Where to listen. Anything but loopback and Unix sockets needs --tls-cert and --tls-key.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="PEM file with the certificate.")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="PEM file with its private key.")
@click.option(
    "--queue", "length", type=click.IntRange(1), default=100, show_default=True, help="Calls that may wait for one key."
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    callback=finite,
    metavar="SECONDS",
    help="How long a call may wait for its turn.",
)
@kraken_options
def run(
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    length: int,
    patience: float,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; SIGHUP reads the accounts again.

    Accounts are those of the other commands; under systemd also $CREDENTIALS_DIRECTORY/krakenonce.toml.
    """
    with needed_by("the gateway", "gateway"):
        import aiohttp  # noqa: F401
    from krakenonce.gateway.running import run as serve
    from krakenonce.gateway.settings import Settings

    if os.geteuid() == 0:
        complain("warning: the gateway runs as root, which it does not need")
    settings = Settings(
        state=state,
        credentials=credentials,
        base_url=base_url,
        listen=listen,
        tls_cert=tls_cert,
        tls_key=tls_key,
        queue_length=length,
        patience=patience,
    )
    serve(settings, ready=lambda url: write(f"gateway at {url}, until Ctrl-C"))


@gateway.command("add-key")
@name_option
@click.option(
    "--account", "account_name", default="MASTER", show_default=True, metavar="NAME", help="Whose Kraken key."
)
@click.option(
    "--allow",
    default="query",
    show_default=True,
    metavar="GROUP,...",
    help="What it may call: query, trade, cancel, token, deposit, withdraw, transfer, earn, export, nonce, other.",
)
@click.option(
    "--strict-nonce", is_flag=True, help="Refuse a local nonce that does not rise, so nothing is played back."
)
@json_option
@click.option("--credentials", type=click.Path(path_type=Path), metavar="FILE", help="TOML file with the accounts.")
@state_option
def add_key(
    name: str,
    account_name: str,
    allow: str,
    strict_nonce: bool,
    as_json: bool,
    credentials: Path | None,
    state: str | None,
) -> None:
    """Make a key pair for a bot, and print it, once."""
    from krakenonce.gateway.groups import parse_groups
    from krakenonce.gateway.settings import credentials_path

    accounts = load_accounts(os.environ, credentials_path(credentials, os.environ))
    names = {each: each for each in accounts}
    groups = parse_groups(allow.split(","))
    made = _local_keys(state).add(name, account(names, account_name), groups, strict_nonce=strict_nonce)
    if "token" in groups:
        complain("warning: with a WebSocket token a bot can do everything that the Kraken key may, past --allow")
    _show_pair(made, as_json)


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
            ",".join(sorted(each.allow)) + (" strict" if each.strict_nonce else ""),
            f"{datetime.fromtimestamp(each.created, UTC):%Y-%m-%d %H:%M}",
        )
        for each in found
    ]
    write_table(("name", "account", "may", "made (UTC)"), rows)


@gateway.command("rotate-key")
@name_option
@json_option
@state_option
def rotate_key(name: str, as_json: bool, state: str | None) -> None:
    """Give a bot a new pair, and print it, once; the old one is refused at once."""
    _show_pair(_local_keys(state).rotate(name), as_json)


@gateway.command("revoke-key")
@name_option
@state_option
def revoke_key(name: str, state: str | None) -> None:
    """Take a bot's key away, at once."""
    _local_keys(state).revoke(name)
    write(f"{name} is refused from now on")


def _local_keys(state: str | None) -> LocalKeys:
    from krakenonce.gateway.local_keys import LocalKeys
    from krakenonce.gateway.settings import key_file

    return LocalKeys(key_file(state))


def _show_pair(made: LocalKey, as_json: bool) -> None:
    with not_lost(lambda: f"the key pair of {made.name}, which is good now: gateway rotate-key makes another"):
        if as_json:
            write(to_json({**_as_dict(made), "api_key": made.key, "api_secret": made.secret}))
            return
        write(f"API key:    {made.key}")
        write(f"API secret: {made.secret}")
    complain(f"these are for {made.name} and {made.account}; the secret is not shown again")


def _as_dict(key: LocalKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "account": key.account,
        "allow": sorted(key.allow),
        "strict_nonce": key.strict_nonce,
        "created": key.created,
    }
