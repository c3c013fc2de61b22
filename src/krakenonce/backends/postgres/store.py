"""The PostgreSQL backend: the whole state in one database, shared by all hosts that reach it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from krakenonce.backends.on_server import OnServer
from krakenonce.backends.postgres import moved
from krakenonce.backends.postgres.gate import PostgresGate, close_gates, gate_of
from krakenonce.backends.postgres.limits import PostgresLimits
from krakenonce.backends.postgres.link import Link
from krakenonce.backends.postgres.moved import refused_as_moved
from krakenonce.backends.postgres.pages import PostgresPages
from krakenonce.backends.postgres.records import PostgresRecords
from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Refused
from krakenonce.backends.postgres.statements import NEXT, RAISE
from krakenonce.backends.protocol import ScopeStats
from krakenonce.clock import SystemClock
from krakenonce.errors import ClockError, NonceExhausted
from krakenonce.rule import EARLIEST, NONCE_MAX, SECOND, check_floor, check_scope, in_range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.backends.postgres.server import Server
    from krakenonce.backends.postgres.session import Row
    from krakenonce.backends.protocol import Gate, Kept
    from krakenonce.clock import Clock


_AHEAD = 60 * SECOND  # how far a host's clock may drive the nonces ahead of the server's
_SENT = 4  # sessions for the sent calls of all local keys
_ANY = 10**18  # 31 years
_OUT_OF_RANGE = "22003"


class PostgresStore(OnServer):
    """Keeps the state in the tables of the schema ``krakenonce`` of one database.

    Nothing is opened before the first call. Safe for threads, forks, and any number of processes and hosts.
    :doc:`guarantees` lists what is promised.

    Args:
        url: ``postgresql://USER@HOST:PORT/DATABASE``, as libpq reads it; or what was read from it.
        clock: For tests, and taken as it is; default: the machine's clock, at most a minute ahead of the server's.
        pause: Seconds for which a process may be paused before it loses its turns.

    Raises:
        ConfigError: It is no such URL, or psycopg is not installed.
    """

    def __init__(self, url: str | Server, *, clock: Clock | None = None, pause: float = 30.0) -> None:
        self._link: Link = Link(read_url(url.strip(), "store") if isinstance(url, str) else url)
        self._pause = pause
        self._clock: Clock = clock or SystemClock()
        self._ahead = _AHEAD if clock is None or isinstance(clock, SystemClock) else _ANY
        self._issued: Counter[str] = Counter()
        self.rate_limits = PostgresLimits(self._link)
        self.records = PostgresRecords(self._link)
        # Only a gateway opens these, and its nonces do not wait for its other steps, nor one local key for another.
        self._links_of_sent = [Link(self._link.server) for _ in range(_SENT)]
        self.sent_calls = PostgresPages(self._links_of_sent)

    def advance(self, scope: str) -> int:
        """Issue the next nonce of a counter.

        If the connection is lost, the nonce that was perhaps stored is given to nobody, and another one is asked for.

        Raises:
            InvalidScope: The name is not allowed.
            NonceStoreError: The server does not answer, or cannot store it safely; none was issued.
            ClockError: The clocks are before 2020, and there is no earlier nonce.
            NonceExhausted: 2^63 - 1 is reached.
        """
        return self._next(None, scope)

    def advance_in_turn(self, scope: str, gates: Iterable[Gate]) -> int:
        """Issue the next nonce of a counter if the caller still has all these gates. Errors: also as below.

        Args:
            scope: The counter.
            gates: Those that the caller has taken; the last one is checked in the same step as the nonce.

        Raises:
            TurnLost: It has lost one, so another caller may be using it; no nonce was issued.
        """
        ours = [
            gate for gate in gates if isinstance(gate, PostgresGate) and gate.link.server.name == self._link.server.name
        ]
        for gate in ours[:-1]:
            gate.advance("select 1")
        return self._next(ours[-1] if ours else None, scope)

    def peek(self, scope: str) -> int | None:
        """Return the last nonce issued, or the floor if one was set since; never writes."""
        check_scope(scope)
        rows = self._link.read("select last from krakenonce.nonces where scope = $1", scope)
        return int(rows[0][0] or 0) if rows else None

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make all later nonces of a counter larger than *floor*, durably; a lower floor changes nothing."""
        check_scope(scope)
        try:
            rows = self._link.write(RAISE, scope, check_floor(floor))
        except Refused as error:
            raise cannot(self._link.server, "raise a floor in", error) from None
        if not rows:
            raise refused_as_moved(self._link)

    def gate(self, name: str) -> PostgresGate:
        """Return what lets one caller at a time have the turn called *name*; it connects when first used."""
        return gate_of(self._link, name, self._pause, self._values, self.rate_limits)

    def scopes(self) -> list[str]:
        """Return the names of the counters, sorted."""
        return sorted((row[0] or b"").decode() for row in self._link.read("select scope from krakenonce.nonces"))

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
        for link in self._links_of_sent:
            link.close()
        close_gates(self._link)

    def _next(self, gate: PostgresGate | None, scope: str) -> int:
        rows = gate.taken(scope) if gate is not None else None
        try:
            if rows is None:
                step = (NEXT, *self._values(scope))
                rows = self._link.write(*step) if gate is None else gate.advance(*step)
        except Refused as error:
            if error.code == _OUT_OF_RANGE:
                raise NonceExhausted(
                    "the counter has reached 2^63 - 1, the largest nonce; use a new API key and counter"
                ) from None
            raise cannot(self._link.server, "take a nonce from", error) from None
        if not rows:
            raise refused_as_moved(self._link)
        return self._checked(scope, rows)

    def _values(self, scope: str) -> tuple[str, int, int]:
        """Return the values of the statement that issues a nonce. Raises InvalidScope."""
        check_scope(scope)
        now = self._clock.now_ns()
        # A host whose clock cannot be right takes the server's.
        return (scope, now, self._ahead) if in_range(now) else (scope, NONCE_MAX, 0)

    def _checked(self, scope: str, rows: list[Row]) -> int:
        nonce = int(rows[0][0] or 0)
        if nonce < EARLIEST:
            raise ClockError(
                f"the clocks of this host and of {self._link.server.url} are before 2020, and there is no earlier "
                "nonce; no nonce was issued; set the clock"
            )
        with self._link.lock:
            self._issued[scope] += 1
        return nonce
