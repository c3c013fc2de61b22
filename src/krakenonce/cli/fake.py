"""The command fake-kraken: a fake Kraken to test bots with."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

from krakenonce.brokers.credentials import Account, variables
from krakenonce.cli.options import json_option, seconds
from krakenonce.cli.output import to_json, write
from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken
    from krakenonce.testing.rules import Tier


_BALANCES = {
    "MASTER": {"ZUSD": "10000.0000", "XXBT": "0.5000000000"},
    "USER:alice": {"ZUSD": "100000.0000"},
    "USER:bob": {"USDT": "250.50000000", "XETH": "2.0000000000"},
}


@click.command("fake-kraken")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on. Default: any free one.")
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="MS",
    callback=seconds,
    help="Latency of each call, in ms.",
)
@click.option(
    "--jitter",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="MS",
    callback=seconds,
    help="Random variation of the latency, in ms.",
)
@click.option(
    "--tier",
    type=click.Choice(["starter", "intermediate", "pro"]),
    help="Tier whose rate limits are applied. Default: no limits.",
)
@click.option(
    "--lockout",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Lock a key out for 15 minutes after N invalid keys, signatures or nonces in a row. Default: never.",
)
@click.option(
    "--last-nonce",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    metavar="N",
    help="The last nonce that Kraken has accepted from each key. Default: 0, as from a new key.",
)
@json_option
def fake_kraken(
    port: int,
    latency: float,
    jitter: float,
    tier: Tier | None,
    lockout: int,
    last_nonce: int,
    as_json: bool,
) -> None:
    """Run a fake Kraken on this machine until Ctrl-C.

    It prints throw-away keys for MASTER and two users, checks signatures and nonces as Kraken does, and matches
    orders against a market of its own. All its data is lost when it ends.
    """
    from krakenonce.testing import FakeKraken, FakeKrakenServer, Rules

    fake = FakeKraken(Rules(tier=tier, lockout_after=lockout))
    for name, balances in _BALANCES.items():
        fake.add_account(name, balances=balances, last_nonce=last_nonce)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = FakeKrakenServer(fake, port=port, latency=latency / 1000, jitter=jitter / 1000)
    try:
        server.start()
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port} ({error.strerror}); choose another --port") from error
    with server:
        _introduce(fake, server.url, as_json)
        stop.wait()
    counts = {
        "calls": len(fake.arrivals),
        "accepted": len(fake.accepted()),
        "invalid_nonce": len(fake.invalid_nonces()),
    }
    if as_json:
        write(" ".join(to_json(counts).split()))
    else:
        write(
            "{calls} private calls: {accepted} accepted, {invalid_nonce} refused with EAPI:Invalid nonce".format(
                **counts
            )
        )


def _introduce(fake: FakeKraken, url: str, as_json: bool) -> None:
    """Print its address and its throw-away keys, with a tier that matches its rate limits."""
    accounts, tier = fake.accounts.values(), fake.rules.tier or "none"
    if as_json:
        keys = {each.name: {"api_key": each.key, "api_secret": each.secret, "api_tier": tier} for each in accounts}
        write(" ".join(to_json({"url": url, "accounts": keys}).split()))
        return
    write(f"fake Kraken at {url}; stop it with Ctrl-C")
    for each in accounts:
        for name, value in variables(Account(each.name, each.key, each.secret, tier)).items():
            write(f"export {name}={value}")
    write(f"krakenonce balance --all --base-url {url}")
