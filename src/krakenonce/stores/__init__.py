"""Where the number lives."""

from .file import FileStore
from .memory import MemoryStore
from .opening import default_directory, open_store
from .protocol import NonceStore, ScopeStats

__all__ = ["FileStore", "MemoryStore", "NonceStore", "ScopeStats", "default_directory", "open_store"]
