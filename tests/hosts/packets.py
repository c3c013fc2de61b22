"""Packets that vanish: what arrives for a socket is dropped by the kernel before TCP sees it, on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import socket

_ATTACH_FILTER, _DETACH_FILTER = 26, 27  # SO_ATTACH_FILTER and SO_DETACH_FILTER, which the module socket does not name


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def drop_all(fd: int) -> None:
    """Let all packets for a socket vanish: not even TCP acknowledges them. A socket that it accepts inherits that."""
    keep_nothing = _Instruction(0x06, 0, 0, 0)  # BPF_RET | BPF_K: keep 0 bytes
    program = _Program(1, ctypes.pointer(keep_nothing))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setsockopt(fd, socket.SOL_SOCKET, _ATTACH_FILTER, ctypes.byref(program), ctypes.sizeof(program)):
        raise OSError(ctypes.get_errno(), "packets cannot be dropped")


def can_drop() -> bool:
    """Whether the system lets this user do so: some kernels let root only."""
    try:
        with socket.socket() as tried:
            drop_all(tried.fileno())
    except (OSError, AttributeError):  # no Linux
        return False
    return True


def drop_nothing(sock: socket.socket) -> None:
    """Let them arrive again."""
    with contextlib.suppress(OSError):  # none was dropped
        sock.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
