"""The session that a backend's short steps share. It is opened when needed, and again after the server restarts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.heartbeat import my_name
from krakenonce.backends.postgres.schema import cannot, connect, make_tables
from krakenonce.backends.postgres.session import Refused, Session, SessionLost
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.postgres.server import Server
    from krakenonce.backends.postgres.session import Row


_T = TypeVar("_T")
_MISSING = ("42P01", "3F000")  # no such table, no such schema


class Link(Section):
    """One session; one thread at a time uses it.

    Args:
        server: Where to connect.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._session: Session | None = None
        super().__init__(NonceStoreError, "the state was asked for")

    def write(self, statement: str, *values: str | int | None) -> list[Row]:
        """Run a statement that does no harm if it is run twice, and return its rows.

        Raises:
            NonceStoreError: It may have been run, and there is no answer.
            Refused: The server refuses it, for another reason than missing rights.
        """
        return self.step(lambda session: session.run(statement, *values))

    def read(self, statement: str, *values: str | int | None) -> list[Row]:
        """Run a statement that only reads; no rows if there are no tables yet. Raises NonceStoreError."""
        try:
            return self.step(lambda session: session.run(statement, *values), make=False)
        except Refused as error:
            if error.code in _MISSING:
                return []
            raise cannot(self.server, "read", error) from None

    def step(self, do: Callable[[Session], _T], *, make: bool = True) -> _T:
        """Call *do* with the session; once more with a new one if the connection was lost. Errors: see :meth:`write`.

        Args:
            do: What may be done twice.
            make: Whether the tables are made if there are none.
        """
        self.refuse_interrupter()
        with self.lock:
            return self.inside(do, make=make)

    def close(self) -> None:
        """Close the session, unless another thread uses it. A later step opens another one."""
        with contextlib.suppress(NonceStoreError):  # of a signal handler that has interrupted a step
            self.refuse_interrupter()
            if self.lock.acquire(blocking=False):
                try:
                    if self._session is not None:
                        self._session.close()
                        self._session = None
                finally:
                    self.lock.release()

    def inside(self, do: Callable[[Session], _T], *, make: bool = True) -> _T:
        """Do the same as :meth:`step`, for a caller who has the lock."""
        for is_last in (self._session is None, True):
            try:
                session = self._session = self._session or connect(self.server, my_name())
                if make:
                    make_tables(session, self.server)
                return do(session)
            except SessionLost as error:
                self._session = None
                if is_last:
                    raise cannot(self.server, "use", error) from None
            except Refused as error:
                session.close()  # it may be within a transaction
                self._session = None
                if error.code == "42501":
                    raise cannot(self.server, "use", error) from None
                raise
        raise AssertionError("unreachable")

    def _after_fork(self) -> None:
        """In the child: the session is the parent's."""
        super()._after_fork()
        if self._session is not None:
            self._session.abandon()
            self._session = None
