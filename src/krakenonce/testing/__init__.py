"""A fake Kraken to test bots against, as an object and as a real HTTP server."""

from __future__ import annotations

from krakenonce.testing.fake_kraken import Arrival, FakeAccount, FakeKraken
from krakenonce.testing.server import FakeKrakenServer

__all__ = ["Arrival", "FakeAccount", "FakeKraken", "FakeKrakenServer"]
