"""A directory shared by the processes of one host."""

from krakenonce.backends.file.store import FileStore

__all__ = ["FileStore"]
