"""What pages are told of a state that needs some time for each answer, as a database does."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from krakenonce.backends import ScopeStats
from krakenonce.gateway import state_look
from krakenonce.gateway.state_look import StateLook

if TYPE_CHECKING:
    import pytest

    from krakenonce.gateway.state_look import State

PATIENCE = 1.0
EACH = 0.3  # seconds for an answer
KEYS = 5


class SlowKey:
    """A Kraken key about which the state answers slowly."""

    def __init__(self, may_answer: threading.Event) -> None:
        self.name = "a fingerprint"
        self.api_key = SimpleNamespace(locked_out=lambda: 0.0)
        self._may_answer = may_answer

    @property
    def scope(self) -> str:
        """Its counter, after a while."""
        time.sleep(EACH)
        self._may_answer.wait()
        return "global"

    def counters(self) -> dict[str, tuple[float, float]]:
        """None."""
        return {}


def test_a_state_that_answers_slowly_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many keys a page shows what was read last. Only one that answers nothing is said to be silent."""
    monkeypatch.setattr(state_look, "PATIENCE", PATIENCE)
    may_answer = threading.Event()
    may_answer.set()
    accounts: Any = {
        f"USER:{number}": SimpleNamespace(
            keys=[SlowKey(may_answer)], queue=SimpleNamespace(turn="free"), known=SimpleNamespace(out=list)
        )
        for number in range(KEYS)
    }
    others: Any = SimpleNamespace(all=list, stats=ScopeStats)

    async def look() -> tuple[State, State, State]:
        looking = StateLook(accounts, others, others, asyncio.get_running_loop())
        first, again = await looking.get(), await looking.get()
        may_answer.clear()
        silent = await looking.get()
        may_answer.set()
        return first, again, silent

    first, again, silent = asyncio.run(look())
    assert first.silent == again.silent == 0.0
    assert len(first.accounts) == len(again.accounts) == KEYS
    assert silent.silent >= PATIENCE
