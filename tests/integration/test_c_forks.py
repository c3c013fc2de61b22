"""Forks made by C code, as uWSGI makes them: Python runs no callback in the child, or only that for children."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CROWD = """
import ctypes, json, os, sys, time
from pathlib import Path
from krakenonce import NonceManager, process
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS

if sys.argv[2] == "by pid":  # as on systems that do not mark a child's memory
    process._mark = process._Process()
manager = NonceManager(sys.argv[1])
key = ApiKey(manager, "key", TIERS["starter"])


def take_turn():
    with key.turn():
        began = time.monotonic_ns()
        key.count(key.place("Balance", {}))
        nonces = [key.next(), manager.next()]
        return [began, time.monotonic_ns(), *nonces]


turns = [take_turn()]
children = []
while len(children) < 3:
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        children, turns = [], []
        if sys.argv[2] == "callback":
            ctypes.pythonapi.PyOS_AfterFork_Child()
        break
    children.append(pid)
turns += [take_turn() for _ in range(300)]
Path(sys.argv[1], f"{os.getpid()}.json").write_text(json.dumps(turns))
for pid in children:
    os.waitpid(pid, 0)
if children:
    print(key.levels().rest, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("callbacks", ["none", "by pid", "callback"])
def test_forks_by_c_code_share_nonces_turns_and_limits(tmp_path: Path, callbacks: str) -> None:
    """A parent that has used its key, and three children: no nonce twice, never two in their turn, all are counted."""
    command = [sys.executable, "-c", CROWD, str(tmp_path), callbacks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    turns = sorted(turn for path in tmp_path.glob("*.json") for turn in json.loads(path.read_text()))
    nonces = [nonce for turn in turns for nonce in turn[2:]]
    assert len(turns) == 1 + 4 * 300
    assert nonces == sorted(set(nonces))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(turns))
    assert float(done.stdout) > len(turns) - 20  # the counter falls by one in three seconds
