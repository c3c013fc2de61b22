"""A state directory that was moved away: its counters are in the folder ``moved``, and a file there says where to.

A process that has their files open finds that they are not in place any more, as after each deletion. It then asks for
the directory again, which refuses.
"""

from __future__ import annotations

import contextlib
import json
import os
from fcntl import LOCK_EX, flock
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import make_directory, open_regular, store_error, sync_directory
from krakenonce.backends.file.records import replace_file
from krakenonce.backends.moved import was_moved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "moved"


def moved_to(directory: Path) -> str | None:
    """Return where the state in *directory* was moved to; None: nowhere. Raises NonceStoreError."""
    path = _note(directory)
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            return str(json.load(file)["to"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise store_error("read", path, error) from error
    except (ValueError, KeyError, TypeError):
        return "another state"  # damaged; that it is there says enough


def refuse_moved(directory: Path) -> None:
    """Raise NonceStoreError if the state in *directory* was moved away."""
    if os.path.exists(_note(directory)) and (to := moved_to(directory)):
        raise was_moved(str(directory), to)


def move_away(directory: Path, counters: list[tuple[str, str]], to: str) -> None:
    """Note where the state was moved to, then move the files of its counters out of the way.

    Args:
        directory: The state directory.
        counters: The names of each counter's files, one of which may be missing: the one that is locked in each step,
            and the other one.
        to: Where the state is now.

    Raises:
        OSError: Some may have been moved. It can be tried again.
    """
    folder = directory / FOLDER
    make_directory(folder)
    replace_file(_note(directory), json.dumps({"to": to}).encode())
    sync_directory(directory)
    for locked, other in counters:
        with _locked(directory / locked):  # a step that is being taken ends first
            for name in (locked, other):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(directory / name, folder / name)
    sync_directory(folder)
    sync_directory(directory)


def move_back(directory: Path) -> None:
    """Undo :func:`move_away`. Raises OSError: it can be tried again."""
    folder = directory / FOLDER
    for name in os.listdir(folder):
        if name != _note(directory).name:
            os.replace(folder / name, directory / name)
    sync_directory(directory)
    _note(directory).unlink()
    sync_directory(folder)


def _note(directory: Path) -> Path:
    return directory / FOLDER / "to.json"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a file if there is one."""
    try:
        fd = open_regular(path, os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    try:
        flock(fd, LOCK_EX)
        yield
    finally:
        os.close(fd)
