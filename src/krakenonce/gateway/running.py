"""The gateway as a process: from its settings to a running server, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import resource
import signal
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import ConfigError
from krakenonce.gateway.activity import Activity
from krakenonce.gateway.audit import Audit
from krakenonce.gateway.audit_file import audit_sink
from krakenonce.gateway.gateway import Gateway
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.listening import listen
from krakenonce.gateway.loading import Accounts
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.gateway.loop_thread import LoopThread
from krakenonce.gateway.pages import Pages
from krakenonce.gateway.public import PublicCalls
from krakenonce.gateway.server import GatewayServer
from krakenonce.gateway.settings import open_state
from krakenonce.gateway.watching import notify, watch
from krakenonce.kraken.async_transport import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.gateway.settings import Settings
    from krakenonce.manager import NonceManager


logger = logging.getLogger("krakenonce")

_COLLECTED = 50_000, 20, 50  # objects made until the garbage collector looks at new ones; then ever less often
_ONCE_FREED = 1 << 20  # bytes
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
    # asyncio reads into buffers of 256 KiB. glibc maps each one anew, until a larger one has been freed.
    bytes(_ONCE_FREED)
    asyncio.run(_run(settings, ready))


async def _run(settings: Settings, ready: Callable[[Listening], None]) -> None:
    _raise_file_limit()
    with _state(settings) as manager, LoopThread() as second, _audit(settings, manager) as audit:
        local_keys = LocalKeys(key_storage(manager.store))
        _tell_about_cancels(local_keys)
        transport = AsyncTransport(settings.base_url, connect_to=settings.connect_to)
        activity = Activity(audit)
        accounts = Accounts(settings, manager, transport, activity)
        accounts.load()
        gateway = Gateway(accounts.served, local_keys, manager.store, activity)
        pages = Pages(gateway, activity, manager, lambda: accounts.wrong)
        public = PublicCalls(transport, activity.public, settings.timeout, settings.max_wait)
        server = GatewayServer(gateway, public, second, pages)
        watching = asyncio.run_coroutine_threadsafe(watch(asyncio.get_running_loop()), second.loop)
        with _signals(functools.partial(_reload, accounts, local_keys)) as stopped:
            try:
                listening = Listening(await listen(server, settings))
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


@contextlib.contextmanager
def _state(settings: Settings) -> Iterator[NonceManager]:
    """Give the state. One that cannot be used is reported at once, and before the audit log that is in it."""
    with open_state(settings.state) as manager:
        manager.next()
        yield manager


@contextlib.contextmanager
def _audit(settings: Settings, manager: NonceManager) -> Iterator[Audit | None]:
    """Give the audit log, and write it to its end; None: there is none."""
    sink = audit_sink(settings, manager.store)
    audit = Audit(sink).start() if sink is not None else None
    try:
        yield audit
    finally:
        if audit is not None:
            audit.end()


def _reload(accounts: Accounts, local_keys: LocalKeys) -> None:
    """Read the accounts again, and log what that has changed."""
    try:
        loaded = accounts.load()
    except ConfigError as error:
        logger.error("the accounts were not changed: %s", error)
        return
    bots: list[LocalKey] = []
    with contextlib.suppress(ConfigError):  # the next call says so
        bots = local_keys.all()
    logger.warning("the accounts were read again: %s", loaded.words(bots))


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


@contextlib.contextmanager
def _signals(reload: Callable[[], None]) -> Iterator[asyncio.Event]:
    """Give the event that SIGTERM and SIGINT set. On SIGHUP call *reload*.

    These are Python's own handlers. asyncio's would lose a signal that comes while very many connections are handed
    to an event loop that waits for the disk: it notes both in one socket, which is full then.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

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
