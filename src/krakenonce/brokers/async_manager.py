"""MASTER and users, for asyncio: as :class:`krakenonce.brokers.BrokerManager`."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Concatenate, Self

from krakenonce.brokers import procedures
from krakenonce.brokers.at_once import at_once
from krakenonce.brokers.credentials import Account, FromAccounts, checked
from krakenonce.brokers.fan_out import GRACE, INTERRUPTED, Outcome, P, R, T
from krakenonce.checks import check_nonces
from krakenonce.global_manager import GlobalKrakenNonceManager, get_global_nonce_manager
from krakenonce.kraken.address import DEFAULT
from krakenonce.kraken.aio import AsyncKraken
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.shown import bare, blind, blind_async

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from types import TracebackType

    from krakenonce.brokers.fan_out import FanOut


TASKS = 128  # accounts that are called at the same time, at most


def _by_tasks(
    procedure: Callable[Concatenate[Mapping[str, Any], P], FanOut[R, T]],
) -> Callable[Concatenate[AsyncBrokerManager, P], Coroutine[Any, Any, T]]:
    """Make a method of a procedure."""

    async def method(self: AsyncBrokerManager, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(procedure(self.clients, *args, **kwargs))

    functools.update_wrapper(method, procedure)
    return blind_async(method)


class AsyncBrokerManager(FromAccounts):
    """MASTER and any number of users, for asyncio: ``pip install 'krakenonce[async]'``.

    As :class:`BrokerManager`, with ``await``; it has an :class:`~krakenonce.kraken.AsyncKraken` for each account.

    Args:
        accounts: The accounts; None: those in the environment.
        nonces: The manager they share; None: this process's global one.
        base_url: Kraken's address; default: as for :class:`~krakenonce.kraken.Kraken`.
        serialization: As for :class:`BrokerManager`.
        proxy: As for :class:`BrokerManager`.
    """

    @blind
    def __init__(
        self,
        accounts: Iterable[Account] | None = None,
        *,
        nonces: GlobalKrakenNonceManager | None = None,
        base_url: str = DEFAULT,
        serialization: str = "key",
        proxy: str | None = None,
    ) -> None:
        check_nonces(nonces)
        self._transport = AsyncTransport(base_url, proxy)
        manager = (nonces or get_global_nonce_manager()).manager
        self.clients: dict[str, AsyncKraken] = {
            each.name: AsyncKraken(
                keys=each.keys,
                manager=manager,
                tier=each.tier,
                serialization=serialization,
                transport=self._transport,
            )
            for each in checked(accounts)
        }
        for name, client in self.clients.items():
            client.account_name = name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._transport.close()

    connect_all = _by_tasks(procedures.connect_all)
    balances = _by_tasks(procedures.balances)
    call_all = _by_tasks(procedures.call_all)
    copy_order = _by_tasks(procedures.copy_order)
    reconcile = _by_tasks(procedures.reconcile)

    @functools.cached_property
    def _at_once(self) -> int:
        return at_once(TASKS)  # with its first calls: later its own connections are open

    async def _run(self, fan: FanOut[R, T]) -> T:
        """Make the calls; also when cancelled, note the outcome of each."""
        running = asyncio.Semaphore(self._at_once)

        async def one(name: str) -> None:
            async with running:
                fan.note(await self._call(fan, name))

        try:
            await asyncio.gather(*map(one, fan.names))
        finally:
            fan.end({}, INTERRUPTED)
        return fan.result()

    async def _call(self, fan: FanOut[R, T], name: str) -> Outcome[R]:
        try:
            call, left = fan.begin(name)
            client = self.clients[name]
            steps = (
                client.calls.private(call.method, call.params) if call.method else client.calls.reconcile(call.order)
            )
            async with asyncio.timeout(fan.left(GRACE)):
                return Outcome(name, fan.read(await client.run(steps, within=left)))
        except TimeoutError as error:
            return fan.give_up(name) if type(error) is TimeoutError else Outcome(name, error=bare(error))
        except Exception as error:  # any error: it must not affect the others
            return Outcome(name, error=bare(error))
