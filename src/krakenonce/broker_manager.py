"""MASTER and users together: one call to many accounts, side by side, and what became of each."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .broker import KRAKEN, KrakenBroker
from .credentials import MASTER, Account, account, load_accounts
from .errors import ConfigError
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
from .kraken.transport import Transport
from .settings import check_nonces, check_serialization

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from decimal import Decimal
    from types import TracebackType

    from .global_manager import GlobalKrakenNonceManager
    from .kraken.sent import SentOrder

__all__ = ["BrokerManager"]

R = TypeVar("R")
logger = logging.getLogger("krakenonce")

THREADS = 64  # accounts that are called at the same time
GRACE = 1.0  # seconds after the deadline for calls that are just coming back


class BrokerManager:
    """MASTER and any number of users.

    Args:
        accounts: Whom to make brokers for; None: those in the environment.
        nonces: The manager they share; None: this process's global one.
        base_url: Where Kraken is.
        serialization: ``"key"``: accounts are called side by side, each key's calls one after the other;
            ``"global"``: one call at a time over all accounts; ``"off"``: no turns, for tests.
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
        self.brokers: dict[str, KrakenBroker] = {}
        self._transport = Transport(base_url)
        for each in checked(load_accounts(os.environ).values() if accounts is None else accounts):
            self.add(
                KrakenBroker(
                    each.name,
                    credentials=each,
                    nonces=nonces,
                    base_url=base_url,
                    serialization=serialization,
                    transport=self._transport,
                )
            )

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Make brokers for the accounts in the environment; *options* as for the class.

        Raises:
            ConfigError: There are none, or one cannot be used.
        """
        return cls(some(load_accounts(os.environ)), **options)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Make brokers for the accounts in a TOML file, see :func:`~krakenonce.credentials.load_accounts`.

        Raises:
            ConfigError: There are none, or the file cannot be used.
        """
        return cls(some(load_accounts({}, Path(path))), **options)

    def __iter__(self) -> Iterator[KrakenBroker]:
        return iter(self.brokers.values())

    def __getitem__(self, account_identifier: str) -> KrakenBroker:
        """Return the broker of ``MASTER``, ``USER:alice`` or just ``alice``. Raises ConfigError if there is none."""
        return account(self.brokers, account_identifier)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._transport.close()

    def add(self, broker: KrakenBroker) -> KrakenBroker:
        """Add *broker*, replacing one of the same account."""
        self.brokers[broker.account_identifier] = broker
        return broker

    @property
    def master(self) -> KrakenBroker:
        """MASTER's broker. Raises ConfigError if there is none."""
        try:
            return self.brokers[MASTER]
        except KeyError:
            raise ConfigError("there is no MASTER account: set KRAKEN_MASTER_API_KEY and _SECRET") from None

    @property
    def users(self) -> list[KrakenBroker]:
        """All brokers but MASTER's, in the order in which they were added."""
        return [broker for broker in self if broker.account_identifier != MASTER]

    def connect_all(
        self, accounts: Iterable[str] | None = None, *, within: float | None = None
    ) -> dict[str, Outcome[bool]]:
        """Connect brokers, each with one Balance call; those that cannot are logged, and do not stop the others.

        Args:
            accounts: Which, by name; None: all.
            within: Seconds that the whole may take; None: as long as each call may.
        """
        outcomes = self._each(lambda broker, _left: broker.connect(), accounts, within)
        for outcome in outcomes.values():
            if not outcome.ok:
                logger.error("❌ Kraken not connected (%s): %s", outcome.account, outcome.error)
        return outcomes

    def balances(
        self, accounts: Iterable[str] | None = None, *, within: float | None = None, on_outcome: OnOutcome = None
    ) -> dict[str, Outcome[dict[str, Decimal]]]:
        """Return what each account has of each asset; arguments as for :meth:`call_all`."""

        def held(broker: KrakenBroker, left: float | None) -> dict[str, Decimal]:
            return exact(broker.call("Balance", {}, left))

        return self._each(held, accounts, within, on_outcome)

    def call_all(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        accounts: Iterable[str] | None = None,
        *,
        within: float | None = None,
        on_outcome: OnOutcome = None,
    ) -> dict[str, Outcome[Any]]:
        """Make one private call for many accounts at the same time.

        Args:
            method: Kraken's name for it.
            params: Its parameters, the same for all.
            accounts: Which, by name; None: all.
            within: Seconds that the whole may take; what has not been sent by then is not sent.
            on_outcome: Called with each outcome as it comes; after Ctrl-C with those that are missing, too.

        Returns:
            By account: its result, or its error. One account's error stops no other.

        Raises:
            ConfigError: There is no such account, or *within* is no number of seconds; nothing was sent.
        """
        sent: dict[str, SentOrder | None] = {}

        def made(broker: KrakenBroker, left: float | None) -> Any:
            fields, sent[broker.account_identifier] = with_id(method, params or {})
            return broker.call(method, fields, left)

        return self._each(made, accounts, within, on_outcome, sent)

    def copy_order(
        self,
        order: Mapping[str, Any],
        accounts: Iterable[str] | None = None,
        scale: Scale = 1,
        *,
        within: float | None = None,
        on_outcome: OnOutcome = None,
    ) -> dict[str, Outcome[Any]]:
        """Place one order for many accounts at the same time; none of them is placed twice.

        Args:
            order: Kraken's parameters of AddOrder. Each copy gets a ``cl_ord_id`` of its own.
            accounts: Which, by name; None: all users, but not MASTER, whose order it usually is.
            scale: What the volume is multiplied by: one factor for all, or one for each account by name; rounded
                down to 8 decimals.
            within: Seconds that the whole may take; what has not been sent by then is not sent.
            on_outcome: Called with each outcome as it comes; after Ctrl-C with those that are missing, too.

        Returns:
            By account: Kraken's result, or its error. After one with ``may_have_executed == "unknown"`` its
            ``reconcile()`` finds out whether the order stands.

        Raises:
            ConfigError: There is no such account, or a factor is no exact number above 0; nothing was sent.
        """
        factors = by_name(scale, self.brokers)
        sent: dict[str, SentOrder | None] = {}

        def placed(broker: KrakenBroker, left: float | None) -> Any:
            name = broker.account_identifier
            fields, sent[name] = with_id("AddOrder", scaled(order, factors, name))
            return broker.call("AddOrder", fields, left)

        if accounts is None:
            accounts = [broker.account_identifier for broker in self.users]
        return self._each(placed, accounts, within, on_outcome, sent)

    def _each(
        self,
        work: Callable[[KrakenBroker, float | None], R],
        accounts: Iterable[str] | None,
        within: float | None,
        on_outcome: OnOutcome = None,
        sent: Mapping[str, SentOrder | None] = MappingProxyType({}),
    ) -> dict[str, Outcome[R]]:
        brokers = chosen(self.brokers, accounts)
        check_within(within)
        if not brokers:
            return {}
        until = None if within is None else time.monotonic() + within
        outcomes: dict[str, Outcome[R]] = {}

        def one(name: str) -> Outcome[R]:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return not_sent(name)
            try:
                return Outcome(name, work(brokers[name], left))
            except Exception as error:  # whatever it is, it must not stop the others
                return Outcome(name, error=error)

        pool = ThreadPoolExecutor(min(THREADS, len(brokers)), thread_name_prefix="fan-out")
        futures: dict[Future[Outcome[R]], str] = {}
        try:
            for name in brokers:
                futures[pool.submit(one, name)] = name
            _gather(futures, outcomes, None if within is None else within + GRACE, on_outcome, sent)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            with suppress(KeyboardInterrupt):  # a second one: no more waiting
                wait(futures, GRACE)
            for future, name in futures.items():
                if name not in outcomes:
                    tell(on_outcome, _interrupted(future, name, sent.get(name)))
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return {name: outcomes[name] for name in brokers}


def _gather(
    futures: Mapping[Future[Outcome[R]], str],
    outcomes: dict[str, Outcome[R]],
    within: float | None,
    on_outcome: OnOutcome,
    sent: Mapping[str, SentOrder | None],
) -> None:
    """Put into *outcomes* what became of each, as it comes."""
    try:
        for future in as_completed(futures, within):
            tell(on_outcome, future.result())
            outcomes[futures[future]] = future.result()  # last: whoever interrupts this loses no outcome
    except TimeoutError:
        for future, name in futures.items():
            if name not in outcomes:
                outcomes[name] = not_sent(name) if future.cancel() else late(name, sent.get(name))


def _interrupted(future: Future[Outcome[R]], name: str, order: SentOrder | None) -> Outcome[Any]:
    if future.cancelled():
        return not_sent(name, "Interrupted")
    return future.result() if future.done() else late(name, order, "Interrupted")
