"""One account at Kraken in the gateway: its queue, and the key with which each of its calls is made.

With one key a call waits for the rate limit, and then for its turn. With several it takes the first turn that is free,
and only then shows whether that key may make it: if not, and nothing was executed, another key makes it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from krakenonce.errors import ConfigError, InvalidNonce, KrakenAPIError, RateLimited
from krakenonce.gateway.making import AnotherKey, Making, Turn
from krakenonce.gateway.replies import Refused
from krakenonce.gateway.sending import changes_something
from krakenonce.gateway.upstream import KrakenKey
from krakenonce.gateway.waiting import KeyQueue, wait_while
from krakenonce.key.api_key import MustWait
from krakenonce.key.limits import TIERS
from krakenonce.key.methods import Kind, cancelled_in, is_urgent, kind_of
from krakenonce.kraken.calling import Calls
from krakenonce.kraken.http_status import closed_for, refuse_if_closed
from krakenonce.kraken.key_info import not_sent, questions
from krakenonce.kraken.repeating import poisoned
from krakenonce.kraken.request import PrivateCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.brokers.credentials import Account
    from krakenonce.gateway.asked import Asked
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.gateway.upstream import Forwarded
    from krakenonce.gateway.waiting import TurnDetails
    from krakenonce.key.counting import Place
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.kraken.kraken_time import KrakenTime
    from krakenonce.manager import NonceManager


R = TypeVar("R")
logger = logging.getLogger("krakenonce")


class KrakenAccount:
    """One account and its keys.

    Args:
        account: Its name, keys and tier.
        manager: Where nonces and turns come from.
        transport: Connections to Kraken.
        queue_length: How many calls may wait.
        max_wait: Seconds that each may wait for the rate limit, and again for its turn.
        timeout: Seconds to wait for each piece of Kraken's answer.
        order_timeout: Seconds to wait for the whole answer to an order; then Kraken is asked what became of it.
        on_turn: Called after each turn.

    Attributes:
        keys: Its keys, in the order in which they are used if several are free.
        known: What this process knows of them: which may be used, and why the others may not.
    """

    def __init__(
        self,
        account: Account,
        manager: NonceManager,
        transport: AsyncTransport,
        *,
        queue_length: int,
        max_wait: float,
        timeout: float,
        order_timeout: float,
        on_turn: Callable[[TurnDetails], None],
    ) -> None:
        self.account = account
        self.order_timeout = order_timeout
        tier = TIERS.get(account.tier)
        self.keys = [
            KrakenKey(each, tier, manager, transport, timeout=timeout, order_timeout=order_timeout)
            for each in account.keys
        ]
        for key in self.keys:
            key.api_key.account = account.name
        lanes = [each.api_key.turn for each in self.keys]
        self.queue = KeyQueue(account.name, lanes, queue_length, max_wait, on_turn)
        self._calls = Calls([each.api_key for each in self.keys], max_wait, transport.time)
        self.known = self._calls.account
        self._transport = transport
        self._max_wait = max_wait
        self._orders: dict[asyncio.Task[Any], int] = {}  # those that are just being sent, and the place of their key
        self._closed = asyncio.Event()

    @property
    def host(self) -> str:
        """Kraken's address, for messages."""
        return self._transport.host

    @property
    def time(self) -> KrakenTime:
        """What time it is at Kraken."""
        return self._transport.time

    async def close(self) -> None:
        """Stop all waits, for the rate limit and for a turn. The calls that have a turn come to their end."""
        self._closed.set()
        await self.queue.close()

    async def make(
        self, call: ClientCall, send: Callable[[Turn], Awaitable[R]], admit: Callable[[], None], asked: Asked
    ) -> R:
        """Make a call in the turn of a key that may make it, and return what *send* returns.

        Args:
            call: The call.
            send: Sends it in the turn, with :meth:`forward`. Called again if it has raised AnotherKey.
            admit: Raises if the call must not be made any more; called when it has waited for the rate limit.
            asked: Is entered for as long as the call has a turn.

        Raises:
            KrakenAPIError: None of the keys may be used now; not sent.
            KrakenonceError, NotBegun, Refused: It was not sent.
        """
        making = Making(call, self._max_wait, self.keys[0].api_key.seconds())
        while True:
            places = self._choose(making)
            try:
                await self._wait(making)
                admit()
                left = making.for_turn if making.has_waited else None
                job = partial(self._in_turn, making, send, asked, time.monotonic())
                return await self.queue.run(job, places, urgent=is_urgent(call.method, call.params), left=left)
            except AnotherKey:
                making.only = None
            except MustWait as must:
                self._find_time(making, must.wait)
            except KrakenAPIError as error:
                if making.key in making.tried or not self._passes_over(making, error):
                    raise
                making.only = None
            finally:
                await self._leave(making)

    def _choose(self, making: Making) -> list[int]:
        """Return the places of the keys that may make a call. If it is one only, the call waits for its rate limit.

        Raises:
            KrakenAPIError: None may.
        """
        if len(self.keys) == 1:
            making.only = 0
        elif making.only is None:
            try:
                places = self._usable(making)
            except RateLimited:
                making.only = self.known.full_the_shortest(making.method, making.call.params)
            else:
                if not places:
                    raise list(making.tried.values())[-1]
                return places
        making.key = making.only or 0
        making.place = self._new_place(making)
        return [making.key]

    def _usable(self, making: Making) -> list[int]:
        places = self.known.usable(making.method, making.call.params)
        left = [place for place in places if place not in making.tried]
        return left[:1] if making.is_of_export else left

    def _new_place(self, making: Making) -> Place:
        return self.keys[making.key].api_key.place(making.call.method, making.call.params, making.asked_at)

    async def _wait(self, making: Making) -> None:
        """Wait until the rate limits allow a call, or until the gateway stops. Raises LockedOut or RateLimited."""
        began = time.monotonic()
        await wait_while(partial(self._seconds, making), making.for_limit, self._closed)
        making.for_limit -= time.monotonic() - began

    async def _seconds(self, making: Making, longest: float) -> float:
        closed = closed_for(self.host)
        if closed > longest:
            refuse_if_closed(self.host)
        if making.place is None:
            return closed
        wait = await self.keys[making.key].ask(making.place, longest)
        if wait > 0 and len(self.keys) > 1 and making.waits_for_key:
            self.known.must_wait(making.key, wait)
        return max(wait, closed)

    def _find_time(self, making: Making, wait: float) -> None:
        """A key's counter was full when its turn had come. Another key makes the call, or it waits for its time."""
        if making.waits_for_key:
            self.known.must_wait(making.key, wait)
            making.only = None
        else:
            making.only = making.key

    async def _in_turn(
        self, making: Making, send: Callable[[Turn], Awaitable[R]], asked: Asked, began: float, place: int
    ) -> R:
        with asked:
            making.for_turn -= time.monotonic() - began
            return await self._with_key(making, send, place)

    async def _with_key(self, making: Making, send: Callable[[Turn], Awaitable[R]], place: int) -> R:
        making.key, key = place, self.keys[place]
        making.has_waited = True
        if len(self.keys) > 1:
            await self._get_ready(making, key)
        now = making.place = making.place or self._new_place(making)
        me: Any = asyncio.current_task()
        if making.is_order:
            self._orders[me] = place
            self.known.begin(place, making.call.method, making.call.params)
        try:
            return await send(Turn(key, now, partial(self._pass_over, making)))
        finally:
            if making.is_order:
                self._orders.pop(me)
                self.known.end(place)

    async def _get_ready(self, making: Making, key: KrakenKey) -> None:
        """Do what a call with one key of several needs first, in its turn.

        Raises:
            MustWait: The key's rate limit does not allow it yet.
            KrakenAPIError: The key may not make it.
            Refused: The key is of another account.
        """
        if making.place is None:
            making.place = self._new_place(making)
            wait = await key.ask(making.place, math.inf)
            if wait > 0:
                must = MustWait("Not sent: Kraken's rate limit does not allow this call yet.")
                must.wait = wait
                raise must
        asking = PrivateCall(making.method, making.call.params)
        asking.key = making.key
        try:
            asked = questions(self._calls, asking)
            while (question := await key.take(partial(next, asked, None))) is not None:  # it notes what it learns
                question.key_name = key.name
                with not_sent(question):
                    question.reply = await key.make(question)
        except ConfigError as error:
            logger.error("account %s: %s", self.account.name, error)
            raise Refused("wrong_account", "EService:Unavailable", str(error)) from error

    async def forward(
        self, turn: Turn, call: ClientCall, headers: dict[str, str], within: float | None = None
    ) -> Forwarded:
        """Send a call in its turn; see :meth:`KrakenKey.forward`.

        With several keys, one that may be repeated is sent once more if its nonce was refused: if the next nonce is
        refused as well, the key is poisoned.
        """
        wait = partial(self._orders_to_end, cancelled_in(call.method, call.params))
        done = await turn.key.forward(turn.place, call, headers, within, wait)
        if len(self.keys) == 1 or not isinstance(done.refusal, InvalidNonce):
            return done
        if changes_something(call) and kind_of(call.method, call.params) is not Kind.CANCEL:
            self.known.ask_again(self.keys.index(turn.key))
            return done
        place = turn.key.api_key.place(call.method, call.params)
        try:
            done = await turn.key.forward(place, call, headers, within)
        except MustWait:
            return done
        finally:
            await turn.key.leave(place)
        return done._replace(refusal=poisoned(done.refusal)) if isinstance(done.refusal, InvalidNonce) else done

    async def _orders_to_end(self, names: list[str]) -> None:
        """Wait for the orders with these names that other keys are sending. One that is counted later is not sent."""
        places = self.known.with_orders(names)
        if orders := [order for order, place in self._orders.items() if place in places]:
            await asyncio.wait(orders)

    def _pass_over(self, making: Making, refusal: KrakenAPIError | None) -> None:
        if refusal is not None and self._passes_over(making, refusal):
            raise AnotherKey

    def _passes_over(self, making: Making, error: KrakenAPIError) -> bool:
        """Note why a call was refused; return whether another key may make it."""
        if not self.known.passes_over(making.key, making.method, error):
            return False
        making.tried[making.key] = error
        self.known.end(making.key)  # what names the order need not be made with this key
        try:
            return bool(self._usable(making))
        except RateLimited:  # it waits for one of them, unless that is what Kraken has refused
            return not isinstance(error, RateLimited)
        except KrakenAPIError:
            return False

    async def _leave(self, making: Making) -> None:
        place, making.place = making.place, None
        if place is not None:
            await self.keys[making.key].leave(place)
