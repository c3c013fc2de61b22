"""Sends a request once, with urllib3, reads the answer, and reports whether anything was sent."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError
from krakenonce.extras import needed_by
from krakenonce.kraken.address import DEFAULT, base_url_of
from krakenonce.kraken.http_status import heed, refuse_if_closed
from krakenonce.kraken.kraken_time import kraken_time
from krakenonce.kraken.proxy import WANTS_PASSWORD, proxy_for, unsent
from krakenonce.kraken.request import Answer, host_of, no_answer, read_answer
from krakenonce.process import ForkCheck
from krakenonce.shown import blind

with needed_by("Kraken", "client"):
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from krakenonce.kraken.request import Request


_KEPT = 64  # idle connections that stay open
_ONCE = urllib3.Retry(False, redirect=False)
_TUNNEL = re.compile("Tunnel connection failed: ([0-9]{3})")  # how http.client says that a proxy has refused


class Transport:
    """Connections to one address, for any number of clients and threads. After a fork, the child makes its own.

    Args:
        base_url: Kraken's address: scheme, host and port; default: as for :class:`~krakenonce.kraken.Kraken`.
        proxy: The address of an HTTP proxy; None: HTTPS_PROXY and NO_PROXY of the environment, as it is now.

    Raises:
        ConfigError: *base_url* is not an http or https address, or *proxy* not that of an HTTP proxy.
    """

    @blind
    def __init__(self, base_url: str = DEFAULT, proxy: str | None = None) -> None:
        base_url = base_url_of(base_url)
        self.host = host_of(base_url)
        self.base_url = base_url.rstrip("/")
        try:
            self._prefix = urllib3.util.parse_url(self.base_url).path or ""  # of all paths
        except urllib3.exceptions.LocationParseError:
            raise ConfigError(f"The base URL must look like https://api.kraken.com, not {base_url!r}.") from None
        self.time = kraken_time(self.host)
        self._proxy = proxy_for(base_url, proxy)
        self._after_fork = ForkCheck()
        self._renew()

    def send(self, request: Request, timeout: float) -> dict[str, Any]:
        """Send *request* once and return Kraken's answer unchanged.

        Args:
            request: What to send.
            timeout: Seconds to wait for the connection, and again for each piece of the answer.

        Raises:
            RequestNotSent: No connection.
            RateLimited, AccessBlocked, OutcomeUnknown: No answer, or none in the form of Kraken's API.
        """
        refuse_if_closed(self.host)
        self._after_fork(self._renew)  # on the parent's connections both would read each other's answers
        _progress.sent, _progress.until, asked = False, time.monotonic() + timeout, self.time.steady()
        try:
            response = self._send_once(request, timeout)
        except urllib3.exceptions.HTTPError as error:
            if not _progress.sent:
                raise unsent(request.call, self.host, self._proxy, _reason(error)) from error
            raise no_answer(request.call, self.host) from error
        if self._proxy is not None and response.status == WANTS_PASSWORD:  # only a proxy answers so
            raise unsent(request.call, self.host, self._proxy, response.status)
        answer = Answer(response.status, "", response.data, response.headers)
        self.time.note(answer.headers.get("Date", ""), asked)
        heed(self.host, answer)
        return read_answer(request, self.host, answer)

    def _send_once(self, request: Request, timeout: float) -> urllib3.BaseHTTPResponse:
        # No retries and no redirects: a repeated POST is a second order.
        once: dict[str, Any] = {"timeout": timeout, "retries": _ONCE, "redirect": False}
        if self._proxy is not None:
            url = self.base_url + request.path
            return self._pool.request(request.verb, url, body=request.body, headers=request.headers, **once)
        path = self._prefix + request.path
        return self._direct.urlopen(request.verb, path, request.body, request.headers, assert_same_host=False, **once)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        pools = self._pool.pools
        self._renew()
        for key in pools.keys():  # noqa: SIM118 - not a dict, and it does not allow iteration
            pools[key].close()
        pools.clear()

    def _renew(self) -> None:
        proxy = self._proxy
        pool = (
            urllib3.PoolManager(maxsize=_KEPT)
            if proxy is None
            else urllib3.ProxyManager(proxy.url, maxsize=_KEPT, proxy_headers=proxy.headers)
        )
        pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        self._pool = pool
        # The connections to the address: request() of all pools would look for them anew with each call.
        self._direct = pool.connection_from_url(self.base_url)


def _reason(error: BaseException) -> str | int:
    """Return the operating system's reason, or the status of a proxy's refusal, without any part of the request."""
    cause: BaseException | None = error
    while cause is not None:
        if refused := _TUNNEL.match(str(cause)):
            return int(refused[1])
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class _Progress(threading.local):
    sent = False  # whether this thread's call may have left this machine
    until = 0.0  # on the monotonic clock; later than that nothing is sent


_progress = _Progress()


class _Connection(HTTPConnection):
    """Sends a request in one piece, and notes that sending begins, once the connection is made (and the handshake)."""

    _asks_proxy = False
    _parts: list[bytes] | None = None  # of the request that is being written; None: what comes is sent at once

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send head and body together: in two pieces it takes twice as many system calls and packets."""
        parts: list[bytes] = []
        self._parts = parts
        try:
            super().request(*args, **kwargs)
        finally:
            self._parts = None
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        if self._parts is not None:
            self._parts.append(data)
            return
        if self.sock is None:
            self.connect()
        # Looking up the host name and trying one address after the other may have taken longer than the timeout.
        if not _progress.sent and time.monotonic() > _progress.until:
            raise urllib3.exceptions.ConnectTimeoutError("the connection came too late")
        _progress.sent = not self._asks_proxy
        super().send(data)

    def _tunnel(self) -> None:
        self._asks_proxy = True  # what is sent now is for the proxy, and has nothing of the call but the host
        try:
            super()._tunnel()
        finally:
            self._asks_proxy = False


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
