"""``NAME SECONDS``: a process that holds the lane of the key A or B, and then says for how long it did."""

from __future__ import annotations

import sys
import time

from krakenonce import NonceManager
from tests.runtimes.programs.given import KEYS, meet


def main(name: str, seconds: float) -> None:
    """Take the lane, meet the process that wants it, and keep it for some seconds."""
    with NonceManager().lane(KEYS["AB".index(name)][0]):
        meet(2, "held")
        time.sleep(seconds)
    print("released")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
