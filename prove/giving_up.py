"""A file system that meets an error and gives up: read-only at once, also for files that are open for writing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prove.campaign import MAX_WAIT, Broken, NotHere
from prove.crew import Crew
from prove.lost_pages import take_or_report
from prove.mounting import check_frozen, run_tool
from prove.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prove.campaign import Figures, Trial
    from prove.pipe import Listener
    from prove.rounds import Maker

__all__ = ["giving_up"]

_CYCLES = 3  # between two checks of what was reported


def giving_up(trial: Trial, maker: Maker, end: float) -> Figures:
    """Until *end*, let an ext4 give up under three processes with open files, and mount it again: they all continue."""
    figures = dict.fromkeys(("times given up", "refusals", "nonces"), 0)
    with _ext4(trial.directory) as disk:
        state = disk / "state"
        rounds = Rounds(state)
        with Crew(trial, [partial(take_or_report, state, maker)] * 3) as crew:
            while time.monotonic() < end or not figures["times given up"]:
                crew.start()
                spans = []
                for _ in range(_CYCLES):
                    spans.append(_give_up(disk, crew.listener))
                    _mount_again(disk, crew)
                    crew.listener.until_reported("the disk is mounted again, and no nonce is issued", "nonce", by=3)
                reported = crew.kill_all()
                rounds.check(reported, maker)
                check_frozen(reported, spans)
                figures["times given up"] += _CYCLES
                figures["refusals"] += reported.count("refused")
                figures["nonces"] = rounds.nonces
    return figures


@contextlib.contextmanager
def _ext4(directory: Path) -> Iterator[Path]:
    """An ext4 of some MiB in a file."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotHere("only root on Linux may mount a disk that gives up")
    image, point = directory / "image", directory / "ext4"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    if run_tool("mkfs.ext4", "-q", "-F", str(image)) or _mount(point):
        raise NotHere("this machine does not let us make an ext4 and mount it")
    try:
        if not _trigger(point).exists():
            raise NotHere("this kernel has no trigger for an error of an ext4")
        yield point
    finally:
        run_tool("umount", "-l", str(point))


def _mount(point: Path) -> int:
    image = point.with_name("image")
    return run_tool("mount", "-t", "ext4", "-o", "loop,errors=remount-ro", str(image), str(point))


def _trigger(point: Path) -> Path:
    device = point.stat().st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    return Path(f"/sys/fs/ext4/{name}/trigger_fs_error")


def _give_up(disk: Path, listener: Listener) -> tuple[int, int]:
    """Let the file system meet an error; return from when until when all of it was surely read-only."""
    _trigger(disk).write_text("krakenonce test")
    began = time.monotonic_ns()
    listener.until_reported("the disk has given up, and nothing is refused", "refused", by=3)
    return began, time.monotonic_ns()


def _mount_again(disk: Path, crew: Crew) -> None:
    """Unmount the disk and mount it again while all processes are stopped, or they would use the directory below."""
    deadline = time.monotonic() + MAX_WAIT
    while True:
        for pid in crew.pids:
            os.kill(pid, signal.SIGSTOP)
        while any(_state(pid) not in "TZ" for pid in crew.pids):
            if time.monotonic() > deadline:
                raise Broken("a process cannot be stopped")
            time.sleep(0.001)
        gone = not run_tool("umount", str(disk))
        if gone and _mount(disk):
            raise Broken("the disk cannot be mounted again")
        for pid in crew.pids:
            os.kill(pid, signal.SIGCONT)
        if gone:
            return
        if time.monotonic() > deadline:
            raise Broken("the disk cannot be unmounted: a process that was refused has a file open")
        time.sleep(0.001)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
