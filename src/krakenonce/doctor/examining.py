"""From a state to the facts, and from the facts to the findings."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.backends.file import FileStore
from krakenonce.backends.state_name import usual_directory
from krakenonce.doctor import causes, causes_here, causes_of_calls, processes, state
from krakenonce.doctor.facts import Facts, OtherState
from krakenonce.doctor.history import History, read
from krakenonce.errors import KrakenonceError
from krakenonce.journal.copies import events_of_others
from krakenonce.journal.reading import Reader
from krakenonce.journal.recorder import directory_of, host_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from krakenonce.doctor.facts import Finding, Process
    from krakenonce.manager import NonceManager


_LOOKS = (
    causes_here.state,
    causes_here.another_state,
    causes.refusals,
    causes_of_calls.lockouts,
    causes_of_calls.keys,
    causes_of_calls.rate_limits,
    causes_of_calls.network,
    causes_here.lanes,
    causes_here.clock,
    causes_here.recovered,
    causes_of_calls.odd_refusals,
)


_SHOWN = 5  # findings of one cause


def findings(facts: Facts) -> list[Finding]:
    """Return all that is wrong, or was, the worst first; what is over comes last."""
    found = [each for look in _LOOKS for each in _few(list(look(facts)))]
    return sorted(found, key=lambda finding: finding.is_over)


def _few(found: list[Finding]) -> list[Finding]:
    """Return the findings, but of each cause only the first ones: with a thousand keys nobody reads them all."""
    kept: dict[tuple[str, bool], list[Finding]] = {}
    for each in found:
        kept.setdefault((each.cause, each.is_over), []).append(each)
    few = []
    for same in kept.values():
        few += same[:_SHOWN]
        if len(same) > _SHOWN:
            keys = ", ".join(each.account or each.key for each in same[_SHOWN : 2 * _SHOWN])
            more = len(same) - _SHOWN
            few.append(
                same[_SHOWN]._replace(
                    what=f"the same holds for {more} more {'key' if more == 1 else 'keys'}: {same[0].cause}",
                    evidence=(f"among them {keys}",),
                    key="",
                    account="",
                )
            )
    return few


def examine(manager: NonceManager, why: str, since: float, now: float, *, is_named: bool = True) -> Facts:
    """Return what the state, its journal and the running processes show. Makes and changes nothing.

    Args:
        manager: A manager of the state.
        why: Who says that it is this one.
        since: What was before is left out, in seconds since 1970.
        now: Seconds since 1970.
        is_named: Whether somebody has named it; else it is the usual one.
    """
    host = host_name()
    running = processes.running()
    seen = state.seen(manager, why, now, {each.pid: each.is_stopped for each in running})._replace(is_named=is_named)
    history, not_known = _history(manager, since)
    if not processes.can_look():
        not_known = (*not_known, "which processes run: this system has no /proc")
    elif os.geteuid():
        not_known = (*not_known, "what processes of other users do")
    return Facts(
        now,
        since,
        host,
        seen,
        history,
        running,
        tuple(_others(manager, running, seen.keys)),
        frozenset((host, pid) for pid in processes.alive(_of_host(history, host))),
        not_known,
    )


def _history(manager: NonceManager, since: float) -> tuple[History, tuple[str, ...]]:
    place = directory_of(manager.store)
    if place is None:
        return History(), ("what has happened: this state has no journal that another process could read",)
    try:
        history = read(Reader(place).lines(), since)
    except KrakenonceError as error:
        return History(), (f"what has happened: {error}",)
    try:
        for event in events_of_others(manager.store, host_name(), since):
            history.count(event)
    except KrakenonceError as error:
        return history, (f"what has happened on other hosts: {error}",)
    return history, ()


def _of_host(history: History, host: str) -> Iterable[tuple[int, float]]:
    """Return the processes of this host that are in the journal, each with the last time at which it ran."""
    last: dict[int, float] = {}
    for group in history.groups.values():
        for (where, pid, _), at in group.last_by.items():
            if where == host:
                last[pid] = max(at, last.get(pid, 0.0))
    return last.items()


def _others(manager: NonceManager, running: Iterable[Process], keys: Mapping[str, float]) -> Iterable[OtherState]:
    """Yield the other state directories of this host in which one of our keys has a lane."""
    ours = manager.store.directory if isinstance(manager.store, FileStore) else None
    places = {Path(place) for each in running for place in each.states if place.startswith("/")}
    with contextlib.suppress(KrakenonceError):  # this user has no home directory
        places.add(usual_directory().directory or Path())
    for place in sorted(places):
        if place == ours or not place.is_absolute() or (place / "moved" / "to.json").exists():
            continue
        shared = {key: at for key, at in state.last_taken(place).items() if key in keys}
        if shared:
            yield OtherState(str(place), shared)
