"""What campaigns on disks have in common: the system's tools, and the check for nonces from a read-only disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from prove.campaign import Broken, NotHere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prove.pipe import Reported

__all__ = ["check_frozen", "fill", "frozen", "image_disk", "run_tool", "small_disk"]


def run_tool(name: str, *words: str) -> int:
    """Run a tool of the system, such as mount; return its exit code."""
    tool = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if tool is None:
        return -1
    return subprocess.run([tool, *words], capture_output=True, check=False).returncode


@contextlib.contextmanager
def small_disk(point: Path) -> Iterator[Path]:
    """A file system of four MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotHere("only root on Linux may mount a small disk to fill")
    point.mkdir()
    if run_tool("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)):
        raise NotHere("this machine does not let us mount a file system")
    try:
        if any(run_tool("mount", "-o", f"remount,{how}", str(point)) for how in ("ro", "rw")):
            raise NotHere("this machine does not let us mount a file system again")
        yield point
    finally:
        run_tool("umount", "-l", str(point))


@contextlib.contextmanager
def image_disk(point: Path) -> Iterator[Path]:
    """A disk with a file system (ext4) that can be frozen, in an image beside *point*."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotHere("only root on Linux may mount a disk to freeze")
    point.mkdir()
    image = point.with_suffix(".image")
    image.touch()
    os.truncate(image, 64 * 2**20)
    if run_tool("mkfs.ext4", "-q", str(image)) or run_tool("mount", "-o", "loop", str(image), str(point)):
        raise NotHere("this machine does not let us mount an image of a disk")
    try:
        yield point
    finally:
        run_tool("umount", "-l", str(point))


@contextlib.contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Freeze a disk, as backups of it do: who writes waits."""
    if run_tool("fsfreeze", "--freeze", str(disk)):
        raise NotHere("this machine does not let us freeze a disk")
    try:
        yield
    finally:
        run_tool("fsfreeze", "--unfreeze", str(disk))


def fill(disk: Path) -> None:
    """Fill the disk to its last byte."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def check_frozen(reported: Reported, spans: list[tuple[int, int]]) -> None:
    """Raise Broken if a nonce was asked for and issued within one of the spans in which the disk was read-only."""
    for issue in reported.issues:
        if any(began < issue.asked and issue.answered < ended for began, ended in spans):
            raise Broken(f"issued on a read-only disk: {issue}")
