"""Sends a request once, with aiohttp, reads the answer, and reports whether anything was sent."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from krakenonce.errors import ConfigError
from krakenonce.extras import needed_by
from krakenonce.kraken.address import DEFAULT, base_url_of
from krakenonce.kraken.http_status import heed, refuse_if_closed
from krakenonce.kraken.kraken_time import kraken_time
from krakenonce.kraken.proxy import WANTS_PASSWORD, is_address, proxy_for, unsent
from krakenonce.kraken.request import Answer, host_of, no_answer, read_answer
from krakenonce.process import call_in_children, check_process
from krakenonce.shown import blind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from aiohttp.abc import AbstractResolver
    from yarl import URL

    from krakenonce.kraken.proxy import Proxy
    from krakenonce.kraken.request import Request


class AsyncTransport:
    """Connections to one address, for any number of clients and tasks of one event loop.

    Args:
        base_url: Kraken's address: scheme, host and port; default: as for :class:`~krakenonce.kraken.Kraken`.
        proxy: The address of an HTTP proxy; None: HTTPS_PROXY and NO_PROXY of the environment, as it is now.
        connect_to: The IP address to connect to, whatever the host's name leads to on this machine. TLS and the
            ``Host`` header keep the name.

    Raises:
        ConfigError: *base_url* is not an http or https address, *proxy* not that of an HTTP proxy, *connect_to* no IP
            address or without effect.
    """

    @blind
    def __init__(self, base_url: str = DEFAULT, proxy: str | None = None, *, connect_to: str | None = None) -> None:
        base_url = base_url_of(base_url)
        self.host = host_of(base_url)
        self.base_url = base_url.rstrip("/")
        self.time = kraken_time(self.host)
        self._proxy = proxy_for(base_url, proxy)
        self._connect_to = None if connect_to is None else _fixed(connect_to, base_url, self._proxy)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way = 0  # calls, some of which may be waiting to be sent
        self._close_again = False  # when they have ended
        call_in_children(self)

    async def send(self, request: Request, timeout: float) -> dict[str, Any]:
        """Send *request* once and return Kraken's answer unchanged.

        Args:
            request: What to send.
            timeout: Seconds to wait for the connection, and again for each piece of the answer.

        Raises:
            ConfigError: aiohttp is not installed, or this is no task of asyncio.
            RequestNotSent: No connection.
            RateLimited, AccessBlocked, OutcomeUnknown: No answer, or none in the form of Kraken's API.
        """
        return read_answer(request, self.host, await self.fetch(request, timeout))

    async def fetch(self, request: Request, timeout: float, within: float | None = None) -> Answer:
        """Send *request* once and return any answer unchanged; else as :meth:`send`.

        Args:
            request: What to send.
            timeout: As for :meth:`send`.
            within: Seconds for the whole request and its answer; then its connection is closed.
        """
        refuse_if_closed(self.host)
        session = await self._ready_session()
        import aiohttp

        progress = SimpleNamespace(sent=False)  # whether the call may have left this machine
        asked = self.time.steady()
        try:
            async with session.request(
                request.verb,
                _url(self.base_url + request.path),
                data=request.body,
                timeout=_time(within, timeout),
                allow_redirects=False,
                trace_request_ctx=progress,
                **self._way(request),
            ) as response:
                if self._proxy is None or response.status != WANTS_PASSWORD:  # only a proxy answers so
                    data, headers = await response.read(), response.headers
                    answer = Answer(response.status, headers.get("Content-Type", ""), data, headers)
                    self.time.note(headers.get("Date", ""), asked)
                    heed(self.host, answer)
                    return answer
                refused = response.status
        except aiohttp.ClientHttpProxyError as error:
            refused = error.status  # the error itself contains the proxy's password
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # This error's repr contains the request with its headers, and so the API key or the proxy's password.
            cause = None if isinstance(error, aiohttp.ClientResponseError) else error
            if not progress.sent:
                raise unsent(request.call, self.host, self._proxy, self._reason(error)) from cause
            raise no_answer(request.call, self.host) from cause
        raise unsent(request.call, self.host, self._proxy, refused)

    async def knock(self, request: Request) -> None:
        """Send a request without a secret once, whatever certificate the other end shows.

        Nothing of the answer is used, and no later call uses the connection. Errors are ignored.
        """
        import aiohttp

        try:
            async with (
                self._new_session() as session,
                session.request(
                    request.verb,
                    f"{self.base_url}{request.path}",
                    ssl=False,
                    allow_redirects=False,
                    trace_request_ctx=SimpleNamespace(),
                    **self._way(request),
                ),
            ):
                pass
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass

    def _way(self, request: Request) -> dict[str, Any]:
        """Return the headers of a request, and its proxy, as aiohttp takes them."""
        proxy = self._proxy
        if proxy is None:
            return {"headers": request.headers}
        if self.base_url.lower().startswith("https:"):  # through a tunnel: these headers are for the proxy alone
            return {"headers": request.headers, "proxy": proxy.url, "proxy_headers": dict(proxy.headers)}
        return {"headers": {**request.headers, **proxy.headers}, "proxy": proxy.url}

    def _reason(self, error: BaseException) -> str:
        """Return why there was no connection."""
        untrusted = getattr(error, "certificate_error", None)
        if untrusted is not None:
            reason = f"its certificate is not trusted: {getattr(untrusted, 'verify_message', untrusted)}"
        else:
            reason = getattr(error, "strerror", None) or type(error).__name__
        return reason if self._connect_to is None else f"{self._connect_to}, as --connect-to says: {reason}"

    @contextlib.asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """During a call: if all is closed while it waits, what it opens is closed with the last such call."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if self._close_again and not self._under_way:
                await self.close()

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._close_again = self._under_way > 0
        session, self._session = self._session, None
        await _leave(session, self._loop)

    async def _ready_session(self) -> aiohttp.ClientSession:
        check_process()
        loop, session = own_loop(), self._session
        if session is None or session.closed or self._loop is not loop:  # connections belong to their event loop
            old, was = session, self._loop
            session = self._session = self._new_session()
            self._loop = loop
            await _leave(old, was)
        return session

    def _new_session(self) -> aiohttp.ClientSession:
        with needed_by("AsyncKraken", "async"):
            import aiohttp
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_connected)
        trace.on_connection_reuseconn.append(_connected)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=self._resolver()),
            trace_configs=[trace],
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        session._retry_connection = False  # else aiohttp sends a GET again when the connection is cut
        return session

    def _resolver(self) -> AbstractResolver | None:
        """Return what knows the address that was given; None: the machine is asked."""
        if self._connect_to is None:
            return None
        from yarl import URL

        from krakenonce.kraken.one_address import OneAddress

        return OneAddress(URL(self.base_url).raw_host or "", self._connect_to)

    def _after_fork(self) -> None:
        # Closing the parent's connections, as the garbage collector would, removes them from the selector that both
        # processes share: the parent would wait for its answers for ever.
        if self._session is not None and self._session.connector is not None:
            self._session.connector._closed = True


def _fixed(connect_to: str, base_url: str, proxy: Proxy | None) -> str:
    """Return the given IP address of a base URL's host. Raises ConfigError if it is none, or has no effect."""
    host = urlsplit(base_url).hostname or ""
    check_ip(connect_to)
    if is_address(host):
        raise ConfigError(f"--connect-to has no effect: the host of the base URL, {host}, is an IP address itself.")
    if proxy is not None:
        raise ConfigError(
            f"--connect-to has no effect through the proxy {proxy.host}, which finds {host} itself: put {host} into "
            "NO_PROXY, or leave out --connect-to."
        )
    return connect_to


def check_ip(connect_to: str) -> None:
    """Raise ConfigError if this is no IP address."""
    if not is_address(connect_to):
        raise ConfigError(
            f"--connect-to must be an IP address, such as 203.0.113.7 or 2001:db8::7, not {connect_to!r}."
        )


def own_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's event loop in this thread. Raises ConfigError if another library runs the caller."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError(
            "Not sent: AsyncKraken runs under asyncio only. Under trio, use Kraken in a worker thread "
            "(trio.to_thread.run_sync)."
        ) from None


@functools.lru_cache
def _url(text: str) -> URL:
    """Return a URL as it was signed, not quoted a second time."""
    from yarl import URL

    return URL(text, encoded=True)


@functools.lru_cache
def _time(total: float | None, each: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=total, connect=each, sock_read=each)


async def _leave(session: aiohttp.ClientSession | None, loop: asyncio.AbstractEventLoop | None) -> None:
    """Close a session, unless it belongs to another running event loop."""
    if session is not None and loop is not None and (loop.is_closed() or loop is asyncio.get_running_loop()):
        await session.close()


async def _connected(_session: object, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.sent = True
