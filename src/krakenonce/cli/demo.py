"""The command demo: the same calls with each client's own clock, through krakenonce, and with several keys."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from typing import Any

import click

from krakenonce.cli.demo_results import all_made, count, show
from krakenonce.cli.options import json_option
from krakenonce.cli.output import complain, to_json, write
from krakenonce.cli.tables import Column, write_table
from krakenonce.cli.waiting import progress
from krakenonce.extras import needed_by

PROCESSES, THREADS = 4, 4
CALLS = 800  # in total, each time
ACCOUNTS = ("MASTER", "USER:alice", "USER:bob", "USER:carol")
KEYS = 4  # of each account, the third time
LATENCY, JITTER = 0.003, 0.0025  # seconds; enough for requests to overtake each other


@click.command()
@click.option("--gateway", "by_gateway", is_flag=True, help="Send all but the first calls through the gateway.")
@click.option("--hosts", "on_hosts", is_flag=True, help="Call from several hosts, which share a PostgreSQL database.")
@json_option
def demo(by_gateway: bool, on_hosts: bool, as_json: bool) -> None:
    """Show calls that are refused for their nonce, and then none.

    Four processes with four threads each call a fake Kraken on this machine with the same four keys, half of
    them with unmodified krakenex: first with each client's own clock, then through krakenonce. The third time each
    account has four keys. One process is killed in the middle and started again. It takes some seconds, needs no
    account and leaves no files. The exit code is 0 if every call through krakenonce was accepted.

    With --hosts, three processes stand for hosts whose clocks are an hour apart. They share a PostgreSQL server,
    which is started on this machine. One of them is killed, and one is cut off from the server for some seconds.
    """
    if by_gateway and on_hosts:
        raise click.UsageError("--gateway and --hosts are two demos: give one of them")
    with needed_by("the demo", "demo"):
        import aiohttp  # noqa: F401
        import krakenex  # noqa: F401
    from krakenonce.cli import demo_fan_out as fan_out

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that everything is cleaned up
    if on_hosts:
        from krakenonce.cli.demo_hosts import demo_hosts

        if not demo_hosts(as_json=as_json):
            raise click.exceptions.Exit(1)
        return
    naive = _run("each client's own clock", None)
    through = "through the gateway" if by_gateway else "through krakenonce"
    with tempfile.TemporaryDirectory(prefix="krakenonce-demo-") as folder:
        state, other = f"{folder}/state", f"{folder}/other"
        ours = _run(through, state, by_gateway=by_gateway)
        several = _run(f"with {KEYS} keys each", other, by_gateway=by_gateway, keys=KEYS)
        print(f"one order for {fan_out.ACCOUNTS} accounts, {fan_out.ROUND_TRIP * 1000:.0f} ms away", file=sys.stderr)
        copied = fan_out.fan_out(state)
    if as_json:
        write(to_json({"naive": naive, "krakenonce": ours, "several_keys": several, "fan_out": copied}))
    else:
        show({"clock nonces": naive, "krakenonce": ours, f"with {KEYS} keys": several})
        write()
        _show_fan_out(copied)
    made = all_made(ours) and all_made(several)
    if not (made and copied["placed"] == 2 * copied["accounts"] and not copied["invalid_nonces"]):
        failed = ours["failed"] or several["failed"] or ""
        complain(f"not every call through krakenonce was accepted {failed}; this is a bug, please report it")
        raise click.exceptions.Exit(1)


def _run(title: str, state: str | None, *, by_gateway: bool = False, keys: int = 1) -> dict[str, Any]:
    """Make all calls one way and count what arrived."""
    from krakenonce.cli.demo_crew import Crew
    from krakenonce.cli.demo_gateway import gateway_for
    from krakenonce.testing import FakeKraken, FakeKrakenServer

    fake = FakeKraken()
    made = [fake.add_account(name) for name in ACCOUNTS]
    for each in made * (keys - 1):
        fake.add_key(each)
    accounts = [(each.name, [(pair.key, pair.secret) for pair in each.keys]) for each in made]
    with contextlib.ExitStack() as running:
        server = running.enter_context(FakeKrakenServer(fake, latency=LATENCY, jitter=JITTER))
        job = {"url": server.url, "accounts": accounts, "state": state, "threads": THREADS, "calls": CALLS // PROCESSES}
        if by_gateway and state is not None:
            url, pairs = running.enter_context(gateway_for(accounts, server.url, state))
            job |= {"url": url, "accounts": pairs, "state": None}  # the same clients as the first time
        if not sys.stderr.isatty():
            print(f"{title}: {CALLS} calls from {PROCESSES} processes with {THREADS} threads each", file=sys.stderr)
        advance = running.enter_context(progress(f"{title:<24}", CALLS, transient=False))
        crew = Crew([job] * PROCESSES, advance)
        crew.run()
    return count(fake, crew, CALLS)


def _show_fan_out(copied: dict[str, Any]) -> None:
    rows = [
        ("one account after the other", f"{copied['one_lock_seconds']:.2f}"),
        ("all at the same time", f"{copied['side_by_side_seconds']:.2f}"),
    ]
    write_table((Column(f"one order for {copied['accounts']} accounts"), Column("time (s)", "number")), rows)
    write(f"{copied['placed']} orders placed, {copied['invalid_nonces']} calls refused with EAPI:Invalid nonce")
