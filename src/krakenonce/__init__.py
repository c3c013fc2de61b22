"""Nonces that Kraken accepts: one rising number and one turn per API key."""

from ._version import __version__
from .errors import KrakenonceError
from .manager import NonceManager
from .stores import open_store

__all__ = ["KrakenonceError", "NonceManager", "__version__", "open_store"]
