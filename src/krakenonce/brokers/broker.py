"""A broker for one account: each private call under the API lock, in its key's turn, with a nonce of the manager."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import time
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, cast

from krakenonce.brokers.credentials import Account, load_account
from krakenonce.brokers.procedures import exact
from krakenonce.checks import check_nonces, check_text
from krakenonce.errors import ConfigError
from krakenonce.global_manager import GlobalKrakenNonceManager, get_global_nonce_manager
from krakenonce.guards import Turns, guard, krakenex
from krakenonce.key.answers import refusal_in, result_of
from krakenonce.key.funding import refuse_funding
from krakenonce.key.methods import is_urgent
from krakenonce.kraken import orders
from krakenonce.kraken.address import DEFAULT
from krakenonce.kraken.client import Kraken
from krakenonce.shown import blind, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.kraken.sent import Reconciled, SentOrder
    from krakenonce.kraken.transport import Transport


logger = logging.getLogger("krakenonce")


class KrakenAPI(Protocol):
    """What a broker needs of a client: krakenex's ``API`` has it, and so has :class:`krakenonce.kraken.Kraken`."""

    def query_private(self, method: str, data: Any = None) -> Any:
        """Send a private call and return ``{"error": [...], "result": ...}``."""
        ...


class KrakenNonce:
    """A counter for one user in one process. Deprecated: it does not know other users, processes or restarts."""

    def __init__(self) -> None:
        warnings.warn(
            "KrakenNonce is deprecated, because it counts in one process only; use the global nonce manager",
            DeprecationWarning,
            stacklevel=2,
        )
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """Return the next nonce, in nanoseconds like the global one."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last


class KrakenBroker:
    """One account's calls to Kraken.

    Args:
        account_identifier: ``MASTER``, or ``USER:name``.
        kraken_api: A krakenex ``API``, a :class:`~krakenonce.kraken.Kraken`, or a client with ``query_private``. The
            first two take their nonces and turns from *nonces* from now on, also when they are called directly. None:
            :meth:`connect` makes a client from *credentials*, or from the environment (``KRAKEN_MASTER_API_KEY``
            and so on).
        credentials: The account's key and secret, for a client made here.
        nonces: The manager to share; None: this process's global one.
        use_global_nonce: False: use the deprecated per-user counter, with a warning. Turns are taken as usual.
        base_url: Kraken's address, for a client made here; default: as for :class:`~krakenonce.kraken.Kraken`.
        serialization: ``"global"``: one call at a time over all accounts, by the API lock; ``"key"``: one call at a
            time with this account's key; ``"off"``: no turns, for tests with our own client (all others take the turn
            of their key).
        transport: Connections to share with other brokers, for a client made here.
        proxy: The address of an HTTP proxy, as for :class:`~krakenonce.kraken.Kraken`, for a client made here.

    Raises:
        ConfigError: A setting is of the wrong kind, or the HTTP session of a krakenex API repeats POST requests.
    """

    @blind
    def __init__(
        self,
        account_identifier: str,
        kraken_api: KrakenAPI | None = None,
        *,
        credentials: Account | None = None,
        nonces: GlobalKrakenNonceManager | None = None,
        use_global_nonce: bool = True,
        base_url: str = DEFAULT,
        serialization: str = "global",
        transport: Transport | None = None,
        proxy: str | None = None,
    ) -> None:
        check_text("account_identifier", account_identifier)
        check_nonces(nonces)
        if credentials is not None and not isinstance(credentials, Account):
            raise ConfigError("credentials must be an Account, such as load_accounts(os.environ)['MASTER']")
        self._serialization = serialization
        self.account_identifier = account_identifier
        self.kraken_api = kraken_api
        self._credentials = credentials
        self._nonces = nonces or get_global_nonce_manager()
        self._make = functools.partial(
            Kraken,
            manager=self._nonces.manager,
            serialization=serialization,
            base_url=base_url,
            transport=transport,
            proxy=proxy,
        )
        self._make()  # checks the settings now, not when it connects
        if use_global_nonce:
            logger.info("✅ Using GLOBAL Kraken Nonce Manager for %s (nanosecond precision)", account_identifier)
        else:
            logger.warning(
                "⚠️  Global nonce manager not available, falling back to per-user KrakenNonce (%s)", account_identifier
            )
        self._kraken_nonce = None if use_global_nonce else KrakenNonce()
        self._turns = Turns(self._nonces.manager, timeout=30.0)  # of clients that have none of their own
        self._turns.account = account_identifier
        self._guarded: Any = None
        if not self._ours(kraken_api):
            self._guard(kraken_api)

    @whole
    def __repr__(self) -> str:
        return f"KrakenBroker({self.account_identifier!r})"

    def connect(self) -> bool:
        """Make the client if there is none yet, and test it with one Balance call.

        Raises:
            ConfigError: No credentials for this account.
            KrakenError: Kraken refused the call, or could not be reached. (A krakenex API that cannot reach Kraken
                raises the errors of requests instead, here and below.)
        """
        self._client()
        result_of(self._kraken_private_call("Balance"))
        logger.info("✅ Kraken connected (%s)", self.account_identifier)
        return True

    def get_account_balance(self) -> dict[str, Decimal]:
        """Print, log and return the balance: every asset that Kraken names, with exact amounts.

        Raises:
            ConfigError: Not connected.
            KrakenError: Kraken refused the call, or could not be reached.
        """
        balance = exact(result_of(self._kraken_private_call("Balance")))
        zero = Decimal(0)
        block = (
            f"💰 Kraken Balance ({self.account_identifier}):",
            f"   ✅ Available USD:  ${balance.get('ZUSD', zero):.2f}",
            f"   ✅ Available USDT: ${balance.get('USDT', zero):.2f}",
        )
        for line in block:
            print(line)  # noqa: T201 - for the person at the terminal; the log is for monitoring
            logger.info(line)
        return balance

    @blind
    def call(self, method: str, params: Mapping[str, Any] | None = None, within: float | None = None) -> Any:
        """Make one private call and return its result; connect first if there is no client yet.

        A :class:`~krakenonce.kraken.Kraken` also repeats the call where that is safe.

        Args:
            method: Kraken's name of the method.
            params: Its parameters; never changed.
            within: Seconds that it may take, waiting included. Only a ``Kraken`` keeps to it.

        Raises:
            ConfigError: No credentials for this account, or parameters that cannot be sent.
            KrakenError: Kraken refused the call, could not be reached, or gave no answer.
            LaneTimeout: The turn did not come in time; nothing was sent.
        """
        ours = self._ours(self._client())
        if ours is not None:
            return ours.run(ours.calls.private(method, params or {}), within=within)
        return result_of(self._kraken_private_call(method, params))

    def reconcile(self, order: SentOrder, within: float | None = None) -> Reconciled:
        """Ask Kraken whether an order of this account was placed.

        Args:
            order: The order: ``error.order`` of an error.
            within: Seconds that it may take; None: until the order is found or its deadline has passed.

        Raises:
            ConfigError: The broker's client is not a :class:`~krakenonce.kraken.Kraken`.
            OutcomeUnknown: Kraken could not be asked; the order may have been placed.
        """
        ours = self._ours(self._client())
        if ours is not None:
            return ours.run(orders.reconcile(ours.calls, order), within=within)
        raise ConfigError("Only krakenonce's own client can look for an order: ask Kraken for it by its cl_ord_id.")

    @blind
    def _kraken_private_call(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Make one private call, once, and return Kraken's answer unchanged: ``{"error": [...], "result": ...}``.

        A :class:`~krakenonce.kraken.Kraken` waits for the rate limit and then for its turn, as in :meth:`call`. For
        all other clients the broker takes the turn.

        Args:
            method: Kraken's name of the method, such as ``AddOrder``.
            params: Its parameters; never changed. A ``nonce`` in them is ignored.

        Raises:
            ConfigError: Not connected.
            RateLimited, LockedOut: Kraken would refuse the call; it was not executed.
            NonceError: No nonce can be issued; nothing was sent.
            KrakenError: Kraken could not be reached, or gave no answer. What it answers is returned, never raised.
        """
        refuse_funding(method)
        api: Any = self.kraken_api
        if api is None:
            raise ConfigError(f"{self.account_identifier} is not connected: call connect() first")
        fields = {name: value for name, value in (params or {}).items() if name != "nonce"}
        reply: Any = api.query_private(method, fields) if self._ours(api) else self._in_turn(api, method, fields)
        refusal = refusal_in(reply) if isinstance(reply, dict) else None
        for error in refusal.errors if refusal else ():
            logger.error("❌ Kraken API error: %s", error)
        return cast("dict[str, Any]", reply)  # a client of another kind may return anything

    def _in_turn(self, api: Any, method: str, fields: dict[str, Any]) -> object:
        """Make one call of a client that cannot wait for the rate limit, under the API lock and in its key's turn."""
        with self._nonces.get_api_call_lock() if self._serialization == "global" else contextlib.nullcontext():
            if self._guard(api):
                return api.query_private(method, fields)
            key = getattr(api, "key", None)
            key = key if isinstance(key, str) and key else self.account_identifier
            with self._turns.lane(key, urgent=is_urgent(method, fields), method=method):
                nonce = self._turns.next(key) if self._kraken_nonce is None else self._kraken_nonce.next()
                reply = api.query_private(method, {**fields, "nonce": nonce})
                self._turns.heard(key, reply)
                return reply

    def _client(self) -> KrakenAPI:
        """Return the client, made now if there is none."""
        if self.kraken_api is None:
            found = self._credentials or load_account(os.environ, self.account_identifier)
            made = self.kraken_api = self._make(keys=found.keys, tier=found.tier)
            made.account_name = self.account_identifier
        return self.kraken_api

    def _ours(self, api: object) -> Kraken | None:
        """Return *api* if it is our own client; it takes its turns and nonces from here, from now on."""
        if not isinstance(api, Kraken) or self._kraken_nonce is not None:
            return None
        is_disabled = self._serialization == "global" and not self._nonces.get_api_call_lock().enabled
        api._use(self._nonces.manager, "key" if is_disabled else self._serialization)
        return api

    def _guard(self, api: object) -> bool:
        """Return whether it is a krakenex API, and guard it: it takes its turns and nonces from here, from now on."""
        is_krakenex = krakenex.knows(type(api))  # the class: a mock has every method that it is asked for
        if is_krakenex and api is not self._guarded:
            self._guarded = guard(api, self._nonces.manager)
            if self._kraken_nonce is not None:
                self._guarded._nonce = self._kraken_nonce.next
        return is_krakenex
