"""Nonces for Kraken's private REST API that only rise, and one call at a time per API key.

A name is loaded when it is first used, so that importing the package is fast.
"""

from __future__ import annotations

from krakenonce._version import __version__

TYPE_CHECKING = False  # as in typing, which would take longer to import than all the rest here
if TYPE_CHECKING:
    from krakenonce.backends import open_store
    from krakenonce.errors import KrakenonceError
    from krakenonce.guards import guard
    from krakenonce.journal.hooks import get_on_event_hooks, set_on_event_hooks
    from krakenonce.manager import NonceManager
else:

    def __getattr__(name: str) -> object:
        home = {
            "KrakenonceError": ".errors",
            "NonceManager": ".manager",
            "get_on_event_hooks": ".journal.hooks",
            "guard": ".guards",
            "open_store": ".backends",
            "set_on_event_hooks": ".journal.hooks",
        }.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(home, __name__), name)
        return value


__all__ = [
    "KrakenonceError",
    "NonceManager",
    "__version__",
    "get_on_event_hooks",
    "guard",
    "open_store",
    "set_on_event_hooks",
]
