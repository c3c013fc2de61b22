"""An event loop of asyncio with a synchronous client beside an asynchronous one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

CALLS = 40


def test_two_loops_with_the_keys_swapped(programs: Programs, server: WatchedKraken) -> None:
    """Two processes use two keys, each the other way round: they end, and each call is made or refused at once."""
    keys = (("A", "B"), ("B", "A"))
    started = [programs.run("asyncio_two_keys", *each, str(CALLS)) for each in keys]
    said = [each.result() for each in started]
    made, refused = sum(each["made"] for each in said), [error for each in said for error in each["refused"]]
    assert made + len(refused) == len(keys) * 3 * CALLS
    assert_in_turn(server, made)
    assert max(each["longest"] for each in said) < 1.0
    assert [error for error in refused if not error.startswith("LaneError: ")] == []


def test_a_call_that_would_block_a_loop_with_a_turn(programs: Programs, server: WatchedKraken) -> None:
    """A blocking call that has to wait while a task of its loop holds any turn is refused at once, and not sent."""
    programs.run("holder", "B", "4")
    said = programs.run("asyncio_blocked").result()
    assert said["refusal"].startswith("LaneError: ")
    assert said["took"] < 1.0
    assert server.fake.arrivals == []
