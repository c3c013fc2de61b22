"""The synchronous client for Kraken's Spot REST API: one nonce and one turn for each private call.

A call holds its key's lane from taking the nonce until the answer is read, so nonces reach Kraken in the order in which
they were issued. Nothing here or below sends a call twice, because Kraken may have executed the first one. What is
repeated, with a new nonce, is decided in :mod:`krakenonce.kraken.repeating`.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from krakenonce.errors import KrakenError, KrakenonceError
from krakenonce.kraken import orders, queries
from krakenonce.kraken.key_info import not_sent, questions
from krakenonce.kraken.request import PrivateCall, PublicCall, Sleep, StateStep
from krakenonce.kraken.session import Session, seconds_left, until_after
from krakenonce.kraken.transport import Transport
from krakenonce.shown import blind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from krakenonce.kraken.calling import Calls
    from krakenonce.kraken.request import Step, Steps


P = ParamSpec("P")
R = TypeVar("R")


def _blocking(procedure: Callable[Concatenate[Calls, P], Steps[R]]) -> Callable[Concatenate[Kraken, P], R]:
    """Make a method of a procedure."""

    def method(self: Kraken, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.run(procedure(self.calls, *args, **kwargs))

    functools.update_wrapper(method, procedure)
    return blind(method)


def _paged(page: Callable[..., Steps[queries.Page]], what: str) -> Callable[..., Iterator[tuple[str, dict[str, Any]]]]:
    def method(
        self: Kraken, start: float | None = None, end: float | None = None, **more: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        offset = 0
        seen: set[str] = set()  # of all pages: one order may add more entries than a page has
        # Without an end new entries would shift the pages.
        until = self.run(queries.until_now(self.calls)) if end is None else end
        while True:
            entries, total = this = self.run(page(self.calls, start, until, offset, **more))
            yield from this.new(seen)
            offset += len(entries)
            if not entries or offset >= total:
                return

    method.__doc__ = what
    return method


class Kraken(Session[Transport]):
    """A client for one account.

    ``private`` and ``public`` return Kraken's result or raise one typed error; ``query_private`` and ``query_public``
    have krakenex's shape. Safe for threads and forks.

    Args:
        key: The API key; empty for public calls only.
        secret: Its secret, base64 as Kraken shows it.
        keys: Instead of *key*, *secret* and *otp*: all keys of one account, each as (key, secret) or (key, secret,
            otp). So many calls are made at once, each with the first key that is free.
        manager: Where nonces and turns come from; None makes a ``NonceManager()`` when needed.
        scope: The counter to use; None: the key's own if it was adopted, else ``"global"``.
        tier: The account's tier at Kraken: ``"starter"``, ``"intermediate"`` or ``"pro"``. Its rate limits are kept
            over all processes. ``"none"``: calls are not counted.
        max_wait: Seconds that a call may wait for the rate limits; a longer wait raises RateLimited. 0: never wait.
        serialization: ``"key"``: one call at a time on this key; ``"global"``: on all keys; ``"off"``: no turns, for
            tests.
        base_url: Kraken's address: scheme, host and port; default: that in ``KRAKENONCE_BASE_URL``, else
            ``https://api.kraken.com``.
        timeout: Seconds to wait for the connection, and again for each piece of the answer.
        transport: Connections to share with other clients, instead of *base_url* and *proxy*.
        proxy: The address of an HTTP proxy, such as ``http://USER:PASSWORD@proxy.example:3128``; None: that of the
            environment (HTTPS_PROXY, NO_PROXY).
        otp: The API key's second factor, if it has one: a password, or a function that returns one for each call.

    Raises:
        ConfigError: *base_url* is not an http or https address, or an argument cannot be used.
    """

    _transport_type = Transport

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and the manager, if they were made here; a later call opens new ones."""
        if self._own_transport:
            self._transport.close()
        self._close_manager()

    @blind
    def private(self, method: str, /, **params: Any) -> Any:
        """Call a private method such as ``Balance`` and return its result, with fractions as Decimal.

        An order gets a ``cl_ord_id`` and a ``deadline`` ten seconds ahead if it has none.

        Args:
            method: Kraken's name of the method.
            params: Its parameters; nested ones are sent as JSON. None leaves one out, and its default too.

        Raises:
            KrakenError: The subclass says what happened, ``may_have_executed`` whether the call may have been executed.
                After an order ``reconcile()`` asks Kraken.
            LaneTimeout: The turn did not come in time; nothing was sent.
            NonceError: No nonce can be issued; nothing was sent.
            ConfigError: No usable key, secret or parameters; nothing was sent.
        """
        return self.run(self.calls.private(method, params))

    @blind
    def public(self, method: str, /, **params: Any) -> Any:
        """Call a public method such as ``Time`` and return its result; else as :meth:`private`."""
        return self.run(self.calls.public(method, params))

    @blind
    def query_private(
        self, method: str, data: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call a private method once, as krakenex does: Kraken's errors are in the answer.

        Args:
            method: Kraken's name of the method.
            data: Its parameters; not changed. Nested ones are sent as JSON. If there is a ``nonce``, it is used
                unchanged, and the caller must hold the lane.
            timeout: Seconds, for this call only; the wait for the turn is not counted.

        Returns:
            Kraken's answer unchanged: ``{"error": [...], "result": ...}``, with fractions as Decimal.

        Raises:
            ConfigError: No usable key, secret or parameters; nothing was sent.
            RateLimited, LockedOut: Kraken would refuse it; nothing was sent. (RateLimited also after HTTP status 429.)
            AccessBlocked: A CDN, firewall or proxy in front of Kraken has refused it.
            RequestNotSent: No connection; nothing was sent.
            OutcomeUnknown: Sent, but no answer, or none in the form of Kraken's API: it may have been executed.
            NonceError: No nonce can be issued; nothing was sent.
        """
        return self.run(self.calls.once(method, dict(data or {})), timeout=timeout)

    @blind
    def query_public(
        self, method: str, data: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call a public method once, as krakenex does; else as :meth:`query_private`."""
        seconds = self._seconds(timeout)
        return self._transport.send(PublicCall(method, dict(data or {})).request(), seconds)

    # The calls that bots make most. Their arguments, results and errors are described in the two modules.
    balances = _blocking(queries.balances)
    extended_balances = _blocking(queries.extended_balances)
    trade_balance = _blocking(queries.trade_balance)
    open_orders = _blocking(queries.open_orders)
    closed_orders = _blocking(queries.closed_orders)
    query_orders = _blocking(queries.query_orders)
    trades = _paged(queries.trade_page, "Iterate over the trades between two times, by Kraken's id, newest first.")
    ledger = _paged(queries.ledger_page, "Iterate over the ledger between two times, by Kraken's id, newest first.")
    websocket_token = _blocking(queries.websocket_token)
    api_key_info = _blocking(queries.api_key_info)
    server_time = _blocking(queries.server_time)
    system_status = _blocking(queries.system_status)
    system_advisories = _blocking(queries.system_advisories)
    add_order = _blocking(orders.add_order)
    add_orders = _blocking(orders.add_orders)
    amend_order = _blocking(orders.amend_order)
    cancel_order = _blocking(orders.cancel_order)
    cancel_orders = _blocking(orders.cancel_orders)
    cancel_all = _blocking(orders.cancel_all)
    cancel_all_after = _blocking(orders.cancel_all_after)
    reconcile = _blocking(orders.reconcile)

    @blind
    def run(
        self, steps: Steps[R], *, timeout: float | None = None, within: float | None = None, urgent: bool = False
    ) -> R:
        """Carry out a procedure of :mod:`krakenonce.kraken` and return its result.

        Args:
            steps: The procedure.
            timeout: Seconds to wait for each answer, instead of the client's own.
            within: Seconds that all of it may take, waits included. A call that cannot be sent in time is not sent
                (CallTimeout, LaneTimeout). A call that is sent and not answered in time has an unknown outcome.
            urgent: Whether its calls go before calls that wait, as cancels do.
        """
        until, seconds = until_after(within), self._seconds(timeout)
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step, seconds, until, urgent)
                except KrakenonceError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            result: R = done.value
            return result
        except KrakenError as error:
            if error.order is not None:
                error._look = functools.partial(self.reconcile, error.order)
            raise
        except BaseException:
            steps.close()  # it logs now, and not some time later, which order may have been placed
            raise

    def _do(self, step: Step, timeout: float, until: float | None, urgent: bool) -> Any:
        if isinstance(step, Sleep):
            seconds_left(until, max(step.seconds, step.needed))
            time.sleep(step.seconds)
            return None
        if isinstance(step, StateStep):
            return step.take()
        left = seconds_left(until)
        if isinstance(step, PublicCall):
            return self._transport.send(step.request(), timeout if left is None else min(timeout, left))
        step.urgent = step.urgent or urgent
        return self._send(step, timeout, until)

    def _send(self, step: PrivateCall, timeout: float, until: float | None) -> dict[str, Any]:
        with contextlib.ExitStack() as turn:
            for lane in self._turn(step, until):
                turn.enter_context(lane)
            for question in questions(self.calls, step):
                with not_sent(question):
                    question.reply = self._exchange(question, turn, timeout, until)
            return self._exchange(step, turn, timeout, until)

    def _exchange(
        self, call: PrivateCall, turn: contextlib.ExitStack, timeout: float, until: float | None
    ) -> dict[str, Any]:
        seconds_left(until)
        try:
            request = self._sign(call)
            for lane in self._turns_of_orders(call, until):
                turn.enter_context(lane)
            left = seconds_left(until)
            reply = self._transport.send(request, timeout if left is None else min(timeout, left))
            if (due := self.calls.settle(call, reply)) is not None:
                due.take()
            return self._settled(call, reply)
        finally:
            self.calls.account.end(call.key or 0)
