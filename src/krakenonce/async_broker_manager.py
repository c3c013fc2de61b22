"""MASTER and users together, for asyncio: the twin of :class:`krakenonce.broker_manager.BrokerManager`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .broker import KRAKEN
from .credentials import MASTER, Account, load_accounts
from .fan_out import (
    OnOutcome,
    Outcome,
    Scale,
    by_name,
    check_within,
    checked,
    chosen,
    exact,
    late,
    not_sent,
    scaled,
    some,
    tell,
    with_id,
)
from .global_manager import GlobalKrakenNonceManager, get_global_nonce_manager
from .kraken.aio import AsyncKraken
from .kraken.async_transport import AsyncTransport
from .settings import check_nonces, check_serialization

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from decimal import Decimal
    from types import TracebackType

    from .kraken.sent import SentOrder

__all__ = ["AsyncBrokerManager"]

R = TypeVar("R")

TASKS = 128  # accounts that are called at the same time: each needs a connection and two lane files meanwhile
GRACE = 1.0  # seconds after the deadline for calls that are just coming back


class AsyncBrokerManager:
    """MASTER and any number of users, for asyncio: ``pip install 'krakenonce[async]'``.

    As :class:`BrokerManager`, with ``await``; it holds an :class:`~krakenonce.kraken.AsyncKraken` for each account.

    Args:
        accounts: Whom to make clients for; None: those in the environment.
        nonces: The manager they share; None: this process's global one.
        base_url: Where Kraken is.
        serialization: As for :class:`BrokerManager`.
    """

    def __init__(
        self,
        accounts: Iterable[Account] | None = None,
        *,
        nonces: GlobalKrakenNonceManager | None = None,
        base_url: str = KRAKEN,
        serialization: str = "key",
    ) -> None:
        check_serialization(serialization)
        check_nonces(nonces)
        self._transport = AsyncTransport(base_url)
        manager = (nonces or get_global_nonce_manager()).manager
        self.clients: dict[str, AsyncKraken] = {
            each.name: AsyncKraken(
                each.key,
                each.secret,
                manager=manager,
                tier=each.tier,
                serialization=serialization,
                transport=self._transport,
            )
            for each in checked(load_accounts(os.environ).values() if accounts is None else accounts)
        }

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Make clients for the accounts in the environment. Raises ConfigError if there are none."""
        return cls(some(load_accounts(os.environ)), **options)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Make clients for the accounts in a TOML file. Raises ConfigError if there are none."""
        return cls(some(load_accounts({}, Path(path))), **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._transport.close()

    async def connect_all(
        self, accounts: Iterable[str] | None = None, *, within: float | None = None
    ) -> dict[str, Outcome[Any]]:
        """Prove each account with one Balance call; arguments as for :meth:`BrokerManager.connect_all`."""
        return await self.call_all("Balance", None, accounts, within=within)

    async def balances(
        self, accounts: Iterable[str] | None = None, *, within: float | None = None, on_outcome: OnOutcome = None
    ) -> dict[str, Outcome[dict[str, Decimal]]]:
        """Return what each account has of each asset; arguments as for :meth:`BrokerManager.call_all`."""

        async def held(client: AsyncKraken, _name: str, left: float | None) -> dict[str, Decimal]:
            return exact(await client.run(client.calls.private("Balance", {}), within=left))

        return await self._each(held, accounts, within, on_outcome)

    async def call_all(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        accounts: Iterable[str] | None = None,
        *,
        within: float | None = None,
        on_outcome: OnOutcome = None,
    ) -> dict[str, Outcome[Any]]:
        """Make one private call for many accounts at the same time; see :meth:`BrokerManager.call_all`."""
        sent: dict[str, SentOrder | None] = {}

        async def made(client: AsyncKraken, name: str, left: float | None) -> Any:
            fields, sent[name] = with_id(method, params or {})
            return await client.run(client.calls.private(method, fields), within=left)

        return await self._each(made, accounts, within, on_outcome, sent)

    async def copy_order(
        self,
        order: Mapping[str, Any],
        accounts: Iterable[str] | None = None,
        scale: Scale = 1,
        *,
        within: float | None = None,
        on_outcome: OnOutcome = None,
    ) -> dict[str, Outcome[Any]]:
        """Place one order for many accounts at the same time; see :meth:`BrokerManager.copy_order`."""
        factors = by_name(scale, self.clients)
        sent: dict[str, SentOrder | None] = {}

        async def placed(client: AsyncKraken, name: str, left: float | None) -> Any:
            fields, sent[name] = with_id("AddOrder", scaled(order, factors, name))
            return await client.run(client.calls.private("AddOrder", fields), within=left)

        if accounts is None:
            accounts = [name for name in self.clients if name != MASTER]
        return await self._each(placed, accounts, within, on_outcome, sent)

    async def _each(
        self,
        work: Callable[[AsyncKraken, str, float | None], Coroutine[Any, Any, R]],
        accounts: Iterable[str] | None,
        within: float | None,
        on_outcome: OnOutcome = None,
        sent: Mapping[str, SentOrder | None] = MappingProxyType({}),
    ) -> dict[str, Outcome[R]]:
        clients = chosen(self.clients, accounts)
        check_within(within)
        until = None if within is None else time.monotonic() + within
        room = asyncio.Semaphore(TASKS)

        async def one(name: str) -> Outcome[R]:
            async with room:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return not_sent(name)
                try:
                    async with asyncio.timeout(None if left is None else left + GRACE):
                        return Outcome(name, await work(clients[name], name, left))
                except TimeoutError as error:
                    return late(name, sent.get(name)) if type(error) is TimeoutError else Outcome(name, error=error)
                except Exception as error:  # whatever it is, it must not stop the others
                    return Outcome(name, error=error)

        async def told(name: str) -> Outcome[R]:
            outcome = await one(name)
            tell(on_outcome, outcome)
            return outcome

        outcomes = await asyncio.gather(*(told(name) for name in clients))
        return {outcome.account: outcome for outcome in outcomes}
