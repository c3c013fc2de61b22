"""The acceptance scripts of the global API, each as it stands, in a process and an empty directory of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "seed"

# A usage example finds a client called `api`, which shows what it is asked for.
WITH_API = """
import runpy, sys

class Api:
    def query_private(self, method, params):
        print(method, params)
        return {"error": [], "result": {}}

runpy.run_path(sys.argv[1], init_globals={"api": Api()})
"""

# A check runs in a bot that has made two calls.
WITH_NUMBERS = """
import runpy, sys
from bot.global_kraken_nonce import get_global_kraken_nonce

get_global_kraken_nonce(), get_global_kraken_nonce()
runpy.run_path(sys.argv[1])
"""


def run(directory: Path, *arguments: str | Path) -> str:
    """Run Python with *arguments* in *directory* and return what it printed; warnings are errors."""
    environ = {name: value for name, value in os.environ.items() if name != "KRAKENONCE_STATE_DIR"}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH")]))
    command = [sys.executable, "-X", "utf8", "-W", "error", *arguments]
    done = subprocess.run(
        command, cwd=directory, env=environ, capture_output=True, encoding="utf-8", timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("singleton.py", r"✅ Singleton test passed\n"),
        ("monotonic_nonces.py", r"✅ Monotonic test passed\n   Nonces generated: \d{19} → \d{19}\n"),
        (
            "thread_safety.py",
            r"✅ Thread safety test passed\n   Generated 1000 unique nonces across 10 threads\n",
        ),
        ("persistence.py", r"✅ Persistence test passed\n   Nonce persisted: \d{19}\n"),
    ],
)
def test_an_acceptance_script_passes(script: str, printed: str, tmp_path: Path) -> None:
    """Each script ends well and prints that it has passed."""
    assert re.fullmatch(printed, run(tmp_path, SCRIPTS / script))


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("usage_nonce.py", r"Balance \{'nonce': \d{19}, 'pair': 'XXBTZUSD'\}\n"),
        ("usage_lock.py", r"Balance \{'nonce': \d{19}\}\n"),
    ],
)
def test_a_usage_example_makes_its_call(script: str, printed: str, tmp_path: Path) -> None:
    """Each usage example calls the client with a number of 19 digits."""
    assert re.fullmatch(printed, run(tmp_path, "-c", WITH_API, SCRIPTS / script))


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("check_serialization.py", r"API serialization enabled: True\nTotal nonces issued: 2\n"),
        ("check_rate.py", r"Nonces per second: \d+\.\d\d\nAverage: ~\d+\.\d seconds between calls\n"),
    ],
)
def test_a_check_of_a_running_bot_shows_its_figures(script: str, printed: str, tmp_path: Path) -> None:
    """Each check prints the statistics of the process it runs in."""
    assert re.fullmatch(printed, run(tmp_path, "-c", WITH_NUMBERS, SCRIPTS / script))


def test_the_scripts_share_one_rising_number(tmp_path: Path) -> None:
    """Run one after the other in one directory, each process goes on above the last number of the one before."""
    file = tmp_path / "data" / "kraken_global_nonce.txt"
    seen = []
    for script in ("monotonic_nonces.py", "thread_safety.py", "persistence.py"):
        run(tmp_path, SCRIPTS / script)
        seen.append(int(file.read_text()))
    assert seen == sorted(set(seen))
