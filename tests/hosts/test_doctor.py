"""What the doctor sees of a state on a server: without a change, and with what it cannot see."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager
from krakenonce.doctor.examining import examine, findings
from krakenonce.errors import NonceStoreError
from krakenonce.journal.copies import add, name_of
from krakenonce.journal.event import Event, to_line
from krakenonce.journal.recorder import journal_of
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS
from krakenonce.key.lockout import LOCKOUT
from krakenonce.key.naming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.doctor.facts import Facts
    from tests.hosts.engines import Engine
    from tests.hosts.servers import Host

OURS = f"key-{os.getpid()}"  # the doctor looks at the states of all running processes, those of other tests among them
KEY = fingerprint(OURS)


def look(url: str) -> Facts:
    """Return what is seen from this host, with another manager than the test's."""
    with NonceManager(url) as manager:
        return examine(manager, "", 0.0, time.time())


def test_a_state_on_a_server_is_fine(engine: Engine) -> None:
    """Its counters, keys and limits are seen, and what is not known is said."""
    with NonceManager(engine.url) as manager:
        api_key = ApiKey(manager, OURS, TIERS["starter"])
        with api_key.turn():
            nonce = api_key.nonce(api_key.place("Balance", {}))
        facts = look(engine.url)
        assert findings(facts) == []
        assert [(each.name, each.last) for each in facts.state.counters] == [("global", nonce)]
        assert list(facts.state.keys) == [KEY]
        assert any("other hosts" in line for line in facts.state.not_known)
        with api_key.turn():
            assert api_key.next() > nonce
        assert manager.peek() == look(engine.url).state.counters[0].last


def test_an_empty_state_on_a_server_stays_empty(engine: Engine) -> None:
    """Nothing is begun on it."""
    facts = look(engine.url)
    assert (findings(facts), facts.state.is_begun, facts.state.keys) == ([], False, {})


def test_a_lockout_and_a_held_lane_on_a_server(engine: Engine, host: Callable[..., Host]) -> None:
    """The lockout of another host, and the lane that this one has."""
    assert host().ask(f"lock_out {OURS}") == "noted"
    with NonceManager(engine.url) as manager, manager.lane(OURS):
        facts = look(engine.url)
    (found,) = findings(facts)
    assert (found.cause, found.key) == ("locked_out", KEY)
    assert LOCKOUT - 60 < facts.state.limits[0].locked_out <= LOCKOUT
    (lane,) = facts.state.held
    assert (lane.key, "has held it for" in lane.holder) == (KEY, True)
    assert look(engine.url).state.held == ()


def test_a_server_that_is_down_is_what_is_wrong(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the server's own words, and without a password."""
    for name, value in engine.impatient().items():
        monkeypatch.setattr(name, value)
    (found,) = findings(look(engine.url_at(1)))
    assert found.cause == "state"
    with NonceManager(engine.url_at(1)) as manager, pytest.raises(NonceStoreError):
        manager.peek()


def test_what_was_noted_on_this_host_is_explained(engine: Engine) -> None:
    """As with a directory."""
    with NonceManager(engine.url) as manager:
        manager.next()
        journal_of(manager.store).note("permission", key=KEY, method="Balance", text="EGeneral:Permission denied")
    assert [each.cause for each in findings(look(engine.url))] == ["permission"]


def test_the_nonces_of_another_host_s_copies_are_not_judged(engine: Engine) -> None:
    """Only the first of each kind in a minute is copied: those between may be missing."""
    refused = Event(time.time(), "invalid_nonce", KEY, method="Balance", before=8, host="other")
    lines = b"".join(to_line(refused._replace(nonce=9 + 5 * number)) for number in range(5))
    with NonceManager(engine.url) as manager:
        manager.next()
        add(manager.store.records, name_of("other"), lines)
    (found,) = findings(look(engine.url))
    assert found.cause == "not_known"
    assert any("on other" in line and "5 times" in line for line in found.evidence)
