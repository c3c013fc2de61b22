"""The session that a backend's short steps share. It is opened when needed, and again after the server restarts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from krakenonce.backends.redis.hello import cannot, connect, make
from krakenonce.backends.redis.session import Refused, Session, SessionLost
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.redis.server import Server
    from krakenonce.backends.redis.session import Script


_T = TypeVar("_T")
_CONFIRM = 5.0  # seconds in which replicas have to confirm
ELSEWHERE = ("READONLY", "MOVED", "ASK", "CLUSTERDOWN")  # another server has the state now


class Link(Section):
    """One session; one thread at a time uses it.

    Args:
        server: Where to connect.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._session: Session | None = None
        super().__init__(NonceStoreError, "the state was asked for")

    def write(self, do: Callable[[Session], _T], what: str) -> _T:
        """Call *do* with the session, which may write; once more with a new one if the connection was lost.

        Args:
            do: What may be done twice.
            what: What it does, for messages: "raise a floor in".

        Raises:
            NonceStoreError: It may have been done, and there is no answer; or the server refuses it.
        """
        self.refuse_interrupter()
        with self.lock:
            return self.inside(do, what)

    def read(self, *command: str | int) -> Any:
        """Run a command that only reads. Raises NonceStoreError."""
        return self.several([command])[0]

    def several(self, commands: list[tuple[str | int | bytes, ...]]) -> list[Any]:
        """Run several commands that only read. Raises NonceStoreError."""

        def ask(session: Session) -> list[Any]:
            answers = session.several(commands)
            for each in answers:
                if isinstance(each, Refused):
                    raise each
            return answers

        self.refuse_interrupter()
        with self.lock:
            return self.inside(ask, "read", writes=False)

    def close(self) -> None:
        """Close the session, unless another thread uses it. A later step opens another one."""
        with contextlib.suppress(NonceStoreError):  # of a signal handler that has interrupted a step
            self.refuse_interrupter()
            if self.lock.acquire(blocking=False):
                try:
                    session, self._session = self._session, None
                    if session is not None:
                        with contextlib.suppress(SessionLost):
                            session.drain()
                        session.close()
                finally:
                    self.lock.release()

    def inside(self, do: Callable[[Session], _T], what: str, *, writes: bool = True) -> _T:
        """Do the same as :meth:`write`, for a caller who has the lock."""
        for is_last in (self._session is None, True):
            try:
                session = self._session = self._session or connect(self.server)
                if writes:
                    make(session, self.server)
                return do(session)
            except SessionLost as error:
                self._session = None
                if is_last:
                    raise cannot(self.server, "use", error) from None
            except Refused as error:
                if error.code not in ELSEWHERE or is_last:
                    raise cannot(self.server, what, error) from None
                session.close()
                self._session = None
        raise AssertionError("unreachable")

    def post(self, what: Script, keys: list[str], *values: str | int) -> None:
        """Send a script that need not be done, without waiting for its answer. For a caller who has the lock."""
        if self._session is not None:
            with contextlib.suppress(SessionLost):
                self._session.post(what, keys, *values)

    def _after_fork(self) -> None:
        """In the child: the session is the parent's."""
        super()._after_fork()
        if self._session is not None:
            self._session.abandon()
            self._session = None


def confirm(session: Session, server: Server, what: str) -> None:
    """Wait until as many replicas as are asked for have what was written last on this connection.

    Args:
        session: The one that has written it: WAIT on another connection would wait for nothing.
        server: Says how many.
        what: What may be lost otherwise, for the message.

    Raises:
        NonceStoreError: They do not have it.
        SessionLost: There is no answer.
    """
    if server.replicas:
        count = session.run("WAIT", server.replicas, round(_CONFIRM * 1000), patience=_CONFIRM)
        if count < server.replicas:
            raise NonceStoreError(
                f"only {count} of the {server.replicas} replicas of {server.url} that must confirm {what} have done so "
                f"within {_CONFIRM:g} s; no nonce was issued, and nothing was sent"
            )
