"""The gateway as a process: from its settings to a running server, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import ipaddress
import logging
import os
import re
import resource
import signal
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.brokers.credentials import read_accounts
from krakenonce.errors import ConfigError
from krakenonce.gateway.activity import Activity
from krakenonce.gateway.gateway import Gateway
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.kraken_account import KrakenAccount
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.gateway.loop_thread import LoopThread
from krakenonce.gateway.pages import Pages
from krakenonce.gateway.public import PublicCalls
from krakenonce.gateway.server import GatewayServer
from krakenonce.gateway.settings import credentials_path, open_state
from krakenonce.gateway.watching import notify, watch
from krakenonce.key.naming import fingerprint
from krakenonce.kraken.async_transport import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.brokers.credentials import Account
    from krakenonce.gateway.settings import Settings
    from krakenonce.manager import NonceManager


logger = logging.getLogger("krakenonce")

_ADDRESS = re.compile(r"(\[(?P<ipv6>[0-9A-Fa-f:.]+(%\w+)?)\]|(?P<host>[^\s\[\]:/?#@]+)):(?P<port>[0-9]{1,5})")
_LARGEST_PORT = 65_535
_COLLECTED = 50_000, 20, 50  # objects made until the garbage collector looks at new ones; then ever less often
FILES = 10_240  # file descriptors, one for each connection among them; macOS allows no more


class Listening(NamedTuple):
    """Where the gateway accepts connections, as ``ready`` gets it.

    Args:
        url: The base URL for clients, or ``unix:PATH``.
    """

    url: str


def run(settings: Settings, ready: Callable[[Listening], None] = lambda _: None) -> None:
    """Run the gateway until SIGTERM or SIGINT. SIGHUP makes it read the accounts again.

    Args:
        settings: How it runs.
        ready: Called once connections are accepted.

    Raises:
        ConfigError: A setting, a file or an account that cannot be used.
        NonceStoreError: The state cannot be used.
    """
    # What is there now stays, and nearly all that a call makes is freed with its last reference: the collector, which
    # would look at all of it after each few calls, takes a tenth of a call's time.
    gc.freeze()
    gc.set_threshold(*_COLLECTED)
    asyncio.run(_run(settings, ready))


async def _run(settings: Settings, ready: Callable[[Listening], None]) -> None:
    _raise_file_limit()
    with open_state(settings.state) as manager, LoopThread() as second:
        manager.next()  # a state that cannot be used is reported now, not at the first call
        local_keys = LocalKeys(key_storage(manager.store))
        _tell_about_cancels(local_keys)
        transport = AsyncTransport(settings.base_url, connect_to=settings.connect_to)
        activity = Activity()
        accounts: dict[str, KrakenAccount] = {}
        unusable: dict[str, str] = {}
        load_keys = functools.partial(_load_keys, accounts, unusable, settings, manager, transport, activity)
        load_keys()
        gateway = Gateway(accounts, local_keys, manager.store, activity)
        pages = Pages(gateway, activity, manager, unusable.copy)
        public = PublicCalls(transport, activity.public, settings.timeout, settings.max_wait)
        server = GatewayServer(gateway, public, second, pages)
        watching = asyncio.run_coroutine_threadsafe(watch(asyncio.get_running_loop()), second.loop)
        with _signals(load_keys) as stopped:
            try:
                listening = Listening(await _listen(server, settings))
                if await public.own.come_back(transport):
                    raise ConfigError(
                        f"{settings.base_url} leads to this gateway itself, so that no call would come to Kraken: give "
                        "--connect-to the IP address of Kraken's host, or correct --base-url or the hosts file."
                    )
                ready(listening)
                notify("READY=1")
                await stopped.wait()
            finally:
                notify("STOPPING=1")
                watching.cancel()
                await server.stop()
                await transport.close()


def _tell_about_otp(account: Account) -> None:
    names = [fingerprint(each.key) for each in account.keys if each.otp is not None]
    if names and len(account.keys) == 1:
        logger.warning(
            "the gateway adds no second factor to the calls of %s: its bots send otp themselves", account.name
        )
    elif names:
        logger.warning(
            "the gateway adds no second factor to the calls of %s, and its bots cannot know with which of its %d keys "
            "a call is made: remove the second factor of these keys at Kraken: %s",
            *(account.name, len(account.keys), ", ".join(names)),
        )


def _tell_about_cancels(local_keys: LocalKeys) -> None:
    """Log which local keys may cancel by id only: before there was the group cancel-all, cancel was enough for all."""
    names = [each.name for each in local_keys.all() if "cancel" in each.allow and "cancel-all" not in each.allow]
    if names:
        logger.warning(
            "CancelAll and CancelAllOrdersAfter need the group cancel-all, which these local keys with cancel do not "
            "have: %s. To add it: krakenonce gateway change-key --name NAME --add cancel-all",
            ", ".join(names),
        )


def _raise_file_limit() -> None:
    """Raise the limit of open files, as far as this user may; each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _load_keys(
    served: dict[str, KrakenAccount],
    unusable: dict[str, str],
    settings: Settings,
    manager: NonceManager,
    transport: AsyncTransport,
    activity: Activity,
) -> None:
    """Read the accounts into *served*. An account that has not changed keeps its queue.

    *unusable* gets those that cannot be used, and why.

    An account that cannot be used is reported and does not stop the others, whose bots may have to cancel orders now.
    If it could be used before, it keeps the pair that it had.

    Raises:
        ConfigError: No account can be used; *served* is unchanged.
    """
    found = read_accounts(os.environ, credentials_path(settings.credentials, os.environ))
    unusable.update(found.wrong)
    for name in unusable.keys() - found.wrong.keys():
        del unusable[name]
    accounts = found.accounts or found.all()
    if not accounts:
        raise ConfigError(
            "there are no Kraken credentials: set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET, or use "
            "--credentials with a TOML file that has them"
        )
    for name, why in found.wrong.items():
        result = "keeps the pair that it had" if name in served else "is not served until that is corrected"
        logger.error("account %s %s: %s", name, result, why)
    for name in served.keys() - accounts.keys() - found.wrong.keys():  # its calls that have arrived continue
        del served[name]
    for name, account in accounts.items():
        if name not in served or served[name].account != account:
            _tell_about_otp(account)
            served[name] = KrakenAccount(
                account,
                manager,
                transport,
                queue_length=settings.queue_length,
                max_wait=settings.max_wait,
                timeout=settings.timeout,
                order_timeout=settings.order_timeout,
                on_turn=activity.turn,
            )


async def _listen(server: GatewayServer, settings: Settings) -> str:
    tls = _tls(settings)
    if settings.listen.startswith("unix:"):
        if tls is not None:
            raise ConfigError("a Unix socket uses no TLS; leave out --tls-cert and --tls-key, or listen on an address")
        path = Path(settings.listen.removeprefix("unix:"))
        try:
            await server.start_unix(path)
        except OSError as error:
            raise ConfigError(f"cannot listen on {path} ({error.strerror or error})") from error
        return settings.listen
    host, port = address_of(settings.listen)
    if tls is None and not _is_loopback(host):
        raise ConfigError(
            f"--listen {settings.listen} can be reached from other machines and needs TLS; give --tls-cert and "
            "--tls-key, or listen on 127.0.0.1"
        )
    try:
        port_taken = await server.start(host, port, tls)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name cannot be a host's
        raise ConfigError(
            f"cannot listen on {settings.listen} ({getattr(error, 'strerror', None) or error}): choose another --listen"
        ) from error
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port_taken}"


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` or ``[::1]:PORT``. Raises ConfigError for anything else."""
    found = _ADDRESS.fullmatch(listen)
    if found is None or int(found["port"]) > _LARGEST_PORT:
        raise ConfigError(f"--listen must look like 127.0.0.1:8686 or unix:/run/krakenonce.sock, not {listen!r}")
    return found["ipv6"] or found["host"], int(found["port"])


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):  # a name
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise ConfigError("give both --tls-cert and --tls-key")

    def no_passphrase() -> str:  # without this OpenSSL would ask for it on the terminal
        raise ConfigError(
            f"{settings.tls_key} has a passphrase; use a key file without one, which only this user can read"
        )

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, no_passphrase)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {settings.tls_cert} with {settings.tls_key}: {error}") from None
    return context


@contextlib.contextmanager
def _signals(load_keys: Callable[[], None]) -> Iterator[asyncio.Event]:
    """Give the event that SIGTERM and SIGINT set. On SIGHUP call *load_keys*; its error is only logged.

    These are Python's own handlers. asyncio's would lose a signal that comes while very many connections are handed
    to an event loop that waits for the disk: it notes both in one socket, which is full then.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reload() -> None:
        try:
            load_keys()
        except ConfigError as error:
            logger.error("the accounts were not changed: %s", error)
        else:
            logger.info("the accounts were read again")

    actions: dict[int, Callable[[], None]] = {
        signal.SIGTERM: stopped.set,
        signal.SIGINT: stopped.set,
        signal.SIGHUP: reload,
    }

    def handle(number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(actions[number])

    before = {number: signal.getsignal(number) for number in actions}
    for number in actions:
        signal.signal(number, handle)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
