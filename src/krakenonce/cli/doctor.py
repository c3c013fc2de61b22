"""The command doctor: what is wrong, with the evidence, and what to do."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

import click

from krakenonce.backends.state_name import VARIABLE
from krakenonce.cli.log import seconds_since
from krakenonce.cli.options import json_option, kraken_options
from krakenonce.cli.output import complain, to_json, write
from krakenonce.doctor.examining import examine, findings
from krakenonce.doctor.report import as_json as report_json
from krakenonce.doctor.report import text
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.doctor.facts import Facts, Finding


_DAY = 86_400.0  # seconds
_PATIENCE = 1.0  # seconds
_WARNING = (
    "a question about a key is a private call: once Kraken has accepted its nonce of 19 digits, it refuses every "
    "program that uses this key with smaller nonces, for ever. Add --yes if no such program uses it"
)


@click.command("doctor")
@click.option(
    "--since",
    metavar="TIME",
    callback=seconds_since,
    help="Look at what has happened since then: so long ago, as 90m, 1h or 2d, or a moment. Default: 1d.",
)
@click.option("--online", is_flag=True, help="Ask Kraken, too: its time, and about the keys that this state has used.")
@click.option(
    "--key", "names", multiple=True, metavar="NAME", help="With --online: ask about the keys of this account, too."
)
@click.option("--yes", is_flag=True, help="With --key: no program uses these keys with smaller nonces.")
@json_option
@kraken_options
def doctor(
    since: float,
    online: bool,
    names: tuple[str, ...],
    yes: bool,
    as_json: bool,
    state: str | None,
    base_url: str,
    credentials: Path | None,
) -> None:
    """Say what is wrong, with the evidence, and what to do. Changes nothing, and issues no nonce.

    It looks at the state, the journal, and the running processes of this user. Exit code: 0 nothing is wrong, 1
    something is.

    With --online it calls Kraken. For each key that the state has used, that is a private call with the next nonce.
    """
    if names and not online:
        raise click.UsageError("--key needs --online")
    if names and not yes:
        raise click.UsageError(_WARNING)
    now = time.time()
    with _progress(), NonceManager(state) as manager:
        why, is_named = _why(state)
        notes: tuple[str, ...] = ()
        more: list[Finding] = []
        facts = examine(manager, why, since or now - _DAY, now, is_named=is_named)
        if online:
            facts, more, notes = _ask(manager, facts, names, base_url, credentials)
        found = [*more, *findings(facts)]
    if as_json:
        write(to_json(report_json(facts, found, notes)))
    else:
        write("\n".join(text(facts, found, notes)))
    if not all(each.is_over for each in found):
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _progress() -> Iterator[None]:
    """Say on stderr that it goes on, if it takes more than a second."""
    timer = threading.Timer(_PATIENCE, complain, ["still looking ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _why(state: str | None) -> tuple[str, bool]:
    """Return who says which state it is, and whether anybody does."""
    if state is not None:
        return "--state names it", True
    if os.environ.get(VARIABLE, "").strip():
        return f"${VARIABLE} names it", True
    return f"it is this user's usual one, because ${VARIABLE} is not set", False


def _ask(
    manager: NonceManager, facts: Facts, names: tuple[str, ...], base_url: str, credentials: Path | None
) -> tuple[Facts, list[Finding], tuple[str, ...]]:
    """Return the facts after Kraken was asked, what it showed, and notes."""
    from krakenonce.brokers.credentials import full_name, read_accounts
    from krakenonce.doctor.online import Wanted, ask, judge, notes_of

    found = read_accounts(os.environ, credentials)
    chosen = {full_name({**found.accounts, **found.wrong}, name) for name in names}
    refused = {each.key for each in findings(facts) if each.cause == "poisoned_key" and not each.is_over}
    infos, notes, more = ask(found, Wanted(facts.state.keys, chosen, refused), manager, base_url)
    after = time.time()
    state = facts.state
    facts = examine(
        manager, state.why, facts.since, after, is_named=state.is_named
    )  # what Kraken refused is in the journal now
    more += judge(infos, facts.history, after)
    return facts, more, (*notes, *map(notes_of, infos))
