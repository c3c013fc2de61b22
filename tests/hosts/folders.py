"""Folders for servers: whatever becomes of the tests, no server and no data is left."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# It waits for the end of the process that has started it: then its input ends, also after SIGKILL. A number of a
# process that has ended may be another one's by then.
_AT_THE_END = """
import contextlib, os, pathlib, shutil, signal, sys
sys.stdin.buffer.read()
folder = pathlib.Path(sys.argv[1])
for file in (*folder.glob("*/postmaster.pid"), *folder.glob("*.pid")):
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(file.read_text().split()[0])
        if str(folder).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
shutil.rmtree(folder, ignore_errors=True)
"""


@contextlib.contextmanager
def folder_of_servers() -> Iterator[Path]:
    """Give a folder; at the end, or when this process is killed, its servers are killed and it is removed."""
    folder = tempfile.mkdtemp(prefix="krakenonce-servers-")  # not pytest's own, which other users may not enter
    command = [sys.executable, "-I", "-c", _AT_THE_END, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:  # leaving closes its input
        try:
            yield Path(folder)
        finally:
            guard.communicate()
