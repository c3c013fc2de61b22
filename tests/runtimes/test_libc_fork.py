"""A fork by the C library, as extensions and servers written in C do it: Python does not know of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

PROCESSES, CALLS_OF_EACH, CALLS_BEFORE = 4, 4, 2


def test_a_fork_that_calls_nothing(programs: Programs, server: WatchedKraken) -> None:
    """Parent and children take each nonce once, hold a turn one at a time, and call over connections of their own."""
    said = programs.run("libc_fork").result()
    errors = [each["error"] for each in said if each["error"]]
    assert not errors, f"{len(errors)} errors, one of them:\n{errors[0]}"
    nonces = [nonce for each in said for nonce in each["nonces"]]
    assert len(set(nonces)) == len(nonces), "a nonce was issued twice"
    turns = sorted(turn for each in said for turn in each["turns"])
    overlapping = [(one, other) for one, other in pairwise(turns) if other[0] < one[1]]
    assert not overlapping, f"{len(overlapping)} times two processes held the turn"
    assert_in_turn(server, CALLS_BEFORE + PROCESSES * CALLS_OF_EACH)
    shared = [calls for calls in server.connections.values() if len(set(calls)) > 1]
    assert not shared, f"two processes used one connection: {shared[0]}"
