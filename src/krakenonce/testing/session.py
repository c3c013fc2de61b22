"""One WebSocket connection: what its client says, what it has subscribed to, and what it is told. No I/O."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from krakenonce.testing.arguments import invalid
from krakenonce.testing.balance_feed import Balances
from krakenonce.testing.feed import Book, Candles, Ticker, Trades
from krakenonce.testing.instruments import Instruments
from krakenonce.testing.message import Channel, Message, entries, pair_of, read, rfc3339, to_json
from krakenonce.testing.order_feed import Executions
from krakenonce.testing.request import Refused
from krakenonce.testing.socket_trading import METHODS, answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.executions import Execution
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.streams import Streams

_PRIVATE = ("executions", "balances")
_WITH_SYMBOL = ("ticker", "book", "trade", "ohlc")
_CHANNELS = (*_PRIVATE, *_WITH_SYMBOL, "instrument")
_DEPTHS = (10, 25, 100, 500, 1000)
_Value = TypeVar("_Value", str, int)
_INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)  # minutes


class Line(Protocol):
    """The way to the client. Neither method waits."""

    def send(self, text: str) -> None:
        """Send a message."""

    def cut(self) -> None:
        """Cut the connection."""


class _NotFound(Refused):
    """There is no such subscription to end."""


class Session:
    """One connection. All methods are called in a turn of the fake.

    Args:
        streams: All connections.
        line: The way to its client.
    """

    def __init__(self, streams: Streams, line: Line) -> None:
        self.line = line
        self._streams = streams
        self._id = secrets.randbits(64)
        self._channels: dict[tuple[str, str], Channel] = {}  # by channel and symbol
        self._tokens: dict[str, object] = {}  # by channel, the token of the subscription
        self._status = ""
        self._is_quiet = True
        self._tell_status()

    def receive(self, text: str, now: float) -> None:
        """Answer a message of the client."""
        try:
            request = read(text)
        except Refused as refusal:
            self._reply({"method": "error"}, now, success=False, error=str(refusal))
            return
        method, params = request.get("method"), request.get("params", {})
        reply = partial(self._reply, request, now)
        if method == "ping":
            self._reply({**request, "method": "pong"}, now)
        elif not isinstance(method, str) or not isinstance(params, dict):
            self._reply({**request, "method": "error"}, now, success=False, error="Malformed request")
        elif method in METHODS:
            self._trade(method, params, reply, now)
        elif method == "subscribe":
            self._each(params, reply, partial(self._subscribe, params, reply, now))
        elif method == "unsubscribe":
            self._each(params, reply, partial(self._unsubscribe, params, reply, now))
        else:
            reply(success=False, error="Unsupported event")

    def hear(self, event: Execution) -> None:
        """Note what happened to an order, for the next ``publish``."""
        feed = self._channels.get(("executions", ""))
        if isinstance(feed, Executions) and feed.account is event.order.owner:
            feed.hear(event)

    def publish(self, now: float) -> None:
        """Send what has changed on the channels."""
        if self._status != self._streams.engine.rules.status:
            self._tell_status()
        for channel in self._channels.values():
            self._tell(channel.changes(now))

    def beat(self) -> None:
        """Send a heartbeat if nothing was sent on a channel since the last call."""
        if self._is_quiet and self._channels:
            self._tell([{"channel": "heartbeat"}])
        self._is_quiet = True

    def _tell_status(self) -> None:
        self._status = self._streams.engine.rules.status
        entry = {"system": self._status, "api_version": "v2", "connection_id": self._id, "version": "2.0.10"}
        self._tell([entries("status", "update", [entry])])

    def _tell(self, messages: list[Message]) -> None:
        for message in messages:
            self.line.send(to_json(message))
            self._is_quiet = False

    def _reply(self, request: Message, now: float, **rest: Any) -> None:
        number = request.get("req_id")
        numbered = {"req_id": number} if type(number) is int else {}
        times = {"time_in": rfc3339(now), "time_out": rfc3339(now)}
        reply = {"method": request["method"], **numbered, **rest, **times}
        self.line.send(to_json(dict(sorted(reply.items()))))  # as Kraken sends it

    def _trade(self, method: str, params: Message, reply: Callable[..., None], now: float) -> None:
        try:
            key = self._owner(params, now)
        except Refused as refusal:
            reply(success=False, error=str(refusal))
            return
        for answer in answers(method, params, lambda name, wanted: self._streams.trade(key, name, wanted, now)):
            reply(**answer.rest, success=answer.success)

    def _owner(self, params: Message, now: float) -> ApiKey:
        token = params.get("token")
        return self._streams.owner_of(token, now, is_in_use=token in self._tokens.values())

    def _each(self, params: Message, reply: Callable[..., None], act: Callable[[str, str], None]) -> None:
        """Subscribe to a channel, or unsubscribe from it, for each of its symbols."""
        channel, symbols = params.get("channel"), params.get("symbol")
        if channel not in _CHANNELS:
            reply(success=False, error="Subscription name invalid")
        elif channel not in _WITH_SYMBOL:
            self._try(reply, partial(act, channel, ""))
        elif not isinstance(symbols, list) or not symbols or not all(isinstance(each, str) for each in symbols):
            reply(success=False, error="Symbol(s) not found")
        else:
            for symbol in symbols:
                self._try(partial(reply, symbol=symbol), partial(act, channel, symbol))

    @staticmethod
    def _try(reply: Callable[..., None], act: Callable[[], None]) -> None:
        try:
            act()
        except Refused as refusal:
            other = {"method": "subscribe"} if isinstance(refusal, _NotFound) else {}
            reply(success=False, error=str(refusal), **other)

    def _subscribe(self, params: Message, reply: Callable[..., None], now: float, channel: str, symbol: str) -> None:
        made = self._private(channel, params, now) if channel in _PRIVATE else self._public(channel, params, symbol)
        there = self._channels.get((channel, symbol))
        if there is not None:
            is_other = channel == "ohlc" and made.described["interval"] != there.described["interval"]
            raise Refused("Already subscribed" + (" to one ohlc interval on this symbol" if is_other else ""))
        self._channels[channel, symbol] = made
        if channel in _PRIVATE:
            self._tokens[channel] = params["token"]
        reply(result=made.described, success=True)
        self._tell(made.first(now))

    def _unsubscribe(self, params: Message, reply: Callable[..., None], now: float, channel: str, symbol: str) -> None:
        if channel in _PRIVATE:
            self._owner(params, now)
        elif symbol:
            pair_of(symbol)
        there = self._channels.get((channel, symbol))
        if there is None or any(params.get(name, value) != value for name, value in _key(there).items()):
            # Kraken gives this answer the name of the other method (live tests of python-kraken-sdk 90cf23d).
            raise _NotFound("Subscription Not Found")
        del self._channels[channel, symbol]
        self._tokens.pop(channel, None)
        shown = {"channel": channel} if channel in _PRIVATE else there.described
        reply(result={name: value for name, value in shown.items() if name != "snapshot"}, success=True)

    def _private(self, channel: str, params: Message, now: float) -> Channel:
        account = self._owner(params, now).account
        if channel == "executions":
            return Executions(self._streams.engine, account, params)
        return Balances(account, snapshot=params.get("snapshot") is not False)

    def _public(self, channel: str, params: Message, symbol: str) -> Channel:
        engine, snapshot = self._streams.engine, params.get("snapshot") is not False
        if channel == "instrument":
            return Instruments(engine, snapshot=snapshot)
        pair = pair_of(symbol)
        match channel:
            case "ticker":
                return Ticker(engine, pair, _choice(params, "event_trigger", ("trades", "bbo"), ""), snapshot=snapshot)
            case "trade":
                return Trades(engine, pair, snapshot=params.get("snapshot") is True)
            case "book":
                error = "Subscription depth not supported"
                return Book(engine, pair, _choice(params, "depth", _DEPTHS, error), snapshot=snapshot)
        error = "Subscription ohlc interval not supported"
        return Candles(engine, pair, _choice(params, "interval", _INTERVALS, error), snapshot=snapshot)


def _key(channel: Channel) -> Message:
    """Return what else has to fit when a subscription is ended."""
    return {name: value for name, value in channel.described.items() if name in ("depth", "interval")}


def _choice(params: Message, name: str, allowed: tuple[_Value, ...], error: str) -> _Value:
    """Return one of the values that a parameter may have; the first is the default."""
    value = params.get(name, allowed[0])
    for each in allowed:
        if value == each and type(value) is type(each):
            return each
    raise Refused(error) if error else invalid(name)
