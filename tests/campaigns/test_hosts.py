"""The campaign of hosts that share a state, for a moment; and that it notices what a broken backend does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.testing.checker import Issue
from prove.campaign import Broken, Trial
from prove.hosts import run
from prove.hosts.crew import ALL, Fault
from prove.hosts.judge import OLD_SIDE, judge
from prove.hosts.servers import SERVERS, Etcd, Postgres, Servers, Valkey
from prove.pipe import Note, Reported
from tests.campaigns.shared_makers import failing, hanging, same_server, two_states, unfenced

if TYPE_CHECKING:
    from pathlib import Path

    from prove.hosts.worker import Maker

SEED = 1  # of which the server that is promoted lacks the last nonces
LOSS = "promote with loss"
MS = 10**6


def test_hosts_and_servers_that_fail_cost_no_order(tmp_path: Path) -> None:
    """All of it happens within some seconds, on all kinds of servers."""
    figures = run(Trial(tmp_path, SEED, 1.0))
    assert figures["rounds"] == figures["overtaken"] == len(SERVERS)
    assert min(figures[what] for what in ("kills", "calls accepted", "turns lost", "not sent", OLD_SIDE)) > 0


@pytest.mark.parametrize("kind", SERVERS)
def test_nonces_without_a_fence_are_found(tmp_path: Path, kind: type[Servers]) -> None:
    """A holder that was paused gets a nonce all the same, and another one's call is refused."""
    with pytest.raises(Broken, match=r"(?s)which had lost its turn.*Kraken refused.*to which nothing was done"):
        run(Trial(tmp_path, SEED, 0.1), unfenced, [kind], [])


@pytest.mark.parametrize(
    ("maker", "kind", "complaint"),
    [
        (same_server, Postgres, "postgres: .* nonces are wrong"),
        (two_states, Valkey, "valkey: .* nonces are wrong"),
        (hanging, Etcd, "etcd: not all processes go on within"),
        (failing, Postgres, "postgres: process .* failed: .* no turn"),
    ],
)
def test_broken_states_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: Maker, kind: type[Servers], complaint: str
) -> None:
    """A promotion that is not noticed, hosts with two states, and processes that end or hang."""
    monkeypatch.setattr("prove.pipe.MAX_WAIT", 10.0)  # on a busy machine a start takes seconds
    with pytest.raises(Broken, match=complaint):
        run(Trial(tmp_path, SEED, 0.1), maker, [kind], [LOSS] if kind is Postgres else [])


def call(number: int, nonce: int, asked: int, answered: int, ended: int, what: str = "accepted") -> Reported:
    """A process that makes one call, at these milliseconds."""
    who = f"{number}-{nonce}"
    notes = [Note(who, asked * MS, "life", str(number)), Note(who, ended * MS, what, str(nonce))]
    return Reported([Issue(asked * MS, answered * MS, nonce, who)], notes)


def all_of(*calls: Reported) -> Reported:
    """These calls together."""
    return Reported([issue for each in calls for issue in each.issues], [note for each in calls for note in each.notes])


LATE, NEXT = call(1, 10, 0, 1, 9, "refused"), call(2, 11, 2, 3, 4)


@pytest.mark.parametrize(
    "fault", [Fault("stop", (1,), 1 * MS, 8 * MS), Fault("server killed", tuple(ALL), 8 * MS, 99 * MS)]
)
def test_who_was_paused_or_had_no_server_during_its_call_may_be_refused(fault: Fault) -> None:
    """It is the promise's exception, and is counted."""
    assert judge(all_of(LATE, NEXT), [10], [fault], 1.0)["refused in a fault of their own"] == 1


@pytest.mark.parametrize(
    "fault",
    [Fault("stop", (2,), 1 * MS, 8 * MS), Fault("stop", (1,), 10 * MS, 11 * MS), Fault("stop", (1,), -2 * MS, -1 * MS)],
)
def test_who_was_not_disturbed_during_its_call_must_not_be_refused(fault: Fault) -> None:
    """Another one was, or it was before the call or after it."""
    with pytest.raises(
        Broken, match=r"refused a call of process 1, to which nothing was done: .*ended after 9\.0 ms; near"
    ):
        judge(all_of(LATE, NEXT), [10], [fault], 1.0)


def test_a_machine_that_stands_still_is_a_pause() -> None:
    """The call took longer than its turn lasts."""
    assert judge(all_of(LATE, NEXT), [10], [], 0.005)["refused in a fault of their own"] == 1


def test_a_nonce_that_was_sent_and_not_reported_is_found() -> None:
    """It cannot be judged."""
    with pytest.raises(Broken, match="Kraken refused 12, which nobody has reported"):
        judge(all_of(LATE, NEXT), [12], [], 1.0)


def test_a_nonce_after_a_lost_turn_is_found_though_kraken_accepts_it() -> None:
    """Another one had a turn while the process was stopped in its own."""
    stopped = Fault("stop after the turn", (1,), 1 * MS, 8 * MS)
    with pytest.raises(Broken, match="process 1, which had lost its turn"):
        judge(all_of(call(1, 12, 0, 9, 10), NEXT), [], [stopped], 1.0)
    assert judge(all_of(call(1, 12, 0, 9, 10), call(2, 11, -2, -1, 0)), [], [stopped], 1.0)["calls accepted"] == 2


OLD = Fault(OLD_SIDE, (1,), 100 * MS, 20_000 * MS)
BEFORE, AFTER = call(1, 10, 0, 1, 9), call(1, 90, 20_001, 20_002, 20_003)
NEW_SIDE = call(2, 50, 200, 210, 220)


def on_old_side(nonce: int, answered: int) -> Reported:
    """One that the old server has given."""
    return call(1, nonce, answered - 5, answered, answered + 5)


def test_the_old_side_of_a_split_may_give_smaller_nonces_for_ten_seconds() -> None:
    """Kraken may refuse them. Each side keeps the order by itself, and what was before it and comes after it."""
    late = on_old_side(11, 9_000)
    found = judge(all_of(BEFORE, NEW_SIDE, late, AFTER), [11], [OLD], 1.0)
    assert (found[OLD_SIDE], found["refused in a fault of their own"]) == (1, 1)


@pytest.mark.parametrize(
    ("calls", "complaint"),
    [
        ((on_old_side(11, 13_000),), "went on for more than ten seconds"),
        ((on_old_side(51, 300),), "new side of a split gave 50, and the old one larger"),
        ((on_old_side(50, 300),), "both sides of a split gave"),
        ((on_old_side(9, 300),), "1 nonces are wrong"),
        ((on_old_side(12, 300), on_old_side(11, 400)), "1 nonces are wrong"),
        ((on_old_side(11, 300), call(3, 49, 400, 410, 420)), "1 nonces are wrong"),
    ],
)
def test_a_split_that_does_more_is_found(calls: tuple[Reported, ...], complaint: str) -> None:
    """It goes on for longer, gives larger nonces or the same, or a side does not keep its own order."""
    with pytest.raises(Broken, match=complaint):
        judge(all_of(BEFORE, NEW_SIDE, *calls, AFTER), [], [OLD], 1.0)


def test_the_new_side_of_a_split_must_not_be_refused() -> None:
    """The old side has only smaller nonces."""
    with pytest.raises(Broken, match="refused a call of process 2, to which nothing was done"):
        judge(all_of(BEFORE, on_old_side(11, 300), NEW_SIDE, AFTER), [50], [OLD], 1.0)
