"""The WebSocket connections of a fake Kraken: they are told what changes, while nothing else may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.testing.documented import DOCUMENTED_PRIVATE
from krakenonce.testing.documented.checking import check
from krakenonce.testing.private import PRIVATE, Call
from krakenonce.testing.session import Session
from krakenonce.testing.tokens import owner_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from krakenonce.testing.admission import Admission
    from krakenonce.testing.engine import MatchingEngine
    from krakenonce.testing.executions import Execution
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.limits import Limits
    from krakenonce.testing.message import Message
    from krakenonce.testing.session import Line


class Streams:
    """The connections to a fake Kraken.

    Args:
        engine: Its matching engine.
        keys: The API keys.
        admission: Who may call what.
        limits: The counters of the limits.
        turn: Gives the time, and lets nobody else change anything meanwhile; ``publish`` is called at its end.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        keys: Mapping[str, ApiKey],
        admission: Admission,
        limits: Limits,
        turn: Callable[[], AbstractContextManager[float]],
    ) -> None:
        self.engine = engine
        self._keys, self._admission, self._limits, self._turn = keys, admission, limits, turn
        self._sessions: list[Session] = []
        engine.listeners.append(self._hear)

    def open(self, line: Line) -> Session:
        """Begin a connection, and return it."""
        with self._turn():
            session = Session(self, line)
            self._sessions.append(session)
        return session

    def close(self, session: Session) -> None:
        """End a connection; its orders stay."""
        with self._turn():
            self._sessions.remove(session)

    def receive(self, session: Session, text: str) -> None:
        """Answer a message from a connection."""
        with self._turn() as now:
            session.receive(text, now)

    def tick(self, session: Session) -> None:
        """Let time pass, and send a heartbeat if a connection got nothing else since the last tick."""
        with self._turn() as now:
            session.publish(now)
            session.beat()

    def publish(self, now: float) -> None:
        """Send what has changed. The fake calls this at the end of each turn."""
        for session in self._sessions:
            session.publish(now)

    def cut(self) -> None:
        """Cut all connections."""
        for session in self._sessions:
            session.line.cut()

    def owner_of(self, token: object, now: float, *, is_in_use: bool) -> ApiKey:
        """Return the API key of a token; see :func:`krakenonce.testing.tokens.owner_of`."""
        lives_on = is_in_use and self.engine.rules.token_outlives_its_time
        return owner_of(self._keys.values(), token, now, is_in_use=lives_on)

    def trade(self, key: ApiKey, method: str, params: Message, now: float) -> Any:
        """Return the result of a private method; over a WebSocket it needs neither nonce nor signature.

        Args:
            key: The API key of the token.
            method: Such as ``AddOrder``.
            params: The parameters of the method.
            now: Seconds since 1970.

        Raises:
            Refused: With the error to answer with.
        """
        self._admission.check_permitted(key, method)
        check(DOCUMENTED_PRIVATE, method, params)
        return PRIVATE[method](Call(key.account, key, None, params, now, now, 0.0, self.engine, self._limits))

    def _hear(self, event: Execution) -> None:
        for session in self._sessions:
            session.hear(event)
