"""What a backend's short steps share: a session, and the lease of the process."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.etcd.lease import lease_of
from krakenonce.backends.etcd.session import Session
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.etcd.server import Server
    from krakenonce.backends.etcd.wire import Wire


_T = TypeVar("_T")


class Link(Section):
    """One session; one thread at a time uses it.

    Args:
        server: Where to connect.
        pause: Seconds for which a process may be paused before it loses its turns.
    """

    def __init__(self, server: Server, pause: float) -> None:
        self.server = server
        self.session = Session(server)
        self.lease = lease_of(server, pause)
        super().__init__(NonceStoreError, "the state was asked for")

    def step(self, use: str, do: Callable[[Wire], _T], *, make: bool = True) -> _T:
        """Take a step of the session's: see :meth:`Session.step`."""
        self.refuse_interrupter()
        with self.lock:
            return self.session.step(use, do, make=make)

    def read(self, do: Callable[[Wire], _T]) -> _T:
        """Take a step that only reads."""
        return self.step("read", do, make=False)

    def key(self, *parts: str) -> str:
        """Return the name of a key of this state."""
        return "/".join((self.server.prefix, *parts))

    def close(self) -> None:
        """Close the session, unless another thread uses it. A later step opens another one."""
        with contextlib.suppress(NonceStoreError):  # of a signal handler that has interrupted a step
            self.refuse_interrupter()
            if self.lock.acquire(blocking=False):
                try:
                    self.session.close()
                finally:
                    self.lock.release()
        self.lease.close()

    def _after_fork(self) -> None:
        """In the child: the session is the parent's."""
        super()._after_fork()
        self.session.close()
