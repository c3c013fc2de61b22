"""A directory shared by the processes of one host."""

from .store import FileStore

__all__ = ["FileStore"]
