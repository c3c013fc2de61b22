"""The client for asyncio: like :class:`krakenonce.kraken.Kraken`, with the same procedures."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from krakenonce.errors import KrakenError, KrakenonceError
from krakenonce.key.far import take
from krakenonce.kraken import orders, queries
from krakenonce.kraken.async_transport import AsyncTransport, own_loop
from krakenonce.kraken.key_info import not_sent, questions
from krakenonce.kraken.request import PrivateCall, PublicCall, Sleep, StateStep
from krakenonce.kraken.session import Session, seconds_left, until_after
from krakenonce.shown import blind_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from types import TracebackType

    from krakenonce.kraken.calling import Calls
    from krakenonce.kraken.request import Step, Steps


P = ParamSpec("P")
R = TypeVar("R")


def _awaited(
    procedure: Callable[Concatenate[Calls, P], Steps[R]],
) -> Callable[Concatenate[AsyncKraken, P], Coroutine[Any, Any, R]]:
    """Make a method of a procedure."""

    async def method(self: AsyncKraken, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.run(procedure(self.calls, *args, **kwargs))

    functools.update_wrapper(method, procedure)
    return blind_async(method)


def _paged(
    page: Callable[..., Steps[queries.Page]], what: str
) -> Callable[..., AsyncIterator[tuple[str, dict[str, Any]]]]:
    async def method(
        self: AsyncKraken, start: float | None = None, end: float | None = None, **more: str | None
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        offset = 0
        seen: set[str] = set()  # of all pages: one order may add more entries than a page has
        until = await self.run(queries.until_now(self.calls)) if end is None else end
        while True:
            entries, total = this = await self.run(page(self.calls, start, until, offset, **more))
            for entry in this.new(seen):
                yield entry
            offset += len(entries)
            if not entries or offset >= total:
                return

    method.__doc__ = what
    return method


class AsyncKraken(Session[AsyncTransport]):
    """A client for one account, for the tasks of one event loop: ``pip install 'krakenonce[async]'``.

    As :class:`krakenonce.kraken.Kraken`, with ``await``, ``async with`` and ``async for``. A task that is cancelled
    during its call releases the turn; the call may have been executed.

    Args:
        key: The API key; empty for public calls only.
        secret: Its secret, base64 as Kraken shows it.
        keys: Instead of *key*, *secret* and *otp*: all keys of one account, see :class:`krakenonce.kraken.Kraken`.
        manager: Where nonces and turns come from; None makes a ``NonceManager()`` when needed.
        scope: The counter to use; None: the key's own if it was adopted, else ``"global"``.
        tier: The account's tier at Kraken, or ``"none"``.
        max_wait: Seconds that a call may wait for the rate limits; a longer wait raises RateLimited. 0: never wait.
        serialization: ``"key"``, ``"global"`` or ``"off"``.
        base_url: Kraken's address: scheme, host and port; default: that in ``KRAKENONCE_BASE_URL``, else
            ``https://api.kraken.com``.
        timeout: Seconds to wait for the connection, and again for each piece of the answer.
        transport: Connections to share with other clients of this event loop, instead of *base_url* and *proxy*.
        proxy: The address of an HTTP proxy, such as ``http://USER:PASSWORD@proxy.example:3128``; None: that of the
            environment (HTTPS_PROXY, NO_PROXY).
        otp: The API key's second factor, if it has one: a password, or a function that returns one for each call.

    Raises:
        ConfigError: *base_url* is not an http or https address, or an argument cannot be used.
    """

    _transport_type = AsyncTransport

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections and the manager, if they were made here; a later call opens new ones."""
        if self._own_transport:
            await self._transport.close()
        if (made := self._made.get("manager")) is not None:
            await take(made.store, self._close_manager)

    @blind_async
    async def private(self, method: str, /, **params: Any) -> Any:
        """Call a private method and return its result; see :meth:`krakenonce.kraken.Kraken.private`."""
        return await self.run(self.calls.private(method, params))

    @blind_async
    async def public(self, method: str, /, **params: Any) -> Any:
        """Call a public method and return its result; see :meth:`krakenonce.kraken.Kraken.public`."""
        return await self.run(self.calls.public(method, params))

    @blind_async
    async def query_private(
        self, method: str, data: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call a private method once; see :meth:`krakenonce.kraken.Kraken.query_private`."""
        return await self.run(self.calls.once(method, dict(data or {})), timeout=timeout)

    @blind_async
    async def query_public(
        self, method: str, data: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call a public method once; see :meth:`krakenonce.kraken.Kraken.query_public`."""
        seconds = self._seconds(timeout)
        return await self._transport.send(PublicCall(method, dict(data or {})).request(), seconds)

    balances = _awaited(queries.balances)
    extended_balances = _awaited(queries.extended_balances)
    trade_balance = _awaited(queries.trade_balance)
    open_orders = _awaited(queries.open_orders)
    closed_orders = _awaited(queries.closed_orders)
    query_orders = _awaited(queries.query_orders)
    trades = _paged(queries.trade_page, "Iterate over the trades between two times, by Kraken's id, newest first.")
    ledger = _paged(queries.ledger_page, "Iterate over the ledger between two times, by Kraken's id, newest first.")
    websocket_token = _awaited(queries.websocket_token)
    api_key_info = _awaited(queries.api_key_info)
    server_time = _awaited(queries.server_time)
    system_status = _awaited(queries.system_status)
    system_advisories = _awaited(queries.system_advisories)
    add_order = _awaited(orders.add_order)
    add_orders = _awaited(orders.add_orders)
    amend_order = _awaited(orders.amend_order)
    cancel_order = _awaited(orders.cancel_order)
    cancel_orders = _awaited(orders.cancel_orders)
    cancel_all = _awaited(orders.cancel_all)
    cancel_all_after = _awaited(orders.cancel_all_after)
    reconcile = _awaited(orders.reconcile)

    @blind_async
    async def run(
        self, steps: Steps[R], *, timeout: float | None = None, within: float | None = None, urgent: bool = False
    ) -> R:
        """Carry out a procedure and return its result; see :meth:`krakenonce.kraken.Kraken.run`."""
        own_loop()
        until, seconds = until_after(within), self._seconds(timeout)
        async with self._transport.in_use():
            try:
                step = next(steps)
                while True:
                    try:
                        answer = await self._do(step, seconds, until, urgent)
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
            except asyncio.CancelledError:
                await take(self._manager.store, steps.close) if self.key else steps.close()
                raise
            except BaseException:
                steps.close()  # it logs now, and not some time later, which order may have been placed
                raise

    async def _do(self, step: Step, timeout: float, until: float | None, urgent: bool) -> Any:
        if isinstance(step, Sleep):
            seconds_left(until, max(step.seconds, step.needed))
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step, StateStep):
            return await take(self._manager.store, step.take)
        left = seconds_left(until)
        if isinstance(step, PublicCall):
            return await self._transport.send(step.request(), timeout if left is None else min(timeout, left))
        step.urgent = step.urgent or urgent
        return await self._send(step, timeout, until)

    async def _send(self, step: PrivateCall, timeout: float, until: float | None) -> dict[str, Any]:
        async with contextlib.AsyncExitStack() as turn:
            for lane in self._turn(step, until):
                await turn.enter_async_context(lane)
            asking = questions(self.calls, step)  # what it learns, it notes in the state
            while (question := await take(self._manager.store, functools.partial(next, asking, None))) is not None:
                with not_sent(question):
                    question.reply = await self._exchange(question, turn, timeout, until)
            return await self._exchange(step, turn, timeout, until)

    async def _exchange(
        self, call: PrivateCall, turn: contextlib.AsyncExitStack, timeout: float, until: float | None
    ) -> dict[str, Any]:
        seconds_left(until)
        try:
            request = await take(self._manager.store, functools.partial(self._sign, call))
            for lane in self._turns_of_orders(call, until):
                await turn.enter_async_context(lane)
            left = seconds_left(until)
            reply = await self._transport.send(request, timeout if left is None else min(timeout, left))
            if (due := self.calls.settle(call, reply)) is not None:
                await take(self._manager.store, due.take)
            return self._settled(call, reply)
        finally:
            self.calls.account.end(call.key or 0)
