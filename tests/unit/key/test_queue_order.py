"""The table of a lane's turn: every state that four calls can bring about, and every event in each of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from krakenonce.key.queue_order import EVERY, Claim, Turn, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Event = tuple[str, int, int]  # its name, whose it is, and after how many actions an interrupt comes

NEVER = 9  # no event has so many actions
CALLS = 4


class World:
    """Four calls at one lane, the other processes, and what carries out the actions as ``LaneQueue`` does.

    A thread, a task whose event loop may be closed, an urgent call, and the thread once more.
    """

    def __init__(self) -> None:
        self.turn = Turn()
        self.gate = "free"  # "ours", or "theirs": another process has the turn
        self.calls = [
            Waiter("thread", can_fetch=True),
            Waiter("task"),
            Waiter("urgent", urgent=True),
            Waiter("thread", can_fetch=True),
        ]
        self.asked: list[Waiter] = []  # those that have neither the turn nor an error, in the order of asking
        self.gone: list[Waiter] = []
        self.is_closed = False  # the task's event loop

    def events(self) -> Iterator[Event]:
        """Yield what may happen now."""
        turn, holder = self.turn, self.turn.holder
        for number, call in enumerate(self.calls):
            if call not in self.asked + self.gone and call is not holder and call is not (holder and holder.outer):
                if number < 3 or holder is self.calls[0]:  # a thread that waits cannot ask again
                    yield "ask", number, NEVER
            elif call in self.asked or call is holder:
                yield from (("give_up", number, left) for left in (0, 1, 2, NEVER))
            if call is holder:
                yield from (("leave", number, left) for left in (0, 1, 2, NEVER))
        if turn.fetcher is not None and self.gate == "free":
            yield from (("came", 0, left) for left in (0, 1, NEVER))
        if turn.fetcher is not None and turn.fetcher not in self.calls:
            yield "failed", 0, NEVER
        if self.gate != "ours":
            yield "others", 0, NEVER
        if not self.is_closed:
            yield "close", 0, NEVER

    def happen(self, event: Event) -> None:
        """Let an event happen, and carry out what follows, again after an interrupt."""
        name, number, left = event
        getattr(self, f"_{name}")(self.calls[number])
        self._settle(left)
        self._settle(NEVER)

    def _ask(self, call: Waiter) -> None:
        self.asked.append(call)
        if self.turn.ask(call) == "try" and self.gate == "free":
            self.gate = "ours"
            self.turn.came()
        if self.turn.holder is not call:
            call.wake = lambda: None

    def _give_up(self, call: Waiter) -> None:
        self.turn.give_up(call)
        self._end(call)

    def _leave(self, call: Waiter) -> None:
        assert self.turn.leave(call.owner)
        self._end(call)

    def _came(self, _: Waiter) -> None:
        self.gate = "ours"
        if self.turn.fetcher is not None:
            self.turn.fetcher.wake = lambda: None
        self.turn.came()

    def _failed(self, _: Waiter) -> None:
        if first := self.turn.failed(OSError()):
            self._end(first)

    def _others(self, _: Waiter) -> None:
        self.gate = "theirs" if self.gate == "free" else "free"

    def _close(self, _: Waiter) -> None:
        self.is_closed = True

    def _settle(self, left: int) -> None:
        turn = self.turn
        while due := turn.due():
            if not left:
                return  # interrupted
            left -= 1
            if due == "wake":
                self._wake(turn.holder or turn.fetcher)
                continue
            self.gate = "theirs" if self.gate == "theirs" else "free"
            if due == "release":
                break
            if due == "try" and self.gate == "free":
                self.gate = "ours"
                turn.came()
            else:
                turn.fetch(turn.waiting[0] if due == "fetch" else Waiter(None))
        if turn.holder is not None and turn.holder in self.asked:
            self.asked.remove(turn.holder)

    def _wake(self, call: Waiter | None) -> None:
        assert call is not None
        call.wake = None
        if self.is_closed and call.owner == "task":
            self.turn.give_up(call)
            self._end(call)

    def _end(self, call: Waiter) -> None:
        self.gone.append(call)
        if call in self.asked:
            self.asked.remove(call)

    def all(self) -> tuple[object, ...]:
        """Return everything that makes a difference for what may happen later."""
        turn = self.turn
        numbers: dict[object, object] = {call: number for number, call in enumerate(self.calls)}
        return (
            numbers.get(turn.holder),
            getattr(turn.holder, "depth", 0),
            numbers.get(turn.fetcher, turn.fetcher and "another"),
            *(numbers[call] for call in turn.waiting),
            *(call.wake is None for call in self.calls),
            *(call in self.gone for call in self.calls),
            *(self.gate, self.is_closed),
        )


def after(history: tuple[Event, ...]) -> World:
    """Return the world as it is after some events."""
    world = World()
    for event in history:
        world.happen(event)
    return world


@pytest.fixture(scope="module")
def histories() -> list[tuple[Event, ...]]:
    """The shortest way to each state of the world."""
    found: dict[tuple[object, ...], tuple[Event, ...]] = {World().all(): ()}
    new = list(found.values())
    while new:
        history = new.pop(0)
        for event in after(history).events():
            longer = (*history, event)
            if (seen := after(longer).all()) not in found:
                found[seen] = longer
                new.append(longer)
    return list(found.values())


def order(calls: list[Waiter]) -> list[Waiter]:
    """Return in which order those that have asked get the turn."""
    return sorted(calls, key=lambda call: call.owner != "urgent")


def is_sound(world: World) -> bool:
    """Whether nobody waits for ever, and nobody is in the turn whose process does not have it."""
    turn = world.turn
    return all(
        (
            (world.gate == "ours") == (turn.holder is not None),
            not (turn.holder and turn.fetcher),
            not turn.waiting or turn.holder is not None or turn.fetcher is not None,
            turn.fetcher is None or turn.fetcher in turn.waiting or turn.fetcher not in world.calls,
            turn.waiting == order(world.asked),
            turn.due() in (None, "release"),
            all(call.wake is not None for call in turn.waiting if call is not turn.fetcher),
            turn.holder is None or turn.holder.wake is None,
        )
    )


def test_no_event_in_any_state_leaves_somebody_behind(histories: list[tuple[Event, ...]]) -> None:
    """Also where an interrupt comes before any of the actions: the next look makes up for it."""
    assert len(histories) > 500
    assert {len(history) for history in histories} >= set(range(8))
    unsound = [history for history in histories if not is_sound(after(history))]
    assert unsound == []


def test_all_who_wait_get_the_turn_in_order(histories: list[tuple[Event, ...]]) -> None:
    """From every state, once the others let go: the urgent one first, then in the order of asking."""
    for history in histories:
        world, served = after(history), list[Waiter]()
        wanted = [call for call in order(world.asked) if not (world.is_closed and call.owner == "task")]
        if world.gate == "theirs":
            world.happen(("others", 0, NEVER))
        for _ in range(20):
            while world.turn.holder:
                served.append(world.turn.holder)
                world.happen(("leave", world.calls.index(world.turn.holder), NEVER))
            if world.turn.fetcher:
                world.happen(("came", 0, NEVER))
        assert world.turn.due() == "release"
        assert world.gate == "free"
        assert [call for call in served if call in wanted] == wanted, history


def make(state: str) -> Turn:
    """Return a turn in one of the three states; 1 has it or fetches the gate, 2 waits."""
    turn, first = Turn(), Waiter(1)
    if state != "free":
        turn.ask(first)
        turn.came() if state == "held" else turn.fetch(first)
        turn.ask(Waiter(2))
    return turn


def came_for_nobody(turn: Turn) -> None:
    """All have given up meanwhile."""
    turn.waiting.clear()
    turn.came()


EVENTS: dict[str, Callable[[Turn], object]] = {
    "ask": lambda turn: turn.ask(Waiter(3)),
    "fetch": lambda turn: turn.fetch(Waiter(None)),
    "came": lambda turn: turn.came(),
    "came for nobody": came_for_nobody,
    "failed": lambda turn: turn.failed(OSError()),
    "leave": lambda turn: turn.leave(1),
    "leave, by another": lambda turn: turn.leave(2),
    "give_up": lambda turn: turn.give_up(turn.holder or turn.fetcher or Waiter(1)),
    "give_up, by another": lambda turn: turn.give_up(turn.waiting[-1] if turn.waiting else Waiter(2)),
}


@pytest.mark.parametrize(
    ("event", "state", "then"),
    [
        ("ask", "free", "free"),
        ("ask", "fetching", "fetching"),
        ("ask", "held", "held"),
        ("fetch", "free", "fetching"),
        ("came", "fetching", "held"),
        ("came for nobody", "free", "free"),
        ("came for nobody", "fetching", "free"),
        ("failed", "free", "free"),
        ("failed", "fetching", "free"),
        ("leave", "free", "free"),
        ("leave", "fetching", "fetching"),
        ("leave", "held", "free"),
        ("leave, by another", "held", "held"),
        ("give_up", "free", "free"),
        ("give_up", "fetching", "free"),
        ("give_up", "held", "free"),
        ("give_up, by another", "fetching", "fetching"),
        ("give_up, by another", "held", "held"),
    ],
)
def test_each_event_leads_where_the_table_says(event: str, state: str, then: str) -> None:
    """From each of the three states to the next."""
    turn = make(state)
    EVENTS[event](turn)
    assert ("held" if turn.holder else "fetching" if turn.fetcher else "free") == then


@pytest.mark.parametrize("owner", ["another", None])
def test_only_the_owner_leaves(owner: str | None) -> None:
    """Nobody else ends a turn, and nobody a turn that is not there."""
    turn = Turn()
    assert not turn.leave(owner)
    turn.ask(Waiter("owner"))
    turn.came()
    assert not turn.leave(owner)
    assert turn.leave("owner")
    assert not turn.leave("owner")


def test_the_turn_ends_with_the_outermost_block() -> None:
    """As often as it was taken it has to be left; whoever gives up leaves as well."""
    turn = Turn()
    calls = [Waiter("owner") for _ in range(3)]
    assert turn.ask(calls[0]) == "try"
    turn.came()
    assert [turn.ask(call) for call in calls[1:]] == [None, None]
    assert [call.depth for call in calls] == [1, 2, 3]
    turn.give_up(calls[2])
    assert turn.leave("owner")
    assert turn.due() is None
    assert turn.leave("owner")
    assert turn.due() == "release"


def test_the_urgent_go_first() -> None:
    """In the order of asking among themselves, as the others among themselves."""
    turn = Turn()
    turn.ask(Waiter("holder"))
    turn.came()
    for number, urgent in enumerate(itertools.islice(itertools.cycle([False, True, False]), 12)):
        turn.ask(Waiter(number, urgent))
    served: list[object] = []
    while turn.holder:
        served.append(turn.holder.owner)
        turn.leave(turn.holder.owner)
        turn.came()
    assert served == ["holder", *(1, 4, 7, 10), *(0, 2, 3, 5, 6, 8, 9, 11)]


def test_who_cannot_have_the_turn_hears_why() -> None:
    """The first who waits, and nobody else."""
    turn, calls, error = Turn(), [Waiter(number) for number in range(2)], OSError("no locks")
    for call in calls:
        turn.ask(call)
    assert turn.failed(error) is calls[0]
    with pytest.raises(OSError, match="no locks"):
        turn.has(calls[0])
    assert (turn.waiting, turn.has(calls[1])) == ([calls[1]], False)
    turn.give_up(calls[1])
    assert turn.failed(error) is None


def served(turn: Turn) -> list[object]:
    """Return who has the turn, one after the other, when each leaves it at once."""
    order: list[object] = []
    turn.came()
    while turn.holder is not None:
        order.append(turn.holder.owner)
        turn.leave(turn.holder.owner)
        if turn.waiting:
            turn.came()
    return order


def test_what_is_not_urgent_has_every_tenth_turn() -> None:
    """What has waited longest; then nine urgent ones again."""
    turn = Turn()
    turn.fetch(Waiter(None))
    for number in range(3):
        turn.ask(Waiter(f"call {number}"))
    for _ in range(20):
        turn.ask(Waiter("U", urgent=True))
    order = served(turn)
    assert [place for place, owner in enumerate(order) if owner != "U"] == [EVERY - 1, 2 * EVERY - 1, 22]
    assert [owner for owner in order if owner != "U"] == ["call 0", "call 1", "call 2"]


def test_a_call_claims_the_first_of_several_turns() -> None:
    """The other lanes pass it over, and it is no reason for them to keep the gate."""
    one, other, claim = Turn(), Turn(), Claim()
    for turn in (one, other):
        turn.fetch(Waiter(None))
        turn.ask(Waiter("call", claim=claim))
    other.ask(Waiter("next"))
    one.came()
    other.came()
    assert (one.holder and one.holder.owner, other.holder and other.holder.owner) == ("call", "next")
    other.leave("next")
    assert other.due() == "release"
    assert other.failed(OSError()) is None
