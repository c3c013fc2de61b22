"""The command gateway with its subcommands, of which gateway run is here."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from krakenonce.cli.gateway_check import check
from krakenonce.cli.gateway_keys import add_key, change_key, list_keys, revoke_key, rotate_key
from krakenonce.cli.gateway_status import status
from krakenonce.cli.options import json_option, kraken_options, seconds, wrong_usage
from krakenonce.cli.output import complain, show_events, to_json, write
from krakenonce.extras import needed_by

if TYPE_CHECKING:
    from krakenonce.gateway.running import Listening


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
    callback=seconds,
    metavar="SECONDS",
    help="How long a call may wait for the rate limit and for its turn, in seconds.",
)
@click.option(
    "--order-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    callback=seconds,
    metavar="SECONDS",
    help="How long to wait for the answer to an order, in seconds. Then the gateway asks Kraken what became of it.",
)
@click.option(
    "--connect-to",
    metavar="IP",
    help="IP address of the host in --base-url, if the hosts file of this machine has that name lead to the gateway. "
    "TLS still asks for the name.",
)
@click.option(
    "--audit",
    metavar="PATH|-",
    help="File of the audit log, which has a line for each private call; - for stdout. Default: gateway_audit.jsonl in "
    "the state directory; if the state is a database, in this user's on this host.",
)
@click.option("--no-audit", is_flag=True, help="Write no audit log.")
@json_option
@kraken_options
def run(
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    length: int,
    max_wait: float,
    order_timeout: float,
    connect_to: str | None,
    as_json: bool,
    audit: str | None,
    no_audit: bool,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C. SIGHUP makes it read the accounts again.

    The accounts come from the environment or --credentials, as for the other commands; under systemd also from
    $CREDENTIALS_DIRECTORY/krakenonce.toml.
    """
    if audit is not None and no_audit:
        raise click.UsageError("Give --audit or --no-audit, not both")
    with needed_by("the gateway", "gateway"):
        import aiohttp  # noqa: F401
    from krakenonce.gateway.running import run as serve
    from krakenonce.gateway.settings import Settings

    _check_addresses(listen, connect_to)
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
        audit=audit,
        no_audit=no_audit,
    )
    serve(settings, ready=partial(_say_where, as_json=as_json))


def _check_addresses(listen: str, connect_to: str | None) -> None:
    from krakenonce.gateway.listening import address_of
    from krakenonce.kraken.async_transport import check_ip

    with wrong_usage():
        if not listen.startswith("unix:"):
            address_of(listen)
        if connect_to is not None:
            check_ip(connect_to)


def _say_where(listening: Listening, *, as_json: bool) -> None:
    is_line = f"gateway listening at {listening.url}; stop it with Ctrl-C"
    write(" ".join(to_json({"url": listening.url}).split()) if as_json else is_line)


for _command in (status, check, add_key, change_key, list_keys, rotate_key, revoke_key):
    gateway.add_command(_command)
