"""A command on a terminal of a certain width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Shell

__all__ = ["on_terminal"]


def on_terminal(shell: Shell, columns: int, *words: str) -> tuple[int, str]:
    """Run a command with a terminal as stdout; return its exit code and all that it wrote there."""
    shell.env = {"TERM": "xterm", **shell.env}
    shell.env.pop("COLUMNS", None)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = shell.start(*words, stdout=theirs)
    os.close(theirs)
    shown = b""
    while piece := _read(ours):
        shown += piece
    os.close(ours)
    return shell.end(process).code, shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody writes there any more
        return b""
