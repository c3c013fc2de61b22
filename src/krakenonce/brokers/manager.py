"""MASTER and users: one call for many accounts at the same time, and the outcome of each."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, Self

from krakenonce.brokers import procedures
from krakenonce.brokers.at_once import at_once
from krakenonce.brokers.broker import KrakenBroker
from krakenonce.brokers.credentials import MASTER, Account, FromAccounts, account, checked
from krakenonce.brokers.fan_out import GRACE, INTERRUPTED, OVER, Outcome, P, R, T
from krakenonce.errors import ConfigError
from krakenonce.kraken.address import DEFAULT
from krakenonce.kraken.transport import Transport
from krakenonce.shown import bare, blind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from types import TracebackType

    from krakenonce.brokers.fan_out import FanOut
    from krakenonce.global_manager import GlobalKrakenNonceManager


THREADS = 64  # accounts that are called at the same time, at most


def _by_threads(
    procedure: Callable[Concatenate[Mapping[str, Any], P], FanOut[R, T]],
) -> Callable[Concatenate[BrokerManager, P], T]:
    """Make a method of a procedure."""

    def method(self: BrokerManager, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(procedure(self.brokers, *args, **kwargs))

    functools.update_wrapper(method, procedure)
    return blind(method)


class BrokerManager(FromAccounts):
    """MASTER and any number of users.

    Args:
        accounts: The accounts; None: those in the environment.
        nonces: The manager they share; None: this process's global one.
        base_url: Kraken's address; default: as for :class:`~krakenonce.kraken.Kraken`.
        serialization: ``"key"``: accounts are called at the same time, each key's calls one after the other;
            ``"global"``: one call at a time over all accounts; ``"off"``: no turns, for tests.
        proxy: The address of an HTTP proxy for all of them, as for :class:`~krakenonce.kraken.Kraken`.
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
        self._transport = Transport(base_url, proxy)
        self.brokers: dict[str, KrakenBroker] = {
            each.name: KrakenBroker(
                each.name,
                credentials=each,
                nonces=nonces,
                base_url=base_url,
                serialization=serialization,
                transport=self._transport,
            )
            for each in checked(accounts)
        }

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
        if MASTER not in self.brokers:
            raise ConfigError("there is no MASTER account; set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET")
        return self.brokers[MASTER]

    @property
    def users(self) -> list[KrakenBroker]:
        """All brokers but MASTER's, in the order in which they were added."""
        return [broker for broker in self if broker.account_identifier != MASTER]

    # Described in krakenonce.brokers.procedures.
    connect_all = _by_threads(procedures.connect_all)
    balances = _by_threads(procedures.balances)
    call_all = _by_threads(procedures.call_all)
    copy_order = _by_threads(procedures.copy_order)
    reconcile = _by_threads(procedures.reconcile)

    @functools.cached_property
    def _at_once(self) -> int:
        return at_once(THREADS)  # with its first calls: later its own connections are open

    def _run(self, fan: FanOut[R, T]) -> T:
        """Make the calls; after Ctrl-C, note the outcome of each without waiting for more answers, and raise it."""
        pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="fan-out")
        futures: dict[str, Future[Outcome[R]]] = {}
        why = OVER
        try:
            for name in fan.names:
                futures[name] = pool.submit(self._call, fan, name)
            with suppress(TimeoutError):
                for future in as_completed(futures.values(), fan.left(GRACE)):
                    fan.note(future.result())
        except KeyboardInterrupt:
            why = INTERRUPTED
            pool.shutdown(wait=False, cancel_futures=True)
            with suppress(KeyboardInterrupt):  # a second Ctrl-C: stop waiting
                wait(futures.values(), GRACE)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            came = [each.result() for each in futures.values() if each.done() and not each.cancelled()]
            fan.end({outcome.account: outcome for outcome in came}, why)
        return fan.result()

    def _call(self, fan: FanOut[R, T], name: str) -> Outcome[R]:
        try:
            call, left = fan.begin(name)
            broker = self.brokers[name]
            if call.method:
                return Outcome(name, fan.read(broker.call(call.method, call.params, left)))
            return Outcome(name, fan.read(broker.reconcile(call.order, left)))
        except Exception as error:  # any error: it must not affect the others
            return Outcome(name, error=bare(error))
