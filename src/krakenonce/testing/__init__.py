"""A fake Kraken to test bots against, as an object and as a real HTTP server.

Each name is imported when it is first used: pytest imports the plugin in this package in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.fake_kraken import FakeKraken
    from krakenonce.testing.faults import Fault
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.request import Arrival
    from krakenonce.testing.rules import Rules
    from krakenonce.testing.server import FakeKrakenServer
else:
    _HOMES = {
        "ApiKey": "keys",
        "Arrival": "request",
        "FakeAccount": "accounts",
        "FakeKraken": "fake_kraken",
        "FakeKrakenServer": "server",
        "Fault": "faults",
        "Rules": "rules",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value


__all__ = ["ApiKey", "Arrival", "FakeAccount", "FakeKraken", "FakeKrakenServer", "Fault", "Rules"]
