"""The command demo: the same calls with each client's own clock, and then through krakenonce."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from krakenonce.cli.options import json_option
from krakenonce.cli.output import complain, to_json, write, write_table
from krakenonce.extras import needed_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.cli.demo_crew import Crew
    from krakenonce.cli.demo_fan_out import FanOut
    from krakenonce.testing import FakeKraken

__all__ = ["demo"]

PROCESSES, THREADS = 4, 4
CALLS = 800  # in total, each of the two times
ACCOUNTS = ("MASTER", "USER:alice", "USER:bob", "USER:carol")
LATENCY, JITTER = 0.003, 0.0025  # seconds; enough for requests to overtake each other


@dataclass(frozen=True)
class Figures:
    """The outcome of one way of calling, counted by the fake Kraken.

    Args:
        planned: Calls that the workers had to make.
        calls: Calls that arrived from living processes. A call that was answered just before the kill, but not
            reported, is made again: so there may be a few more than planned.
        accepted: Calls that were answered with a result.
        refused: Calls that were answered with ``EAPI:Invalid nonce``.
        in_progress: Calls that arrived after their sender had been killed.
        in_progress_refused: Those of them that were refused. No process was waiting for the answer.
        killed: Processes killed.
        failed: Calls that ended in an exception, by its name.
        seconds: From the first call to the last answer.
    """

    planned: int
    calls: int
    accepted: int
    refused: int
    in_progress: int
    in_progress_refused: int
    killed: int
    failed: dict[str, int]
    seconds: float

    @property
    def refused_percent(self) -> float:
        """How many of the calls were refused, in percent."""
        return round(100 * self.refused / max(self.calls, 1), 1)

    @property
    def calls_per_second(self) -> float:
        """Calls per second."""
        return round(self.calls / max(self.seconds, 1e-9), 1)

    @property
    def perfect(self) -> bool:
        """Whether every call was made and accepted."""
        return self.accepted == self.calls >= self.planned and not self.refused and not self.failed


@click.command()
@click.option("--gateway", "by_gateway", is_flag=True, help="Send the calls through the gateway the second time.")
@json_option
def demo(by_gateway: bool, as_json: bool) -> None:
    """Show calls that are refused for their nonce, and then none.

    Four processes with four threads each call a fake Kraken on this machine with the same four keys, half of
    them with unmodified krakenex: first with each client's own clock, then through krakenonce. One process is killed
    in the middle and started again. It takes some seconds, needs no account and leaves no files. The exit code is 0
    if every call through krakenonce was accepted.
    """
    with needed_by("the demo", "demo"):
        import aiohttp  # noqa: F401
        import krakenex  # noqa: F401
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that everything is cleaned up
    naive = _run("each client's own clock", None)
    with tempfile.TemporaryDirectory(prefix="krakenonce-demo-") as state:
        ours = _run("through the gateway" if by_gateway else "through krakenonce", state, by_gateway=by_gateway)
    with tempfile.TemporaryDirectory(prefix="krakenonce-demo-") as state:
        copied = _fan_out(state)
    if as_json:
        write(to_json({"naive": _as_dict(naive), "krakenonce": _as_dict(ours), "fan_out": asdict(copied)}))
    else:
        _show(naive, ours)
        write()
        _show_fan_out(copied)
    if not (ours.perfect and copied.perfect):
        complain(f"not every call through krakenonce was accepted {ours.failed or ''}; this is a bug, please report it")
        raise click.exceptions.Exit(1)


def _run(title: str, state: str | None, *, by_gateway: bool = False) -> Figures:
    """Make all calls one way and count what arrived."""
    from krakenonce.cli.demo_crew import Crew
    from krakenonce.cli.demo_gateway import gateway_for
    from krakenonce.testing import FakeKraken, FakeKrakenServer

    fake = FakeKraken()
    accounts = [(each.name, each.key, each.secret) for each in map(fake.add_account, ACCOUNTS)]
    with contextlib.ExitStack() as running:
        server = running.enter_context(FakeKrakenServer(fake, latency=LATENCY, jitter=JITTER))
        job = {"url": server.url, "accounts": accounts, "state": state, "threads": THREADS, "calls": CALLS // PROCESSES}
        if by_gateway and state is not None:
            url, pairs = running.enter_context(gateway_for(accounts, server.url, state))
            job |= {"url": url, "accounts": pairs, "state": None}  # the same clients as the first time
        advance = running.enter_context(_progress(title))
        with Crew(job, PROCESSES, advance) as crew:
            crew.run()
    return _count(fake, crew)


def _fan_out(state: str) -> FanOut:
    from krakenonce.cli.demo_fan_out import ACCOUNTS, ROUND_TRIP, fan_out

    print(f"one order for {ACCOUNTS} accounts, {ROUND_TRIP * 1000:.0f} ms away", file=sys.stderr)
    return fan_out(state)


def _count(fake: FakeKraken, crew: Crew) -> Figures:
    answered = [each for each in fake.arrivals if not each.sender_gone]
    in_progress = [each for each in fake.arrivals if each.sender_gone]
    return Figures(
        planned=CALLS,
        calls=len(answered),
        accepted=sum(each.error is None for each in answered),
        refused=sum(each.error == "EAPI:Invalid nonce" for each in answered),
        in_progress=len(in_progress),
        in_progress_refused=sum(each.error is not None for each in in_progress),
        killed=crew.killed,
        failed={what: count for what, count in crew.reported.items() if what.startswith("failed")},
        seconds=round(crew.seconds, 3),
    )


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr if that is a terminal, else one line."""
    if not sys.stderr.isatty():
        print(f"{title}: {CALLS} calls from {PROCESSES} processes with {THREADS} threads each", file=sys.stderr)
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{title:<24}", total=CALLS)
        yield lambda count: bar.advance(task, count)


def _as_dict(figures: Figures) -> dict[str, object]:
    more = {"refused_percent": figures.refused_percent, "calls_per_second": figures.calls_per_second}
    return asdict(figures) | more


def _show(*ways: Figures) -> None:
    rows = {
        "calls": [str(each.calls) for each in ways],
        "accepted": [str(each.accepted) for each in ways],
        "refused (EAPI:Invalid nonce)": [str(each.refused) for each in ways],
        "refused %": [f"{each.refused_percent:.1f}" for each in ways],
        "time (s)": [f"{each.seconds:.2f}" for each in ways],
        "calls per second": [f"{each.calls_per_second:.0f}" for each in ways],
    }
    write_table(("", "own clocks", "krakenonce"), [(name, *cells) for name, cells in rows.items()])
    for name, each in zip(("own clocks", "krakenonce"), ways, strict=True):
        write(
            f"{name}: in progress when a process was killed: {each.in_progress}, "
            f"of these refused: {each.in_progress_refused}"
        )


def _show_fan_out(copied: FanOut) -> None:
    rows = [
        ("one lock for all accounts", f"{copied.one_lock_seconds:.2f}"),
        ("all at the same time", f"{copied.side_by_side_seconds:.2f}"),
    ]
    write_table((f"one order for {copied.accounts} accounts", "time (s)"), rows)
    write(f"{copied.placed} orders placed, {copied.invalid_nonces} calls refused with EAPI:Invalid nonce")
