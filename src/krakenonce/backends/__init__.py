"""Where the number lives."""

from .file import FileStore
from .memory import MemoryStore
from .opening import find_backend, open_store
from .protocol import SERVED, Backend, ScopeStats, Shared

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
