"""Tasks of trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtimes.processes import Programs

TURNS = 2 * 5


@pytest.mark.parametrize("what", ["async", "again", "wait"])
def test_tasks_take_turns(programs: Programs, what: str) -> None:
    """With ``async with``, one task holds a lane at a time, also one that enters it again or waits for a process."""
    if what == "wait":
        programs.run("holder", "A", "1.5")
    said = programs.run("trio_lane", what).result()
    assert said["errors"] == []
    assert (said["most"], said["turns"]) == (1, TURNS)
    assert said["gap"] < 0.5


def test_a_timeout_is_kept(programs: Programs) -> None:
    """Tasks that wait half a second for another process get LaneTimeout, and the other tasks run meanwhile."""
    programs.run("holder", "A", "12")
    said = programs.run("trio_lane", "timeout").result()
    assert {error.split(":")[0] for error in said["errors"]} == {"LaneTimeout"}
    assert len(said["errors"]) == TURNS
    assert said["gap"] < 0.5


def test_with_never_gives_two_tasks_the_turn(programs: Programs) -> None:
    """With ``with``, a second task waits or gets a LaneError that names trio; it never has the turn, too."""
    said = programs.run("trio_lane", "sync").result()
    assert said["most"] == 1
    assert [error for error in said["errors"] if "trio" not in error] == []
    assert said["turns"] + len(said["errors"]) == TURNS
