from pathlib import Path

import pytest

from prove.campaign import Broken, Trial
from prove.crash_points import run
from prove.crash_scenarios import SCENARIOS
from tests.campaigns.breaks import BREAKS, Break

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def test_no_nonce_is_issued_again_after_any_crash_point(tmp_path: Path) -> None:
    """Whatever call was the last one, and whatever the disk then has, nonces continue above all that were issued."""
    figures = run(Trial(tmp_path, 1, 0), [BY_NAME["the mark is raised"]])
    assert figures["crash points"] > 10
    assert figures["disk states"] > 100


@pytest.mark.parametrize("each", [each for each in BREAKS if isinstance(each.caught, str)], ids=lambda each: each.name)
def test_a_broken_backend_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: Break) -> None:
    """The campaign can fail: one line of the backend is changed, and a nonce is issued again, or could be."""
    each.apply(monkeypatch)
    with pytest.raises(Broken):
        run(Trial(tmp_path, 1, 60), [BY_NAME[str(each.caught)]], each.first)
