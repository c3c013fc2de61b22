"""Threads, locks and pipes of the operating system, also where gevent or eventlet has replaced them.

Both change Python's module ``_thread`` in place; what is used here is a second copy of it. With eventlet 0.41,
``os.read`` and ``os.write`` let other greenlets run first; those in ``posix`` do not.
"""

from __future__ import annotations

import importlib.util
import posix
from importlib.machinery import BuiltinImporter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import _thread as _original
else:
    _spec = BuiltinImporter.find_spec("_thread")
    _original = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_original)

read, write = posix.read, posix.write
RLock = _original.RLock
allocate_lock = _original.allocate_lock
get_ident = _original.get_ident
start_new_thread = _original.start_new_thread
