"""Commands in forks of an interpreter that has imported the command line: each starts in milliseconds."""

from __future__ import annotations

import functools
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["run_forked"]


def run_forked(words: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run ``krakenonce`` with *words* in a process of its own; return its exit code, stdout and stderr."""
    server = _server()
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory) / "out", Path(directory) / "err"
        try:
            print(json.dumps([list(words), dict(env), str(out), str(err)]), file=server.stdin, flush=True)
            assert server.stdout is not None
            code = int(server.stdout.readline())
        except BaseException:  # the answer may still come, and must not be taken for that to the next command
            _server.cache_clear()
            server.kill()
            server.communicate()
            raise
        return code, out.read_text(), err.read_text()


@functools.cache
def _server() -> subprocess.Popen[str]:
    """The interpreter that forks; it ends when this process does."""
    command = [sys.executable, "-W", "error", "-m", __name__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _serve() -> None:
    for module in ("krakenonce.cli.main", "krakenonce.brokers", "krakenonce.gateway.server", "rich.table"):
        importlib.import_module(module)
    gc.freeze()  # collecting what is imported would copy it
    fork = multiprocessing.get_context("fork")
    for line in sys.stdin:
        command = fork.Process(target=_run, args=json.loads(line))
        command.start()
        command.join()
        sys.stdout.write(f"{command.exitcode}\n")
        sys.stdout.flush()


def _run(words: list[str], env: dict[str, str], out: str, err: str) -> None:
    for fd, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), fd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["krakenonce", *words]
    runpy.run_module("krakenonce", run_name="__main__")


if __name__ == "__main__":
    _serve()
