"""Sends a request once, with urllib3, reads the answer, and reports whether anything was sent."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from krakenonce.extras import needed_by
from krakenonce.kraken.kraken_time import kraken_time
from krakenonce.kraken.request import Answer, host_of, no_answer, not_sent, read_answer
from krakenonce.process import ForkCheck

with needed_by("Kraken", "client"):
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from krakenonce.kraken.request import Request


_KEPT = 64  # idle connections that stay open


class Transport:
    """Connections to one address, for any number of clients and threads. After a fork, the child makes its own.

    Args:
        base_url: Kraken's address: scheme, host and port.

    Raises:
        ConfigError: *base_url* is not an http or https address.
    """

    def __init__(self, base_url: str = "https://api.kraken.com") -> None:
        self.host = host_of(base_url)
        self.base_url = base_url.rstrip("/")
        self.time = kraken_time(self.host)
        self._after_fork = ForkCheck()
        self._renew()

    def send(self, request: Request, timeout: float) -> dict[str, Any]:
        """Send *request* once and return Kraken's answer unchanged.

        Args:
            request: What to send.
            timeout: Seconds to wait for the connection, and again for each piece of the answer.

        Raises:
            RequestNotSent: No connection.
            OutcomeUnknown: No answer, or none in the form of Kraken's API.
        """
        self._after_fork(self._renew)  # on the parent's connections both would read each other's answers
        _progress.sent, _progress.until, asked = False, time.monotonic() + timeout, self.time.steady()
        try:
            # No retries and no redirects: a repeated POST is a second order.
            response = self._pool.request(
                request.verb,
                self.base_url + request.path,
                body=request.body,
                headers=request.headers,
                timeout=timeout,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            if not _progress.sent:
                raise not_sent(request.call, self.host, _reason(error)) from error
            raise no_answer(request.call, self.host) from error
        self.time.note(response.headers.get("Date", ""), asked)
        return read_answer(request, self.host, Answer(response.status, "", response.data))

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        pools = self._pool.pools
        for key in pools.keys():  # noqa: SIM118 - not a dict, and it does not allow iteration
            pools[key].close()
        self._pool.clear()

    def _renew(self) -> None:
        pool = urllib3.PoolManager(maxsize=_KEPT)
        pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        self._pool = pool


def _reason(error: BaseException) -> str:
    """Return the operating system's reason, without any part of the request."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class _Progress(threading.local):
    sent = False  # whether this thread's call may have left this machine
    until = 0.0  # on the monotonic clock; later than that nothing is sent


_progress = _Progress()


class _Connection(HTTPConnection):
    """Notes that sending begins, once the connection is made (for https including the handshake)."""

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        # Looking up the host name and trying one address after the other may have taken longer than the timeout.
        if not _progress.sent and time.monotonic() > _progress.until:
            raise urllib3.exceptions.ConnectTimeoutError("the connection came too late")
        _progress.sent = True
        super().send(data)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
