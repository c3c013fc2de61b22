"""Programs that gevent or eventlet has patched: many greenlets in one thread, several such processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

CALLS = 160
PATCHED = ("gevent", "eventlet")
PARTLY = ("gevent without thread", "gevent socket", "eventlet without thread")


def run_crew(programs: Programs, patch: str, client: str, processes: int, greenlets: int) -> list[Any]:
    """Make the calls, shared by the greenlets of some processes; return what the processes say."""
    calls = CALLS // processes // greenlets
    words = ("greenlet_calls", patch, client, *map(str, (processes, greenlets, calls)))
    started = [programs.run(*words) for _ in range(processes)]
    return [each.result() for each in started]


@pytest.mark.parametrize(("processes", "greenlets"), [(2, 8), (4, 4)])
@pytest.mark.parametrize("client", ["krakenex", "Kraken"])
@pytest.mark.parametrize("patch", PATCHED)
def test_greenlets_on_two_keys(
    programs: Programs, server: WatchedKraken, patch: str, client: str, processes: int, greenlets: int
) -> None:
    """All calls of greenlets that use two keys in turn are made, one at a time on each key, and no greenlet stops."""
    said = run_crew(programs, patch, client, processes, greenlets)
    errors = [error for each in said for error in each["errors"]]
    assert not errors, f"{len(errors)} errors, one of them:\n{errors[0]}"
    assert sum(each["made"] for each in said) == CALLS
    assert_in_turn(server, CALLS)


@pytest.mark.parametrize("client", ["krakenex", "Kraken"])
@pytest.mark.parametrize("patch", PARTLY)
def test_greenlets_of_a_partly_patched_program(
    programs: Programs, server: WatchedKraken, patch: str, client: str
) -> None:
    """Where threads are not patched, two calls of a key are never under way together, whatever else comes of it."""
    said = run_crew(programs, patch, client, 2, 8)
    assert_in_turn(server, sum(each["made"] for each in said))
    untyped = [error for each in said for error in each["errors"] if "LaneError: " not in error]
    assert not untyped, untyped[0]


@pytest.mark.parametrize("patch", PATCHED)
def test_a_timeout_is_kept_while_others_go_on(programs: Programs, patch: str) -> None:
    """A greenlet that waits a second for another process gets LaneTimeout in time, and the others run meanwhile."""
    programs.run("holder", "A", "6")
    said = programs.run("greenlet_lane", patch, "timeout").result()
    assert said["outcome"][0] == "LaneTimeout"
    assert 0.9 < said["outcome"][1] < 2.0
    assert said["gap"] < 0.5


@pytest.mark.parametrize("patch", PATCHED)
def test_a_wait_lets_others_go_on(programs: Programs, patch: str) -> None:
    """A greenlet that waits for another process gets the turn after it, and the others run meanwhile."""
    programs.run("holder", "A", "1.5")
    said = programs.run("greenlet_lane", patch, "wait").result()
    assert said["outcome"][0] == "taken"
    assert said["outcome"][1] < 3.0
    assert said["gap"] < 0.5


@pytest.mark.parametrize("patch", [*PATCHED, *PARTLY])
def test_a_greenlet_enters_again(programs: Programs, patch: str) -> None:
    """The greenlet that holds a lane may enter it again; another one cannot before the outer block has ended."""
    said = programs.run("greenlet_lane", patch, "reenter").result()
    assert said["outcome"] == "both left"
    first, second, last = said["others"]
    assert "taken" not in (first, second)
    assert last == "taken"
