"""A world without sockets and without waiting: procedures run against the fake Kraken in simulated time."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from krakenonce.backends import MemoryStore
from krakenonce.errors import CallTimeout, OutcomeUnknown, RequestNotSent
from krakenonce.key.api_key import ApiKey, MustWait
from krakenonce.key.limiter import Limiter
from krakenonce.kraken.calling import Calls
from krakenonce.kraken.kraken_time import KrakenTime
from krakenonce.kraken.request import Key, PrivateCall, PublicCall, Request, Sleep, StateStep
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken
from krakenonce.testing.clock import ManualClock

if TYPE_CHECKING:
    from krakenonce.key.limits import Tier
    from krakenonce.kraken.request import Step, Steps

R = TypeVar("R")

FAULTS = ("not sent", "lost", "cut", "html", "late", "twice", "busy", "fine")


class World:
    """One key at a fake Kraken, a clock that goes on when somebody sleeps, and faults for the calls to come.

    Args:
        tier: What the client counts its calls by.
        max_wait: How long a call may wait for that.
        hidden_for: Seconds for which a new order is in no list.
    """

    AHEAD = 0.0  # seconds by which this machine's clock is ahead of Kraken's

    def __init__(self, tier: Tier | None = None, max_wait: float = 60.0, hidden_for: float = 0.0) -> None:
        self.clock = ManualClock()
        self.fake = FakeKraken()
        self.account = self.fake.add_account("bot")
        self.faults: defaultdict[str, deque[str]] = defaultdict(deque)
        self.sent: list[str] = []  # the methods that left this machine, in order
        self.slept: list[float] = []
        self.hidden_for = hidden_for
        self.ahead = 0  # by how much our numbers are behind: subtracted
        self.nonces = 0  # how many were taken
        self._last = 0
        self._until: float | None = None
        self._late: list[Request] = []
        self._born: dict[str, float] = {}
        self.manager = NonceManager(MemoryStore(clock=self.clock), clock=self.clock)
        self.limiter = Limiter(self.manager.store.rate_limits, clock=self.clock)
        api_key = ApiKey(self.manager, self.account.key, tier)
        api_key.next = self._next  # type: ignore[method-assign]
        self.time = KrakenTime(lambda: self.now() + self.AHEAD, self.now)
        self.time.note_seconds(self.now() - self.now() % 1, self.now())
        self.calls = Calls([api_key], max_wait, self.time)

    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock.now_ns() / 1e9

    def run(self, steps: Steps[R], within: float | None = None) -> R:
        """Carry out a procedure as the clients do, with the faults to come; *within* ends waits, not calls."""
        self._until = None if within is None else self.now() + within
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step)
                except (CallTimeout, MustWait, RequestNotSent, OutcomeUnknown) as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            result: R = done.value
            return result

    def until_it_waits(self, steps: Steps[Any]) -> Sleep:
        """Carry out a procedure until it waits for the rate limit; return that pause."""
        call = next(steps)
        assert isinstance(call, PrivateCall)
        with pytest.raises(MustWait) as caught:
            self._signed(call)
        asking = steps.throw(caught.value)
        assert isinstance(asking, StateStep)
        pause = steps.send(asking.take())
        assert isinstance(pause, Sleep)
        return pause

    def orders_placed(self) -> int:
        """How many orders Kraken has taken."""
        return sum(each.method == "AddOrder" and each.error is None for each in self.fake.arrivals)

    def _do(self, step: Step) -> Any:
        if isinstance(step, StateStep):
            return step.take()
        if isinstance(step, Sleep):
            if self._until is not None and self._until - self.now() < max(step.seconds, step.needed):
                raise CallTimeout("Not sent.")
            self.slept.append(step.seconds)
            self.clock.pass_time(step.seconds)
            self._deliver_late()
            return None
        request = step.request() if isinstance(step, PublicCall) else self._signed(step)
        self.clock.pass_time(0.01)
        reply = self._send(step.method, request)
        if isinstance(step, PrivateCall) and (due := self.calls.settle(step, reply)) is not None:
            due.take()
        return reply

    def _signed(self, step: PrivateCall) -> Request:
        place, api_key, step.refusal = self.calls.place(step), self.calls.api_key, None
        nonce = None
        if step.has_turn:
            api_key.count(place)
        else:
            nonce = api_key.nonce(place)
        return step.request(Key(self.account.key, self.account.secret), nonce, self.now())

    def _next(self) -> int:
        self.nonces += 1
        self._last = max(self._last + 1, self.clock.now_ns() - self.ahead)
        return self._last

    def _send(self, method: str, request: Request) -> dict[str, Any]:
        fault = self.faults[method].popleft() if self.faults[method] else "fine"
        if fault == "not sent":
            raise RequestNotSent("no connection")
        self.sent.append(method)
        if fault == "lost":
            raise OutcomeUnknown("no answer")
        if fault == "late":
            self._late.append(request)
            raise OutcomeUnknown("no answer")
        answer = self._answer(request)
        if fault == "twice":
            answer = self._answer(request)
        if fault in ("cut", "html"):
            raise OutcomeUnknown("no answer")
        if fault == "busy":
            return {"error": ["EService:Busy"]}
        return answer

    def _deliver_late(self) -> None:
        late, self._late = self._late, []
        for request in late:
            self._answer(request)

    def _answer(self, request: Request) -> dict[str, Any]:
        answer = self.fake.answer(request.path, request.headers, request.body or b"", self.now())
        read: dict[str, Any] = json.loads(json.dumps(answer), parse_float=Decimal)
        result = read.get("result")
        if isinstance(result, dict):
            self._hide_the_new(result)
        return read

    def _hide_the_new(self, result: dict[str, Any]) -> None:
        for txid in result.get("txid", ()):
            self._born.setdefault(txid, self.now())
        for part in ("open", "closed"):
            for txid in list(result.get(part, ())):
                if self._born.setdefault(txid, self.now()) + self.hidden_for > self.now():
                    del result[part][txid]
