"""A little-known bot, which makes its nonces from a clock in the middle of its request methods, in many ways."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from time import time as now
from time import time_ns
from typing import TYPE_CHECKING, Any

from krakenonce.kraken import wire

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS: dict[str, Callable[[], int | str]] = {
    "int(time.time() * 1000)": lambda: int(time.time() * 1000),
    "int(1000 * time.time())": lambda: int(1000 * time.time()),
    "str(int(time.time() * 1e6))": lambda: str(int(time.time() * 1e6)),
    "str(round(now() * 1000000))": lambda: str(round(now() * 1000000)),
    "f'{now() * 1000:.0f}'": lambda: f"{now() * 1000:.0f}",
    "time.time_ns()": lambda: time.time_ns(),  # noqa: PLW0108 - looked up for each call, as in a method
    "str(time_ns())": lambda: str(time_ns()),
    "time_ns() // 1_000_000": lambda: time_ns() // 1_000_000,
    "int(time_ns() / 1e6)": lambda: int(time_ns() / 1e6),
    "str(now() * 1000 + 0.5)": lambda: str(int(now() * 1000 + 0.5)),
    "'%.0f' % (now() * 1000)": lambda: "%.0f" % (now() * 1000),
    "int(now()) * 1000": lambda: int(now()) * 1000,
}


class Bot:
    """What it sends with."""

    def __init__(self, key: str, secret: str, url: str, way: str) -> None:
        self.api_key, self.secret, self.url, self.nonce = key, secret, url, WAYS[way]
        self.took = 0.0

    def request(self, path: str, params: dict[str, str] | None = None) -> Any:
        """Make a private or a public call."""
        start = time.time()
        if path.startswith("/0/public/"):
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:  # noqa: S310 - http
                return json.load(answer)
        nonce = self.nonce()
        body = wire.encode_form({"nonce": nonce, **(params or {})})
        sign = wire.sign(path, nonce, body, wire.decode_secret(self.secret))
        request = urllib.request.Request(  # noqa: S310 - http
            self.url + path, body.encode(), {"API-Key": self.api_key, "API-Sign": sign}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - http
            found = json.load(answer)
        self.took = time.time() - start
        return found


def key_of(bot: Bot, path: str, *_: Any) -> str | None:
    """Return the key of a private call."""
    return bot.api_key if "/private/" in path else None


def main(key: str, secret: str, url: str, way: str, calls: str) -> None:
    """Make calls, one after the other, with a guarded request method."""
    from krakenonce.guards import guard_method

    guard_method(Bot, "request", key=key_of, clock=sys.modules[__name__])
    bot = Bot(key, secret, url, way)
    for _ in range(int(calls)):
        answer = bot.request("/0/private/Balance")
        assert not answer["error"], answer


if __name__ == "__main__":
    main(*sys.argv[1:])
