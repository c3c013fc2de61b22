from pathlib import Path

import pytest

from prove.campaign import Broken
from prove.state_machine import search
from tests.campaigns.breaks import BREAKS, Break


def test_no_order_of_events_issues_a_nonce_again(tmp_path: Path) -> None:
    """Kills, power cuts, bad disks, wrong clocks and deletions in any order: what is promised holds."""
    figures = dict.fromkeys(("examples", "steps", "nonces"), 0)
    search(tmp_path, 1, 20, figures)
    assert figures["examples"] >= 20
    assert figures["nonces"] > 20


@pytest.mark.parametrize("each", [each for each in BREAKS if isinstance(each.caught, int)], ids=lambda each: each.name)
def test_a_broken_backend_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: Break) -> None:
    """The campaign can fail: one line of the backend is changed, and hypothesis finds what comes of it."""
    each.apply(monkeypatch)
    figures = dict.fromkeys(("examples", "steps", "nonces"), 0)
    with pytest.raises(Broken):  # noqa: PT012 - other seeds are tried, for another hypothesis has other luck
        for seed in range(int(each.caught), int(each.caught) + 5):
            search(tmp_path, seed, 60, figures, shrink=False)
