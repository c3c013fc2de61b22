"""The machine that is measured on, and where the results go."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from krakenonce.backends.file.filesystem import _mounts, filesystem_of

RESULTS = Path(__file__).parent / "results"


def machine(directory: Path) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "file system": filesystem_of(directory.resolve(), _mounts()),
        "date": time.strftime("%Y-%m-%d"),
    }


def say(what: str) -> None:
    """Print one line of progress."""
    print(f"measuring: {what} ...", file=sys.stderr, flush=True)
