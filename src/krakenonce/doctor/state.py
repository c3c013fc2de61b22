"""What a state shows of itself, without a change: no file is made, no lock is taken that a call would wait for."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.backends import SERVED, FileStore
from krakenonce.backends.file.filesystem import check_filesystem, is_volatile, kind_at, open_regular
from krakenonce.backends.file.locked_files import names_in
from krakenonce.doctor import machine
from krakenonce.doctor.facts import Counter, HeldLane, Limit, StateFacts
from krakenonce.doctor.processes import PROC, Lock, locks
from krakenonce.errors import KrakenonceError, NonceStoreError
from krakenonce.key.limits import TIERS, level_now, stable_hash
from krakenonce.key.limits_state import REST_AT, State
from krakenonce.key.lockout import locked_out
from krakenonce.key.naming import ACCOUNT, GLOBAL
from krakenonce.key.state_time import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from krakenonce.backends.protocol import Backend
    from krakenonce.manager import NonceManager


_NO_KEYS = {GLOBAL, "krakenonce-check"}  # lanes that are of no API key
_SECONDS = re.compile(r"has held it for ([\d.]+) s")
OWN = "key-"  # what the name of a key's own counter begins with
_HEAD = 20_000  # bytes: more than the head, the counters and the calls that wait
_WAITS = 15.0  # seconds after which a call that has not asked again waits no more
_ROOM = 1 << 20  # bytes


def seen(manager: NonceManager, why: str, now: float, running: Mapping[int, bool] | None = None) -> StateFacts:
    """Return what a state shows.

    Args:
        manager: A manager of it.
        why: Who says that it is this one.
        now: Seconds since 1970.
        running: Whether each of the processes that use a state is stopped.
    """
    store: Any = manager.store
    place = str(getattr(store, "place", store))
    try:
        if isinstance(store, FileStore):
            return _directory(manager, store, place, why, now, running or {})
        return _server(manager, store, place, why, now)
    except KrakenonceError as error:
        return StateFacts(place, why, shared=store.shared, wrong=(str(error),), not_known=("what is in the state",))


def _directory(
    manager: NonceManager, store: FileStore, place: str, why: str, now: float, running: Mapping[int, bool]
) -> StateFacts:
    path, wrong = store.directory, []
    if not path.is_dir():
        if path.exists():
            wrong.append(f"{path} is no directory")
        elif not _can_be_made(path):
            wrong.append(f"{path} is not there, and this user (uid {os.geteuid()}) may not make it")
        return StateFacts(place, why, is_begun=False, wrong=tuple(wrong), details=machine.details())
    if to := store.moved_to():
        wrong.append(f"the state in {path} was moved to {to}")
    wrong += _not_usable(store)
    names = sorted(name.removesuffix(".lock") for name in names_in(f"{path}/lanes") if name.endswith(".lock"))
    counters = _counters(manager, store.scopes(), now)
    return StateFacts(
        place,
        why,
        is_begun=bool(counters),
        wrong=tuple(wrong),
        details=_details(path) | machine.details(),
        counters=counters,
        keys=last_taken(path),
        has_global=GLOBAL in names,
        held=tuple(_held(store, names, running)),
        limits=tuple(_limits_in_files(store, now)),
        not_known=(
            "how long a sync takes here: to measure it, something would have to be written",
            *(() if (PROC / "locks").exists() else ("which lanes are held: this system does not show locks",)),
        ),
    )


def _can_be_made(path: Path) -> bool:
    """Whether this user may make a directory: in the nearest one above it that is there."""
    there = next(above for above in path.absolute().parents if above.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def last_taken(state: Path) -> dict[str, float]:
    """Return when each key's lane in a state directory was taken last, in seconds since 1970."""
    found = {}
    with contextlib.suppress(OSError), os.scandir(state / "lanes") as entries:
        for entry in entries:
            name = entry.name.removesuffix(".lock")
            if name != entry.name and name not in _NO_KEYS:
                with contextlib.suppress(OSError):
                    found[name] = entry.stat(follow_symlinks=False).st_mtime
    return found


def _not_usable(store: FileStore) -> list[str]:
    """Return why nonces cannot be kept in a state directory."""
    path, found = store.directory, []
    try:
        if not is_volatile(kind_at(path)):  # else it warns
            check_filesystem(path, allow_network=store._directory.allow_network)
    except NonceStoreError as error:
        found.append(str(error))
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        found.append(f"this user (uid {os.geteuid()}) may not write in {path}, whose owner is uid {path.stat().st_uid}")
    room = shutil.disk_usage(path).free
    if room < _ROOM:
        found.append(f"the disk of {path} has {room} bytes left")
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        found.append(f"the file system of {path} is read-only")
    return found


def _details(path: Path) -> dict[str, str]:
    about, mine, kind = path.stat(), os.geteuid(), kind_at(path)
    lost = ", which is lost with the machine or the container" if is_volatile(kind) else ""
    return {
        "file system": f"{kind or 'not known'}{lost}",
        "permissions": f"{stat.S_IMODE(about.st_mode):04o}, owner uid {about.st_uid}"
        + ("" if about.st_uid == mine else f", and this user is uid {mine}"),
        "room": f"{shutil.disk_usage(path).free / 1e9:.1f} GB",
    }


def _counters(manager: NonceManager, names: Iterable[str], now: float) -> tuple[Counter, ...]:
    found = []
    for name in names:
        with contextlib.suppress(KrakenonceError):  # not a counter's file, or damaged: a nonce would go on above it
            last = manager.peek(name)
            if last is not None:
                found.append(Counter(name, last, last / 1e9 - now))
    return tuple(found)


def _held(store: FileStore, names: Iterable[str], running: Mapping[int, bool]) -> Iterable[HeldLane]:
    locked = locks()
    for name in names:
        lane = f"{store.directory}/lanes/{name}"
        lock = _lock_of(f"{lane}.lock", locked, running)
        if lock is None or not lock.pid:
            continue
        others = [_lock_of(f"{lane}{suffix}", locked, running) for suffix in (".line", ".urgent")]
        waiting = sum((1 if each.pid else 0) + each.waiting for each in others if each is not None)
        holder = store.gate(name).holder()
        yield HeldLane(name, holder, _seconds(holder), waiting, running.get(lock.pid, False))


def _lock_of(path: str, locked: Mapping[tuple[int, int], Lock], running: Mapping[int, bool]) -> Lock | None:
    """Return the lock of a file; some file systems have another device in the kernel's list than in ``stat``."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    exact = locked.get((about.st_dev, about.st_ino))
    if exact is not None:
        return exact
    return next((lock for (_, inode), lock in locked.items() if inode == about.st_ino and lock.pid in running), None)


def _seconds(holder: str) -> float | None:
    match = _SECONDS.search(holder)
    return float(match[1]) if match else None


class _ReadOnly:
    """Rate counters that are read, and not written."""

    def __init__(self, read: Any) -> None:
        self.read = read

    def write(self, offset: int, data: bytes) -> None:
        """Write nothing."""


def _limits_in_files(store: FileStore, now: float) -> Iterable[Limit]:
    clock = machine.clock_number()
    for name in store.rate_limits.names():
        try:
            fd = open_regular(Path(store._lanes) / f"kraken_limits_{name}.bin", os.O_RDONLY)
        except (OSError, KrakenonceError):
            continue
        try:
            head = os.pread(fd, _HEAD, 0)
        finally:
            os.close(fd)
        reading = Reading(clock, machine.since_boot(), now)
        yield from _limit(name, _ReadOnly(lambda at, size, head=head: head[at : at + size]), reading)


def _limit(name: str, counters: Any, reading: Reading) -> Iterable[Limit]:
    """Yield a key's limits, if there is something in them."""
    if name.startswith(ACCOUNT) or len(counters.read(0, REST_AT)) < REST_AT:
        return
    state = State(counters, reading)
    level = level_now(*state.counter(REST_AT), TIERS["starter"].rest_decay, state.now)
    waiting = sum(0.0 <= state.now - each.seen < _WAITS for each in state.waiting())
    left = locked_out(state, state.now)
    if level or waiting or left:
        yield Limit(name, level, waiting, left)


def _server(manager: NonceManager, store: Any, place: str, why: str, now: float) -> StateFacts:
    """Return what a state on a server, in memory, or of somebody's own backend shows."""
    if store.shared == "process":
        return StateFacts(
            place, why, shared="process", wrong=(f"{place} is this process's own: no other one can see it",)
        )
    wrong, lanes = [], []
    if hasattr(store, "moved_to") and (to := store.moved_to()):
        wrong.append(f"the state in {place} was moved to {to}")
    counters = _counters(manager, store.scopes(), now)
    keys = _keys_on_server(store, counters)
    for name in (GLOBAL, *keys):
        holder = store.gate(name).holder()
        if "held it for" in holder:
            lanes.append(HeldLane(name, holder, _seconds(holder)))
    return StateFacts(
        place,
        why,
        shared=store.shared,
        is_begun=bool(counters),
        wrong=tuple(wrong),
        details=machine.details() | {"shared by": SERVED[store.shared]},
        counters=counters,
        keys=dict.fromkeys(keys, 0.0),
        held=tuple(lanes),
        limits=tuple(_limits_on_server(store)),
        not_known=(
            "all that has happened on other hosts, and which processes run there: run this command there, too",
            "who waits for a turn, which keys only guarded clients have used, and the server's own disk and memory",
        ),
    )


def _keys_on_server(store: Any, counters: Iterable[Counter]) -> list[str]:
    """Return the keys that have something on a server: a counter of their own, or rate limits. Turns leave no trace."""
    own = [each.name.removeprefix(OWN) for each in counters if each.name.startswith(OWN)]
    limits = store.names("rate limits") if hasattr(store, "names") else []
    return sorted({*own, *(name for name in limits if not name.startswith(ACCOUNT))} - _NO_KEYS)


def _limits_on_server(store: Backend) -> Iterable[Limit]:
    names: list[str] = getattr(store, "names", lambda _: [])("rate limits")
    for name in names:

        def look(counters: Any, name: str = name) -> list[Limit]:
            at = counters.server_time
            reading = Reading(stable_hash("the clock of the server that keeps the state"), at, at)
            return list(_limit(name, _ReadOnly(counters.read), reading))

        if store.rate_limits.exist(name):
            yield from store.rate_limits.step(name, look)
