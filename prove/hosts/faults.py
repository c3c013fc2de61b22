"""Faults, each as a generator that is continued every few milliseconds, so that several go on at the same time."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from prove.hosts.crew import ALL, HOSTS
from prove.hosts.judge import OLD_SIDE
from prove.hosts.servers import REPLICATION, state_way
from prove.hosts.worker import POINTS, WAYS
from tests.hosts.packets import can_drop

if TYPE_CHECKING:
    import random

    from prove.hosts.crew import Crew
    from prove.hosts.network import Network
    from prove.hosts.servers import Servers, Valkey

__all__ = ["Faults"]

Going = Generator[None, None, None]

_TICK = 0.002  # seconds
_TOLD = 3.0  # seconds within which a process should come to the point at which it is to stop
_AT_ONCE = 3  # faults
_BETWEEN = 0.5  # seconds between the beginnings of two faults, on average
_LEAST, _MOST = 0.5, 3.0  # leases that a fault lasts
_SHORT = 0.3  # of a lease: a pause that nobody may notice
_CUTS = ("cut off", "reset", "unplugged")
_SPLIT = 3.0  # leases that a split lasts at least: turns of the other side end on each
_BEHIND = 0.3  # seconds by which the other server is behind when it is promoted with loss


class Faults:
    """What is done in one round.

    Args:
        crew: To whom.
        servers: And to which servers.
        network: And in which network.
        rng: The choices.
    """

    def __init__(self, crew: Crew, servers: Servers, network: Network, rng: random.Random) -> None:
        self.count = dict.fromkeys(("faults", "kills", "overtaken"), 0)
        self._crew = crew
        self._servers = servers
        self._network = network
        self._rng = rng
        self._busy: set[int | str] = set()  # processes, and the servers, to which something is being done

    def overtake(self, seconds: float) -> None:
        """Let a paused holder wake up between the nonce and the call of another one, in each way and at each point."""
        end = time.monotonic() + seconds
        cases = [(point, number) for point in POINTS for number in range(len(WAYS))]
        self._rng.shuffle(cases)
        cases.sort(key=lambda case: case[0] == "nonce")  # the others first
        for point, way in cases:
            holder = way + len(WAYS) * self._rng.randrange(HOSTS)
            for _ in self._overtaken(holder, self._rng.choice([each for each in ALL if each != holder]), point):
                time.sleep(_TICK)
            if time.monotonic() > end:
                break

    def split(self, servers: Valkey, seconds: float) -> None:
        """Promote the replica while one host sees the old server only; then let that host see the new one, too."""
        old_side = host_of(self._rng.choice(ALL))
        others = [state_way(each) for each in ALL if each not in old_side]
        servers.get_ahead()  # of the clock: what stops the old side must not be the clock alone
        self._crew.all_go_on()  # with a mark that the replica has
        began = time.monotonic_ns()
        self._network.cut([REPLICATION], "cut off")
        self._network.cut(others, "reset")
        alone = time.monotonic_ns()
        servers.split(old_side)
        self._network.heal(others)
        self._crew.note("promote", ALL, began)
        time.sleep(max(seconds, _SPLIT * servers.pause))
        joined = time.monotonic_ns()
        self._network.cut([state_way(each) for each in old_side], "reset")
        self._crew.note(OLD_SIDE, old_side, alone)
        self._network.heal([REPLICATION])
        servers.join()
        self._network.heal([state_way(each) for each in old_side])
        self._crew.note("joined", old_side, joined)
        self.count["faults"] += 1

    def disturb(self, seconds: float, only: Sequence[str] | None = None) -> None:
        """Do each kind of fault once, and then any, several at a time; or *only* some of them, once."""
        kinds = self._kinds() if only is None else []
        plan = [*kinds, *filter(None, [self._servers.promotion])] if only is None else [*only]
        self._rng.shuffle(plan)
        end = time.monotonic() + seconds
        going: list[Going] = []
        begin = 0.0
        try:
            while plan or going or (kinds and time.monotonic() < end):
                is_due = len(going) < _AT_ONCE and time.monotonic() >= begin
                if is_due and (plan or (kinds and time.monotonic() < end)):
                    what = plan.pop() if plan else self._rng.choice(kinds)
                    going.append(self._begin(what))
                    begin = time.monotonic() + self._rng.expovariate(1 / _BETWEEN)
                going = [each for each in going if next(each, self) is not self]
                time.sleep(_TICK)
        finally:
            for each in going:
                each.close()

    def _kinds(self) -> list[str]:
        kinds = ["kill", "stop", "server killed"]
        kinds += [f"{what} after the {point}" for what in ("kill", "stop") for point in POINTS]
        kinds += [f"{whom} {how}" for whom in ("process", "host", "server") for how in _CUTS[: 2 + can_drop()]]
        return [*kinds, *(["turn ended"] if self._servers.name == "postgres" else [])]

    def _begin(self, what: str) -> Going:
        """Begin a fault of a kind: whom it hits and how long it lasts is drawn now."""
        first, leases = self._rng.choice(ALL), self._rng.uniform(_LEAST, _MOST)
        seconds = leases * self._servers.pause
        if what.endswith((*POINTS, "kill", "stop")):
            return self._to_one(what, first, seconds)
        if what.endswith(_CUTS):
            return self._cut(what, first, seconds)
        if what == "turn ended":
            return self._turn_ended()
        return self._server_killed(what, seconds / 2)

    def _take(self, *wanted: int | str) -> Generator[None, None, None]:
        """Wait until nothing else is done to them."""
        while self._busy.intersection(wanted):
            yield
        self._busy.update(wanted)

    def _free(self, what: str, *taken: int | str) -> None:
        self._busy.difference_update(taken)
        self.count["faults"] += 1
        self.count["kills"] += what.startswith("kill")

    def _to_one(self, what: str, number: int, seconds: float) -> Going:
        """Kill a process, or stop it for some time; at any moment, or at a point."""
        yield from self._take(number)
        point = next((each for each in POINTS if what.endswith(each)), "")
        try:
            is_there = bool(point) and (yield from self._stopped_at(number, point))
            if what.startswith("kill"):
                self._crew.kill(number)
                return
            began = time.monotonic_ns()
            self._crew.stop(number)
            try:
                yield from _pass(seconds)
            finally:
                self._crew.go_on(number)
                self._crew.note(what if is_there or not point else "stop", (number,), began)
        finally:
            self._free(what, number)

    def _stopped_at(self, number: int, point: str) -> Generator[None, None, bool]:
        """Wait until a process has stopped itself at a point, unless it cannot get there now."""
        end = time.monotonic() + _TOLD
        self._crew.tell(number, point)
        while not self._crew.has_stopped(number):
            if time.monotonic() > end:
                self._crew.tell(number)
                return False
            yield
        return True

    def _cut(self, what: str, first: int, seconds: float) -> Going:
        """Cut a process or a host off from everything, or all from the server."""
        whose, _, how = what.partition(" ")
        whom = {"process": [first], "host": host_of(first), "server": [*ALL]}[whose]
        ways = [state_way(each) for each in whom]
        if whose != "server":
            ways += [f"kraken {each}" for each in whom]
        taken = ("server",) if whose == "server" else ()
        yield from self._take(*taken)
        began = time.monotonic_ns()
        self._network.cut(ways, how)
        try:
            yield from _pass(seconds)
        finally:
            self._network.heal(ways)
            if how == "unplugged":  # TCP tries again after as long as it has tried in vain
                yield from _pass(seconds)
            self._crew.note(what, whom, began)
            self._free(what, *taken)

    def _server_killed(self, what: str, seconds: float) -> Going:
        """Kill the server; start it again, or promote the other one, which may lack the last nonces."""
        yield from self._take("server")
        try:
            if what == "promote with loss":
                self._servers.get_ahead()
                self._network.cut([REPLICATION], "cut off")
                yield from _pass(_BEHIND)
            began = time.monotonic_ns()
            self._servers.kill()
            yield from _pass(min(seconds, 1.0))
            if what.startswith("promote"):
                self._servers.promote()
            else:
                self._servers.start_again()
            self._crew.note(what, ALL, began)
            if what == "promote with loss":
                self._network.heal([REPLICATION])
        finally:
            self._free(what, "server")

    def _turn_ended(self) -> Going:
        """End the session of one who has the turn."""
        yield from self._take("server")
        try:
            numbers: list[int | None] = []
            end = time.monotonic() + _TOLD
            while not numbers and time.monotonic() < end:
                began = time.monotonic_ns()
                numbers = [self._crew.number_of(pid) for pid in self._servers.end_turn()]
                yield
            self._crew.note("turn ended", [each for each in numbers if each is not None], began)
        finally:
            self._free("turn ended", "server")

    def _overtaken(self, holder: int, other: int, point: str) -> Going:
        """A holder is paused for longer than its turn lasts; it wakes up when another one has a nonce and no answer.

        What it does then must not let Kraken refuse the other one's call, whose own pause is short.
        """
        if not (yield from self._stopped_at(holder, point)):
            return
        began = time.monotonic_ns()
        try:
            yield from _pass(self._servers.pause * 1.1)
            if not (yield from self._stopped_at(other, "nonce")):
                return
            try:
                self._crew.go_on(holder)
                self._crew.note(f"stop after the {point}", (holder,), began)
                yield from _pass(self._servers.pause * _SHORT)
            finally:
                self._crew.go_on(other)
            self.count["overtaken"] += 1
        finally:
            self._crew.go_on(holder)


def _pass(seconds: float) -> Going:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def host_of(number: int) -> list[int]:
    """All processes of a process's host."""
    first = number // len(WAYS) * len(WAYS)
    return [*range(first, first + len(WAYS))]
