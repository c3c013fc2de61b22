"""The gateway as a process: from its settings to a running server, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import os
import resource
import signal
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from krakenonce.brokers.credentials import load_accounts
from krakenonce.errors import ConfigError
from krakenonce.gateway.activity import Activity
from krakenonce.gateway.gateway import Gateway
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.gateway.pages import Pages
from krakenonce.gateway.public import PublicCalls
from krakenonce.gateway.server import GatewayServer
from krakenonce.gateway.settings import credentials_path, key_file
from krakenonce.gateway.upstream import KrakenKey
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.brokers.credentials import Account
    from krakenonce.gateway.settings import Settings

__all__ = ["run"]

logger = logging.getLogger("krakenonce")

FILES = 10_240  # that may be open, connections among them; macOS allows no more


def run(settings: Settings, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the accounts again.

    Args:
        settings: How.
        ready: Called with the address once connections are accepted.

    Raises:
        ConfigError: A setting, a file or an account that cannot be used.
        NonceStoreError: The state directory cannot be used.
    """
    asyncio.run(_run(settings, ready))


async def _run(settings: Settings, ready: Callable[[str], None]) -> None:
    _want_files()
    with NonceManager(settings.state) as manager:
        manager.next()  # a state directory that cannot be used is told now, not with the first call
        local_keys = LocalKeys(key_file(settings.state))
        local_keys.all()
        transport = AsyncTransport(settings.base_url)
        activity = Activity()
        keys = _keys(settings, manager, transport, activity, {})
        gateway = Gateway(keys, local_keys, activity)
        pages = Pages(gateway, activity, manager)
        server = GatewayServer(gateway, PublicCalls(transport, settings.timeout), pages.by_path())
        stopped = _heed_signals(lambda: _reload(keys, _keys(settings, manager, transport, activity, keys)))
        watchdog = asyncio.create_task(_watchdog())
        try:
            ready(await _listen(server, settings))
            _notify("READY=1")
            await stopped.wait()
        finally:
            _notify("STOPPING=1")
            watchdog.cancel()
            await server.stop()
            await transport.close()


def _want_files() -> None:
    """Lift the limit of open files, as far as it may be; each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keys(
    settings: Settings,
    manager: NonceManager,
    transport: AsyncTransport,
    activity: Activity,
    before: Mapping[str, KrakenKey],
) -> dict[str, KrakenKey]:
    """The Kraken keys by account; an account that is as it was keeps its queue."""
    accounts = load_accounts(os.environ, credentials_path(settings.credentials, os.environ))
    if not accounts:
        raise ConfigError(
            "there are no Kraken credentials: set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET, or name a TOML "
            "file that has them with --credentials"
        )

    def made(account: Account) -> KrakenKey:
        old = before.get(account.name)
        if old is not None and old.account == account:
            return old
        return KrakenKey(
            account,
            manager,
            transport,
            queue_length=settings.queue_length,
            max_wait=settings.max_wait,
            timeout=settings.timeout,
            on_turn=functools.partial(activity.turn, account.name),
        )

    return {name: made(account) for name, account in accounts.items()}


def _reload(keys: dict[str, KrakenKey], now: dict[str, KrakenKey]) -> None:
    keys.update(now)
    for gone in set(keys) - set(now):  # its calls that have begun go on to their end
        del keys[gone]


async def _listen(server: GatewayServer, settings: Settings) -> str:
    tls = _tls(settings)
    if settings.listen.startswith("unix:"):
        if tls is not None:
            raise ConfigError("a Unix socket has no TLS: leave --tls-cert and --tls-key out, or listen on an address")
        path = Path(settings.listen.removeprefix("unix:"))
        try:
            await server.start_unix(path)
        except OSError as error:
            raise ConfigError(f"cannot listen on {path} ({error.strerror or error})") from error
        return settings.listen
    host, port = _address(settings.listen)
    if tls is None and not _is_loopback(host):
        raise ConfigError(
            f"--listen {settings.listen} is open to other machines: give --tls-cert and --tls-key, or take 127.0.0.1"
        )
    try:
        port_taken = await server.start(host, port, tls)
    except (OSError, UnicodeError) as error:  # the latter for what can be no host's name
        raise ConfigError(
            f"cannot listen on {settings.listen} ({getattr(error, 'strerror', None) or error}): choose another --listen"
        ) from error
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port_taken}"


def _address(listen: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[::1]:PORT``, and of nothing else."""
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.netloc != listen or "@" in listen:
        raise ConfigError(f"--listen {listen!r} is not like 127.0.0.1:8686 or unix:/run/krakenonce.sock")
    return host, port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise ConfigError("give both --tls-cert and --tls-key")

    def no_passphrase() -> str:  # else it would be asked for, on a terminal that is not there
        raise ConfigError(f"{settings.tls_key} has a passphrase: give a key without one, readable for this user alone")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, no_passphrase)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {settings.tls_cert} with {settings.tls_key}: {error}") from None
    return context


def _heed_signals(reload: Callable[[], None]) -> asyncio.Event:
    """Return what SIGTERM and SIGINT set; on SIGHUP call *reload*, whose complaint is logged and changes nothing."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def again() -> None:
        try:
            reload()
        except ConfigError as error:
            logger.error("the accounts stay as they were: %s", error)
        else:
            logger.info("accounts read again")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, again)
    return stopped


async def _watchdog() -> None:
    """Tell systemd that the event loop is alive, twice as often as it asks."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    if asked.isdecimal() and os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
        while True:
            _notify("WATCHDOG=1")
            await asyncio.sleep(int(asked) / 2e6)


def _notify(state: str) -> None:
    """Tell systemd, if it started us and wants to hear (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
            pipe.connect("\0" + address[1:] if address.startswith("@") else address)
            pipe.send(state.encode())
