"""``krakenonce run -- COMMAND``: start a program whose Kraken clients are guarded as it makes them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from krakenonce.backends.state_name import VARIABLE as STATE
from krakenonce.backends.state_name import StateName, read_state, state_by_default
from krakenonce.cli.options import state_option
from krakenonce.cli.output import complain
from krakenonce.errors import ConfigError
from krakenonce.running.children import SITE, VARIABLE, ignores_us
from krakenonce.running.hook import CLIENTS, CLOCKS
from krakenonce.running.total import add_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from krakenonce.running.total import Total


_KINDS = ", ".join(dict.fromkeys([kind for kind, _ in CLIENTS.values()] + [kind for kind, *_ in CLOCKS.values()]))
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)  # a terminal sends them to all processes that are in front of it
_PASSED_ON = (*_FROM_TERMINAL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as in a shell


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@state_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGS]...")
def run(state: str | None, command: tuple[str, ...]) -> int:
    """Start a program, and guard the Kraken clients that it makes. No line of it is changed.

    It guards those that guard() knows, in COMMAND and in all Python processes that COMMAND starts. The exit code is
    that of COMMAND; 128 + N if signal N has ended it.

    Example: krakenonce run -- freqtrade trade --config config.json
    """
    if option := ignores_us(command):
        raise click.UsageError(
            f"with {option} Python does not read PYTHONPATH, so nothing in {Path(command[0]).name} would be guarded. "
            "It was not started. Start it without that option"
        )
    named = read_state(state, "--state") if state else state_by_default()
    if named == StateName(None):
        raise ConfigError("--state cannot be memory:, because each process would have nonces of its own")
    with tempfile.TemporaryDirectory(prefix="krakenonce-run-", ignore_cleanup_errors=True) as folder:
        complain(f"clients of {_KINDS} are guarded in this program and its children; state: {_name(named)}")
        code = _start(command, _environment(folder, _from_anywhere(state) if state else ""))
        total = add_up(Path(folder))
    if code not in (_NOT_FOUND, _NOT_EXECUTABLE) or total.interpreters:
        complain(_summary(total))
    return code


def _name(state: StateName) -> str:
    """Return a state's name for people, without a password."""
    return str(state.directory.absolute()) if state.directory else getattr(state.server, "url", "")


def _from_anywhere(state: str) -> str:
    """Return the name of a state that means the same in every directory."""
    named = read_state(state, "--state")
    if named.directory is None:
        return state
    return f"file:{named.directory.absolute()}{'?allow_network=yes' if named.allow_network else ''}"


def _environment(folder: str, state: str) -> dict[str, str]:
    """Return the environment of the program.

    Args:
        folder: Where its processes count.
        state: The state; empty: what the program would use anyway.
    """
    path = os.pathsep.join(part for part in (SITE, os.environ.get("PYTHONPATH")) if part)  # an empty part means "here"
    return {**os.environ, "PYTHONPATH": path, VARIABLE: folder} | ({STATE: state} if state else {})


def _start(command: tuple[str, ...], env: Mapping[str, str]) -> int:
    """Run the command to its end, and return its exit code."""
    with _passing_signals_on() as started:
        try:
            process = subprocess.Popen(command, env=env)
        except FileNotFoundError:
            complain(f"{command[0]} was not found; nothing was started")
            return _NOT_FOUND
        except OSError as error:
            complain(f"{command[0]} could not be started ({error.strerror}); nothing was started")
            return _NOT_EXECUTABLE
        started(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _passing_signals_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass signals on to the process that the caller names; one that came before, then."""
    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        if number in _FROM_TERMINAL and _is_in_front():
            return  # the command has got it, too
        if running:
            running[0].send_signal(number)
        else:
            early.append(number)

    def started(process: subprocess.Popen[bytes]) -> None:
        running.append(process)
        for number in early:
            process.send_signal(number)

    before = {}
    for number in _PASSED_ON:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup has it ignored, by the command, too
            before[number] = signal.signal(number, pass_on)
    try:
        yield started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_front() -> bool:
    """Whether a terminal has our process group in front of it."""
    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False


def _summary(total: Total) -> str:
    """Return what went through krakenonce; if nothing did, what to do."""
    clients = ", ".join(f"{kind} {count}" for kind, count in total.clients.items())
    if clients or total.calls:
        calls = f"{total.calls or 'no'} private call{'' if total.calls == 1 else 's'}"
        places = f" in {total.processes} process{'' if total.processes == 1 else 'es'}" if total.calls else ""
        return f"{calls} went through krakenonce{places}; clients guarded: {clients or 'by the program itself'}"
    if not total.interpreters:
        return (
            "NOTHING was guarded: no Python process has started that could be guarded. Let this program use the "
            "gateway: docs/how-to/run-the-gateway.md"
        )
    return (
        "NOTHING was guarded: the program has made no client that is known here. For another one, write an adapter "
        "(docs/how-to/write-an-adapter.md), or let the program use the gateway (docs/how-to/run-the-gateway.md)"
    )
