"""Where the number lives."""

from krakenonce.backends.file import FileStore
from krakenonce.backends.memory import MemoryStore
from krakenonce.backends.opening import find_backend, open_store
from krakenonce.backends.protocol import SERVED, Backend, ScopeStats, Shared

__all__ = [
    "SERVED",
    "Backend",
    "FileStore",
    "MemoryStore",
    "ScopeStats",
    "Shared",
    "find_backend",
    "open_store",
]
