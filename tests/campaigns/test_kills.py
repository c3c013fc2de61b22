"""The campaign of kills, for a moment; and that it notices nonces that kills can break."""

from pathlib import Path

import pytest

from krakenonce.manager import NonceManager
from prove.campaign import Broken, Trial
from prove.kills import run
from tests.campaigns.makers import Crashing, Forgetful, Hanging, Unlocked


def test_no_kill_breaks_the_order(tmp_path: Path) -> None:
    """Many kills in a second, and all nonces in order."""
    figures = run(Trial(tmp_path, 1, 1.2))
    assert figures["kills"] > 10
    assert figures["starts"] == figures["kills"]  # no process has ended by itself
    assert figures["nonces"] > 100


@pytest.mark.parametrize(("maker", "complaint"), [(Hanging, "hang"), (Crashing, "has crashed: SIGSEGV")])
def test_processes_that_hang_or_crash_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: type[NonceManager], complaint: str
) -> None:
    """After some nonces, in the middle of a round."""
    monkeypatch.setattr("prove.pipe.MAX_WAIT", 3.0)
    with pytest.raises(Broken, match=complaint):
        run(Trial(tmp_path, 1, 20.0), maker)  # until it is found


@pytest.mark.parametrize("maker", [Unlocked, Forgetful])
def test_nonces_out_of_order_are_found(tmp_path: Path, maker: type[NonceManager]) -> None:
    """A counter without a lock, and one that each process has for itself."""
    with pytest.raises(Broken, match="nonces are wrong"):
        run(Trial(tmp_path, 1, 0.1), maker)
