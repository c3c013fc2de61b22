"""Commands for states: move, state init, state check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import click

from krakenonce.backends import SERVED, open_store
from krakenonce.backends.beginning import begin, check_writing, has_begun
from krakenonce.backends.moved import refuse_moved_state
from krakenonce.cli.options import check_state, json_option, seconds, state_option
from krakenonce.cli.output import complain, to_json, write
from krakenonce.errors import ConfigError
from krakenonce.manager import NonceManager
from krakenonce.moving import move as move_state
from krakenonce.moving import undo
from krakenonce.rule import NONCE_MAX


@click.command()
@click.argument("source", metavar="FROM", callback=check_state)
@click.argument("target", metavar="TO", callback=check_state)
@click.option(
    "--patience",
    type=click.FloatRange(min=0.0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    callback=seconds,
    help="How long to wait for the turn of each key.",
)
@click.option(
    "--undo",
    "floor",
    type=click.IntRange(0, NONCE_MAX),
    metavar="FLOOR",
    help="Undo the move of FROM to TO, because TO is lost for good. FLOOR is 0 if the move was not complete, else "
    "above all nonces that TO has issued.",
)
@json_option
def move(source: str, target: str, patience: float, floor: int | None, as_json: bool) -> None:
    """Move a state, with all that is in it, from a directory or URL to another one.

    That is: the last nonces, also of adopted keys, rate limits, lockouts, the gateway's local keys, and what it knows
    of sent calls. It waits until no call is under way. Programs that still use FROM get no nonces there any more, but
    an error that names TO. If it is interrupted, run it again. To go back, move TO to FROM; if TO is lost for good, see
    --undo.
    """
    old, new = open_store(source), open_store(target)

    def say(line: str) -> None:
        if not as_json:
            complain(f"{line} ...")

    try:
        if floor is not None:
            counters = undo(old, new, floor, patience=patience, say=say)
            write(to_json({"counters": counters}) if as_json else f"undone: {source} can be used again")
            return
        moved = move_state(old, new, patience=patience, say=say)
    finally:
        old.close()
        new.close()
    if as_json:
        write(to_json(moved._asdict()))
        return
    write(
        f"moved: {_some(len(moved.counters), 'counter')}, rate limits of {_some(moved.limits, 'key')}, "
        f"{'the' if moved.local_keys else 'no'} local keys of a gateway, sent calls of {_some(moved.sent, 'local key')}"
    )


@click.group(no_args_is_help=False)
def state() -> None:
    """Prepare or check the state: the directory or server in which nonces are kept."""


@state.command()
@json_option
@state_option
def init(as_json: bool, state: str | None) -> None:
    """Prepare a new state, also beside a state directory that has nonces. Issues none.

    Nothing needs it but that case: a state is made with its first nonce.
    """
    with NonceManager(state) as manager:
        refuse_moved_state(manager.store)
        begin(manager.store)
        if as_json:
            place = getattr(manager.store, "place", repr(manager.store))
            write(to_json({"state": place, "shared": manager.store.shared}))
            return
        write(f"ready: {manager.store!r}, for {SERVED[manager.store.shared]}")


@dataclass
class Checked:
    """What a check has found."""

    state: str
    shared: str
    has_begun: bool
    counters: int
    moved_to: str | None


@state.command()
@json_option
@state_option
def check(as_json: bool, state: str | None) -> None:
    """Check that the state can be used from here: connection, rights, version. Issues no nonce.

    It takes the turn of a name that no key has, and releases it. A state of several hosts is also written to.
    """
    with NonceManager(state) as manager:
        store: Any = manager.store
        if not hasattr(store, "retire"):
            raise ConfigError(f"{store!r} is this process's own; there is nothing to check")
        found = Checked(store.place, store.shared, has_begun(store), len(store.scopes()), store.moved_to())
        if found.moved_to is None:
            gate = store.gate("krakenonce-check")
            if gate.try_acquire():
                gate.release()
            if store.shared == "hosts":
                check_writing(store)
        if as_json:
            write(to_json(asdict(found)))
        refuse_moved_state(store)
        if not as_json:
            begun = _some(found.counters, "counter") if found.has_begun or found.counters else "not begun yet"
            write(f"{found.state} can be used, by {SERVED[store.shared]}: {begun}")


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
