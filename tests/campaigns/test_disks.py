"""The campaign of disks, for a moment; and that it notices a backend that a bad disk can break."""

import time
from pathlib import Path

import pytest

from prove import lost_pages
from prove.campaign import Broken, Trial
from prove.disks import full_and_read_only, run
from prove.giving_up import giving_up
from prove.lost_pages import failed_syncs
from tests.campaigns.makers import HalfSilent, Retrying, Silent, TrustingFailedSync


def test_no_disk_breaks_the_order(tmp_path: Path) -> None:
    """Full, read-only, and with syncs that fail, for a moment each, as far as this machine can have it."""
    figures = run(Trial(tmp_path, 1, 1.5))
    assert figures["nonces"] > 0


def test_a_backend_that_trusts_a_failed_sync_is_found(tmp_path: Path) -> None:
    """It has reported no error for a sync that failed."""
    with pytest.raises(Broken, match="syncs failed"):
        failed_syncs(Trial(tmp_path, 1, 0), TrustingFailedSync, time.monotonic() + 10)


def test_nonces_issued_after_a_failed_sync_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors aside: what the second sync says to be on the disk is not there after the power cut."""
    monkeypatch.setattr(lost_pages, "_check_reported", lambda *_: 0)
    monkeypatch.setattr(lost_pages, "_ONE_IN", 1)
    with pytest.raises(Broken, match="nonces are wrong"):
        failed_syncs(Trial(tmp_path, 5, 0), TrustingFailedSync, time.monotonic() + 50)  # it takes less than five


def test_a_backend_that_does_not_report_each_failed_sync_is_found(tmp_path: Path) -> None:
    """Three in four are tried again without an error."""
    with pytest.raises(Broken, match="syncs failed"):
        failed_syncs(Trial(tmp_path, 1, 0), Retrying, time.monotonic() + 10)


def test_a_backend_that_goes_on_when_its_disk_has_given_up_is_found(tmp_path: Path) -> None:
    """Nonces that were never written."""
    with pytest.raises(Broken, match=r"issued on a read-only disk|nonces are wrong"):
        giving_up(Trial(tmp_path, 1, 0), HalfSilent, 0)


def test_a_backend_that_goes_on_without_its_disk_is_found(tmp_path: Path) -> None:
    """Nonces that were never written, from a disk that is full or read-only."""
    with pytest.raises(Broken, match=r"issued on a read-only disk|nonces are wrong"):
        full_and_read_only(Trial(tmp_path, 1, 0), Silent, 0)
