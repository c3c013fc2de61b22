"""A fake Kraken that also notes which calls of a key overlap, and over which connection each one came."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from krakenonce.testing import FakeKrakenServer

if TYPE_CHECKING:
    from aiohttp import web


class WatchedKraken(FakeKrakenServer):
    """The fake Kraken over HTTP, as a judge of what several processes send.

    ``overlaps`` has the methods of the calls that came while another call of their key was not answered yet;
    ``connections`` has, by the port of its other end, the methods that were called over each connection.
    """

    def __init__(self, *arguments: object, **options: float) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type] # they are passed on unchanged
        self.overlaps: list[str] = []
        self.connections: defaultdict[int, list[str]] = defaultdict(list)
        self._flying: Counter[str] = Counter()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        key, method = request.headers.get("API-Key", ""), request.path.rpartition("/")[2]
        if not key:
            return await super()._handle(request)
        if request.transport is not None:
            self.connections[request.transport.get_extra_info("peername")[1]].append(method)
        if self._flying[key]:
            self.overlaps.append(method)
        self._flying[key] += 1
        try:
            return await super()._handle(request)
        finally:
            self._flying[key] -= 1  # before the answer leaves, so that the next call cannot be too early


def assert_in_turn(server: WatchedKraken, calls: int) -> None:
    """All *calls* were accepted; those of a key came one at a time, each with a larger nonce; no nonce came twice."""
    fake = server.fake
    fake.assert_no_invalid_nonce()
    assert server.overlaps == []
    for name in {each.account for each in fake.arrivals}:
        nonces = [each.nonce or 0 for each in fake.arrivals if each.account == name]
        assert nonces == sorted(set(nonces)), f"the nonces of {name} did not rise"
    every = [each.nonce for each in fake.arrivals]
    assert len(set(every)) == len(every), "a nonce came twice"
    assert len(fake.accepted()) == calls
