"""Steps on the state: each on a connection that is opened when needed, and again at another server if one is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.etcd.schema import check_state, check_status, make_state
from krakenonce.backends.etcd.wire import Lost, Refused, Silence, Wire
from krakenonce.errors import NonceStoreError
from krakenonce.native import allocate_lock
from krakenonce.shown import blind

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.etcd.server import Server
    from krakenonce.backends.etcd.wire import Json


_T = TypeVar("_T")

ANSWER = 10.0  # seconds until servers that do not answer count as gone
_TRY = 2.0  # seconds for each of them, and each request
_NO_AUTH = 9
_DENIED = 7
_REST = 0.05  # seconds


class Session:
    """At most one connection; one thread at a time uses it.

    Args:
        server: Where to connect.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._wire: Wire | None = None
        self._unsure: list[Json] = []  # what was to be deleted, and no server has confirmed it
        self._told: Wire | None = None  # the connection that it was sent on

    def step(self, use: str, do: Callable[[Wire], _T], *, make: bool = True, patience: float | None = None) -> _T:
        """Call *do* with a connection, and again with another one if it is lost, for at most ten seconds.

        Args:
            use: What is done with the state, for messages.
            do: What may be done twice, and later than now: a request without an answer may be executed or not.
            make: Whether the state is made if there is none.
            patience: Other than ten seconds.

        Raises:
            NonceStoreError: No server answers, or it has refused the step.
        """
        until = time.monotonic() + (ANSWER if patience is None else patience)
        failed, old_token = 0, False
        told: Lost | None = None
        while True:
            try:
                wire = self._wire = self._wire or self._connect(min(_TRY, max(until - time.monotonic(), 0.1)))
                if self._unsure and self._told is not wire:
                    self._delete_again(wire)
                if make and not wire.is_made:
                    make_state(wire)
                answer = do(wire)  # it comes after those that nobody has waited for
                self._unsure.clear()
                return answer
            except Lost as error:
                failed = failed + 1 if error.is_down else 0
                told = error if told is None or not error.is_down else told  # what a server says is worth more
                self._leave_server()
                if failed == len(self.server.places):
                    raise cannot(self.server, "connect to", error) from None
                if time.monotonic() > until:
                    raise cannot(self.server, use, told) from None
                rest(_REST)
            except Refused as error:
                if old_token or not _is_about_token(error):
                    raise cannot(self.server, use, error) from None
                old_token = True
                self.server.token = ""
                self.close()

    def delete_later(self, request: Json) -> bool:
        """Send what deletes keys, and do not wait: each step makes sure of it before it is done.

        Returns whether there is a connection to send it on. If not, it is done with the next step.
        """
        self._unsure.append(request)
        self._told = None
        if self._wire is None:
            return False
        try:
            self._wire.delete_later(request)
        except Lost:
            self._leave_server()
            return False
        self._told = self._wire
        return True

    def settle(self, use: str, patience: float | None = None) -> None:
        """Make sure that what was to be deleted is deleted. Arguments and errors: as for :meth:`step`."""
        if self._unsure:
            self.step(use, lambda wire: wire.drain(), make=False, patience=patience)

    def forget(self) -> None:
        """Make sure of nothing any more."""
        self._unsure.clear()

    def watch(self) -> Wire:
        """Return a connection of the caller's own, which is not checked. Raises Lost or Refused."""
        wire = Wire(self.server, min(_TRY, ANSWER))
        try:
            wire.open()
            self._log_in(wire)
        except BaseException as error:
            wire.close()
            if isinstance(error, Lost):
                self.server.skip(wire.place)
            raise
        return wire

    def close(self) -> None:
        """Close the connection. A later step opens another one."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _connect(self, patience: float) -> Wire:
        wire = self._wire = Wire(self.server, patience)
        wire.open()
        try:
            self._log_in(wire)
            status = wire.post("maintenance/status", {})
        except Lost as error:
            if isinstance(error, Silence) or wire.server.tls() is not None:
                raise
            raise Lost(f"{error}; write etcds:// if it wants TLS", is_down=True) from None
        except Refused as error:
            if error.code != _DENIED:
                raise
        else:
            check_status(self.server, status)
        check_state(wire)
        return wire

    @blind  # the request has the password
    def _log_in(self, wire: Wire) -> None:
        server = self.server
        if not server.user:
            return
        if not server.token:
            try:
                answer = wire.post("auth/authenticate", {"name": server.user, "password": server.password()})
            except Refused as error:
                if error.code != _NO_AUTH:
                    raise
                return  # the server asks nobody for a password
            server.token = str(answer["token"])
        wire.log_in(server.token)

    def _delete_again(self, wire: Wire) -> None:
        for request in self._unsure:
            wire.delete(request)
        self._told = wire

    def _leave_server(self) -> None:
        if self._wire is not None:
            self.server.skip(self._wire.place)
        self.close()


def cannot(server: Server, use: str, error: Exception) -> NonceStoreError:
    """Return the error that says in one line what could not be done, and what helps."""
    why = str(error)
    hint = ""
    for text, helps in _HINTS.items():
        if text in why:
            hint = f"; {helps}"
    return NonceStoreError(f"cannot {use} {server.url}: {why}; nothing was issued or sent{hint}")


def rest(seconds: float) -> None:
    """Wait, and let no other greenlet run."""
    lock = allocate_lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


def _is_about_token(error: Refused) -> bool:
    return "invalid auth token" in str(error) or "revision in header is old" in str(error)


_HINTS = {
    "space exceeded": "its quota is full: let it compact, defragment it and disarm the alarm, see "
    '"When etcd is full" in docs/how-to/several-hosts.md',
    "user name is empty": "it wants a user: etcd://USER@HOST/PREFIX, with the password in ETCD_PASSWORD",
    "authentication failed": "give the password in ETCD_PASSWORD or in the file that ?password_file=PATH names",
    "permission denied": 'see "Rights of etcd" in docs/how-to/several-hosts.md',
    "no leader": "more than half of its servers must run and reach each other",
}
