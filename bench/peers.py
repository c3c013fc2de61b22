"""Other ways to make a nonce, each as a function that returns the next one. The formulas are those of the projects."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from fcntl import LOCK_EX, LOCK_UN, flock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Next = Callable[[], int]


def seed(directory: Path) -> Next:
    """A lock, the rule, and open, write, close for each nonce; nothing is synced, no other process is excluded."""
    lock = threading.RLock()
    path = directory / "seed.txt"
    last = 0

    def next_nonce() -> int:
        nonlocal last
        with lock:
            last = max(last + 1, time.time_ns())
            with path.open("w") as file:
                file.write(str(last))
            return last

    return next_nonce


def bare_steps(directory: Path) -> Next:
    """The system calls that a shared nonce needs: lock, read, write, unlock. No mark, no checks."""
    lock = os.open(directory / "bare.lock", os.O_RDWR | os.O_CREAT)
    text = os.open(directory / "bare.txt", os.O_RDWR | os.O_CREAT)
    os.pwrite(text, b"%d" % time.time_ns(), 0)

    def next_nonce() -> int:
        flock(lock, LOCK_EX)
        nonce = max(int(os.pread(text, 64, 0)) + 1, time.time_ns())
        os.pwrite(text, b"%d" % nonce, 0)
        flock(lock, LOCK_UN)
        return nonce

    return next_nonce


def sqlite_wal(directory: Path) -> Next:
    """One row in SQLite, write-ahead log, synchronous=FULL: shared and safe against a power cut."""
    connection = sqlite3.connect(directory / "nonces.sqlite", isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS nonce (id INTEGER PRIMARY KEY, last INTEGER)")
    connection.execute("INSERT OR IGNORE INTO nonce VALUES (1, 0)")
    step = "UPDATE nonce SET last = max(last + 1, ?) WHERE id = 1 RETURNING last"

    def next_nonce() -> int:
        ((nonce,),) = connection.execute(step, (time.time_ns(),)).fetchall()
        return int(nonce)

    return next_nonce


def krakenex(_: Path) -> Next:
    """The formula of krakenex 2.2.2: the clock in milliseconds."""
    return lambda: int(1000 * time.time())


def python_kraken_sdk(_: Path) -> Next:
    """The formula of python-kraken-sdk 3.5.1: a float clock in units of 10 ns."""
    return lambda: int(time.time() * 100_000_000)


def ccxt(_: Path) -> Next:
    """The formula of ccxt 4.5 (Python): the clock in milliseconds, one more if it has not moved; no lock."""
    last = 0

    def next_nonce() -> int:
        nonlocal last
        now = int(time.time() * 1000)
        last = last + 1 if now <= last else now
        return last

    return next_nonce


def ours(directory: Path) -> Next:
    """krakenonce: one NonceManager."""
    from krakenonce import NonceManager

    return NonceManager(directory / "krakenonce").next


PEERS: dict[str, Callable[[Path], Next]] = {
    "krakenonce": ours,
    "bare steps": bare_steps,
    "open, write, close": seed,
    "SQLite WAL, FULL": sqlite_wal,
    "krakenex formula": krakenex,
    "python-kraken-sdk formula": python_kraken_sdk,
    "ccxt formula": ccxt,
}
