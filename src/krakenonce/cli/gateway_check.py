"""The command gateway check: whether the gateway would start, and what it would not serve."""

from __future__ import annotations

from pathlib import Path

import click

from krakenonce.cli.gateway_status import ask
from krakenonce.cli.options import json_option, state_option
from krakenonce.cli.output import to_json, write
from krakenonce.errors import KrakenonceError


@click.command("check")
@click.option(
    "--listen",
    default="127.0.0.1:8686",
    show_default=True,
    metavar="HOST:PORT|unix:PATH",
    help="As for gateway run.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="As for gateway run.")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="As for gateway run.")
@click.option("--audit", metavar="PATH|-", help="As for gateway run.")
@click.option("--credentials", type=click.Path(path_type=Path), metavar="FILE", help="TOML file with the accounts.")
@json_option
@state_option
def check(
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    audit: str | None,
    credentials: Path | None,
    as_json: bool,
    state: str | None,
) -> int:
    """Check what a gateway would be started with, and start none: a line for each problem, and what to do.

    Give the options and the environment that it has. A gateway may run meanwhile: check before SIGHUP, too. Kraken is
    not asked. Exit code 0: it would start and serve all accounts. 1: there are problems.
    """
    from krakenonce.gateway.checking import check as checked
    from krakenonce.gateway.settings import Settings

    settings = Settings(
        state=state, credentials=credentials, listen=listen, tls_cert=tls_cert, tls_key=tls_key, audit=audit
    )
    found = checked(settings, _runs_at)
    problems = [" ".join(each.split()) for each in found.problems]
    if as_json:
        write(to_json({"problems": problems, "accounts": found.accounts, "local_keys": found.local_keys}))
    else:
        for line in problems or [f"ok: {found.accounts} accounts, {found.local_keys} local keys"]:
            write(line)
    return 1 if problems else 0


def _runs_at(listen: str) -> bool:
    """Whether a gateway answers there."""
    try:
        return ask(listen, "/healthz") == b"ok\n"
    except KrakenonceError:
        return False
