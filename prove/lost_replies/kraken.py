"""The fake Kraken behind the gateways: what it and the network do to each request, and what it saw."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from krakenonce.testing import FakeKraken, FakeKrakenServer
from krakenonce.testing.delivery import Delivery
from prove.lost_replies.jobs import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.delivery import Reply
    from krakenonce.testing.request import Request
    from prove.lost_replies.jobs import Job, Jobs

__all__ = ["AMBIGUOUS", "FaultyKraken"]

AMBIGUOUS = (
    "EService:Unavailable",
    "EService:Timeout",
    "EGeneral:Internal error",
    "EAPI:Invalid nonce",
    "EFuture:Words of next year",
)
_PAGES = (200, 500, 502, 504, 520)
# What happens to an order: in so many of a hundred.
_ORDERS = {
    "": 40,
    "process_then_cut": 10,
    "slow_answer": 8,
    "process_then_html": 8,
    "process_then_error": 8,
    "hidden": 4,
    "duplicate": 3,
    "slow_request": 7,
    "drop": 4,
    "html": 2,
    "error": 3,
    "refusal": 3,
}
# What happens to a question of the gateway's.
_QUESTIONS = {"": 88, "process_then_cut": 3, "drop": 2, "html": 2, "process_then_error": 2, "slow_answer": 3}


class FaultyKraken:
    """A fake Kraken over HTTP, whose faults follow from the seed and the order.

    Args:
        fake: The fake Kraken.
        jobs: Whose orders come.
        seed: Of the faults of the gateways' questions.
    """

    def __init__(self, fake: FakeKraken, jobs: Jobs, seed: int) -> None:
        self._fake = fake
        self._jobs = jobs
        self._questions: defaultdict[str, list[tuple[str, Event]]] = defaultdict(list)  # by key; each with its name
        self.in_flight = 0
        self.server = _Server(fake, lambda server_fake, delay: _Network(server_fake, delay, self))
        self._chance = random.Random(f"{seed} questions")

    def before(self, request: Request) -> Event:
        """Choose what goes wrong with a request, and return what to note of it."""
        if request.method == "AddOrder":
            details = _drawn(self._jobs.of(request.params["volume"]).chance, _ORDERS)
        else:
            details = _drawn(self._chance, _QUESTIONS)
        if details:
            self._fake.faults.add(request.method, **details)
        return Event.now(f"Kraken: gets {request.method} {_name_in(request)}: {_words(details)}")

    def after(self, request: Request, came: Event, reply: Reply) -> None:
        """Note a request with its answer."""
        shown = reply if reply is None or isinstance(reply, int) else str(reply)[:300]
        took = time.monotonic() - came.at
        event = Event(came.at, f"{came.what}; {took:.3f} s later the answer: {shown}")
        if request.method == "AddOrder":
            self._jobs.of(request.params["volume"]).story.append(event)
        else:
            self._questions[request.key].append((_name_in(request), event))

    def asked(self, job: Job) -> list[Event]:
        """Return the questions that may have been about a job's orders."""
        names = {"", job.fields.get("userref"), job.fields.get("cl_ord_id")}
        asked = [*self._questions[job.account.key], *self._questions[""]]  # the latter are public
        return [event for name, event in asked if name in names or (name.startswith("kn-") and job.local.trace_orders)]


class _Network(Delivery):
    def __init__(self, fake: FakeKraken, delay: Callable[[], float], faulty: FaultyKraken) -> None:
        super().__init__(fake, delay)
        self._faulty = faulty

    async def bring(self, request: Request, is_gone: Callable[[], bool]) -> Reply:
        self._faulty.in_flight += 1
        try:
            came = self._faulty.before(request)
            reply = await super().bring(request, is_gone)
            self._faulty.after(request, came, reply)
            return reply
        finally:
            self._faulty.in_flight -= 1


class _Server(FakeKrakenServer):
    def __init__(self, fake: FakeKraken, network: Callable[[FakeKraken, Callable[[], float]], Delivery]) -> None:
        super().__init__(fake)
        self._delivery = network(fake, lambda: 0.0)


def _name_in(request: Request) -> str:
    return str(request.params.get("cl_ord_id") or request.params.get("userref") or "")


def _drawn(chance: random.Random, faults: dict[str, int]) -> dict[str, Any]:
    """Return a fault as ``Faults.add`` takes it; nothing for none."""
    (name,) = chance.choices(list(faults), list(faults.values()))
    hidden = chance.choice((0.0, 0.0, chance.uniform(0.1, 2.0)))
    details: dict[str, dict[str, Any]] = {
        "": {},
        "refusal": {"fault": "error", "error": "EOrder:Insufficient funds"},
        "hidden": {"fault": name, "hidden_for": chance.uniform(0.1, 2.0)},
        "slow_answer": {"fault": name, "seconds": chance.uniform(0.2, 2.0), "hidden_for": hidden},
        "slow_request": {"fault": name, "seconds": chance.uniform(0.1, 1.5), "hidden_for": hidden},
    }
    others = {
        "fault": name,
        "status": chance.choice(_PAGES),
        "error": chance.choice(AMBIGUOUS),
        "hidden_for": hidden,
    }
    return details.get(name, others)


def _words(details: dict[str, Any]) -> str:
    more = ", ".join(f"{name} {value}" for name, value in details.items() if name != "fault" and value)
    return f"{details['fault']} ({more})" if details else "no fault"
