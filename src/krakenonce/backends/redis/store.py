"""The backend on Valkey or Redis: nonces, turns, rate limits and records on one server, shared by all its hosts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from krakenonce.backends.on_server import OnServer
from krakenonce.backends.protocol import ScopeStats
from krakenonce.backends.redis import moved
from krakenonce.backends.redis.gate import RedisGate, close_gates, gate_of
from krakenonce.backends.redis.hello import cannot, make
from krakenonce.backends.redis.limits import RedisLimits
from krakenonce.backends.redis.link import Link, confirm
from krakenonce.backends.redis.moved import refuse_moved
from krakenonce.backends.redis.ranges import RedisRanges
from krakenonce.backends.redis.records import RedisRecords
from krakenonce.backends.redis.scripts import FLOOR, NONCES, STEP
from krakenonce.backends.redis.server import read_url
from krakenonce.backends.redis.session import Refused
from krakenonce.clock import SystemClock
from krakenonce.errors import ClockError, NonceExhausted, NonceStoreError, TurnLost
from krakenonce.rule import EARLIEST, NONCE_MAX, check_floor, check_scope, in_range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.backends.protocol import Gate, Kept
    from krakenonce.backends.redis.server import Server
    from krakenonce.backends.redis.session import Session
    from krakenonce.clock import Clock


_AHEAD = 60  # seconds that a host's clock may drive the nonces ahead of the server's
_ANY = 10**9  # 31 years
_TRIES = 5  # the server may fail over between a mark and its nonce
_NEXT = "take a nonce from"


class RedisStore(OnServer):
    """Keeps the state in the keys ``{krakenonce}:...`` of one server.

    Nothing is opened before the first call. Safe for threads, forks, and any number of processes and hosts.
    :doc:`guarantees` lists what is promised.

    Args:
        url: ``valkey://USER@HOST:PORT/0``, ``redis+sentinel://USER@HOST1,HOST2/MASTERNAME`` or what was read from it.
        clock: For tests, and taken as it is; default: the machine's clock, at most a minute ahead of the server's.
        pause: Seconds for which a process may be paused before it loses its turns.

    Raises:
        ConfigError: It is no such URL, or the package ``redis`` is not installed.
    """

    def __init__(self, url: str | Server, *, clock: Clock | None = None, pause: float = 5.0) -> None:
        self._link: Link = Link(read_url(url.strip(), "store") if isinstance(url, str) else url)
        self._pause = pause
        self._clock: Clock = clock or SystemClock()
        self._ahead = _AHEAD if clock is None or isinstance(clock, SystemClock) else _ANY
        self._issued: Counter[str] = Counter()
        self.rate_limits = RedisLimits(self._link)
        self.records = RedisRecords(self._link)
        self._link_of_sent = Link(self._link.server)  # only a gateway opens it, whose nonces do not wait for its steps
        self.sent_calls = RedisRanges(self._link_of_sent)

    def advance(self, scope: str) -> int:
        """Issue the next nonce of a counter.

        If the connection is lost, the nonce that was perhaps stored is given to nobody, and another one is asked for.

        Raises:
            InvalidScope: The name is not allowed.
            NonceStoreError: The server does not answer, or cannot store it safely; none was issued.
            ClockError: The clocks are before 2020, and there is no earlier nonce.
            NonceExhausted: 2^63 - 1 is reached.
        """
        return self.advance_in_turn(scope, ())

    def advance_in_turn(self, scope: str, gates: Iterable[Gate]) -> int:
        """Issue the next nonce of a counter if the caller still has all these gates. Errors: also as below.

        Args:
            scope: The counter.
            gates: Those that the caller has taken; all are checked in the same step as the nonce.

        Raises:
            TurnLost: It has lost one, so another caller may be using it; no nonce was issued.
        """
        check_scope(scope)
        server = self._link.server
        ours = [gate for gate in gates if isinstance(gate, RedisGate) and gate.link.server.name == server.name]
        if any(not gate.held for gate in ours):
            raise _lost(ours)
        turns = [(gate.key, gate.token, gate.lease) for gate in ours]
        came = ours[-1].taken(scope) if ours else None
        try:
            if came is not None and len(ours) == 1:
                reply = came
            elif ours:
                reply = ours[-1].run(lambda session: self._step(session, scope, turns))
            else:
                reply = self._link.write(lambda session: self._step(session, scope, turns), _NEXT)
        except Refused as error:
            raise cannot(server, _NEXT, error) from None
        if reply[0] == b"lost":
            raise _lost(ours)
        refuse_moved(server, reply)
        return self._checked(scope, reply)

    def peek(self, scope: str) -> int | None:
        """Return the last nonce issued, or the floor if one was set since; never writes."""
        check_scope(scope)
        last = self._link.read("HGET", NONCES, f"last:{scope}")
        return None if last is None else int(last)

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make all later nonces of a counter larger than *floor*, durably; a lower floor changes nothing."""
        check_scope(scope)
        wanted = check_floor(floor)

        def raise_it(session: Session) -> None:
            refuse_moved(self._link.server, session.script(FLOOR, [NONCES], scope, wanted))
            confirm(session, self._link.server, "a floor")

        self._link.write(raise_it, "raise a floor in")

    def gate(self, name: str) -> RedisGate:
        """Return what lets one caller at a time have the turn called *name*; it connects when first used."""
        return gate_of(self._link, name, self._pause, self._values, self.rate_limits)

    def scopes(self) -> list[str]:
        """Return the names of the counters, sorted."""
        fields = (field.decode() for field in self._link.read("HKEYS", NONCES))
        return sorted(field.removeprefix("last:") for field in fields if field.startswith("last:"))

    def stats(self, scope: str) -> ScopeStats:
        """Return the last nonce, and the count of this process."""
        return ScopeStats(scope, self.peek(scope), issued=self._issued[scope])

    def retire(self, to: str) -> dict[str, int]:
        """Let nobody use the counters any more; see :class:`krakenonce.backends.protocol.Movable`."""
        return moved.retire(self._link, to)

    def moved_to(self) -> str | None:
        """Return where the state was moved to; None: it is in use."""
        return moved.moved_to(self._link)

    def names(self, kept: Kept) -> list[str]:
        """Return the names of all rate limits, records or sent calls, sorted."""
        return moved.names(self._link, kept)

    def restore(self, floors: dict[str, int]) -> None:
        """Let the counters be used again, if they were retired, with all nonces larger than these floors."""
        moved.restore(self._link, floors)

    def close(self) -> None:
        """Close the sessions that are not in use. A later call opens them again."""
        self._link.close()
        self._link_of_sent.close()
        close_gates(self._link)

    def _step(self, session: Session, scope: str, turns: list[tuple[str, str, int]]) -> list[Any]:
        """Take a nonce; if the mark has to be raised, wait for the replicas first."""
        server, values = self._link.server, self._values(scope)
        make(session, server)
        keys = [NONCES, *(key for key, _, _ in turns)]
        held = [value for _, token, lease in turns for value in (token, lease)]
        confirmed: list[bytes] = [b"", b""]
        for _ in range(_TRIES):
            reply: list[Any] = session.script(STEP, keys, *values, *confirmed, *held)
            if reply[0] != b"confirm":
                return reply
            confirm(session, server, "the mark of the nonces")
            confirmed = reply[1:]
        raise NonceStoreError(f"the mark of the nonces in {server.url} does not stay; no nonce was issued; try again")

    def _values(self, scope: str) -> tuple[str, int, int, int]:
        """Return the values of the script that issues a nonce."""
        now = self._clock.now_ns()
        # A host whose clock cannot be right takes the server's.
        wall, ahead = (now, self._ahead) if in_range(now) else (NONCE_MAX, 0)
        return scope, wall, ahead, self._link.server.replicas

    def _checked(self, scope: str, reply: list[Any]) -> int:
        if reply[0] == b"end":
            raise NonceExhausted(
                "the counter has reached 2^63 - 1, the largest nonce; use a new API key and counter"
            ) from None
        nonce = int(reply[1])
        if nonce < EARLIEST:
            raise ClockError(
                f"the clocks of this host and of {self._link.server.url} are before 2020, and there is no earlier "
                "nonce; no nonce was issued; set the clock"
            )
        with self._link.lock:
            self._issued[scope] += 1
        return nonce


def _lost(gates: list[RedisGate]) -> TurnLost:
    names = ", ".join(gate.name for gate in gates)
    return TurnLost(
        f"the turn {names} was lost before its nonce was there (its lease has ended at the server); "
        "nothing was sent, and the call may be tried again"
    )
