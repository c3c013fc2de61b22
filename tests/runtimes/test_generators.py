"""Twisted's inlineCallbacks and Tornado's gen.coroutine: generators that leave their thread at each ``yield``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtimes.processes import Programs

TURNS = 2 * 5
LIBRARIES = {
    ("twisted_lane",): "Twisted",
    ("tornado_lane", "callback"): "Tornado",
    ("tornado_lane", "task"): "Tornado",
}


@pytest.mark.parametrize("words", LIBRARIES, ids=" ".join)
def test_two_generators_never_have_the_turn(programs: Programs, words: tuple[str, ...]) -> None:
    """Two generators of one thread that yield within ``with lane`` never hold it both at the same time."""
    said = programs.run(*words).result()
    assert said["failures"] == []
    assert said["most"] <= 1


@pytest.mark.parametrize("words", LIBRARIES, ids=" ".join)
def test_who_cannot_have_the_turn_is_told(programs: Programs, words: tuple[str, ...]) -> None:
    """A generator that cannot have the turn gets a LaneError that names its library."""
    said = programs.run(*words).result()
    assert said["turns"] + len(said["errors"]) == TURNS
    assert said["errors"]
    assert [error for error in said["errors"] if LIBRARIES[words] not in error] == []
