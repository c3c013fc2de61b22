"""Where nonces, turns, rate limits and records are kept."""

from krakenonce.backends.file import FileStore
from krakenonce.backends.memory import BytesInMemory, MemoryStore, OpenGate
from krakenonce.backends.opening import find_backend, open_store
from krakenonce.backends.protocol import SERVED, Backend, ScopeStats, Shared

__all__ = [
    "SERVED",
    "Backend",
    "BytesInMemory",
    "FileStore",
    "MemoryStore",
    "OpenGate",
    "ScopeStats",
    "Shared",
    "find_backend",
    "open_store",
]
