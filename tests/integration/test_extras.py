"""What works with nothing installed but krakenonce, what each extra adds, and what is said without it."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import krakenonce
from krakenonce.__main__ import main

SOURCE = Path(krakenonce.__file__).parent.parent
PACKAGES = {"aiohttp", "click", "krakenex", "prometheus_client", "rich", "urllib3"}  # what all extras together install
PARTS = {  # what an extra installs, and a program that needs all of it
    "client": (
        {"urllib3"},
        """
from krakenonce.brokers.manager import BrokerManager
from krakenonce.kraken import Kraken
Kraken(base_url="http://127.0.0.1:1").server_time()
""",
    ),
    "async": (
        {"aiohttp"},
        """
import asyncio
from krakenonce.brokers.async_manager import AsyncBrokerManager
from krakenonce.kraken import AsyncKraken
asyncio.run(AsyncKraken(base_url="http://127.0.0.1:1").server_time())
""",
    ),
    "cli": (
        {"click", "rich", "urllib3"},
        """
from krakenonce.__main__ import main
sys.argv[1:] = ["call", "Time", "--base-url", "http://127.0.0.1:1"]
sys.exit(main())
""",
    ),
}


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program that can import this krakenonce."""
    return subprocess.run(
        [sys.executable, *options, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )


def without(packages: set[str], program: str) -> subprocess.CompletedProcess[str]:
    """Run a program to which some packages are not installed."""
    return run(f"import sys\nsys.modules.update(dict.fromkeys({sorted(packages)}))\n{program}")


def test_nonces_turns_and_guard_need_the_standard_library_alone(tmp_path: Path) -> None:
    """With no package installed, a manager gives nonces and turns, and guard() takes a client's from it."""
    program = f"""
import asyncio, types, krakenonce
manager = krakenonce.NonceManager({str(tmp_path)!r})
with manager.lane("key"):
    first = manager.next()

def adapter(client, turns):
    def private():
        with turns.lane(client.key):
            return turns.next(client.key)
    client.private = private

client = krakenonce.guard(types.SimpleNamespace(key="key"), manager, adapter=adapter)
print(first < client.private() < manager.next())
"""
    done = run(program, "-S")  # -S: nothing from site-packages
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("from krakenonce.kraken import Kraken", "Kraken needs urllib3: pip install 'krakenonce[client]'"),
        ("import krakenonce.brokers.manager", "Kraken needs urllib3: pip install 'krakenonce[client]'"),
        (
            "import asyncio; from krakenonce.kraken import AsyncKraken; asyncio.run(AsyncKraken().server_time())",
            "AsyncKraken needs aiohttp: pip install 'krakenonce[async]'",
        ),
        (
            "from krakenonce.testing import *; FakeKrakenServer(FakeKraken()).start()",
            "The fake Kraken needs aiohttp: pip install 'krakenonce[testing]'",
        ),
    ],
)
def test_a_missing_extra_is_one_error_that_says_what_to_install(program: str, message: str) -> None:
    """It is a ConfigError, and the package's own ImportError is not shown before it."""
    done = run(program, "-S")
    assert done.stderr.splitlines()[-1] == f"krakenonce.errors.ConfigError: {message}"
    assert "ModuleNotFoundError" not in done.stderr


@pytest.mark.parametrize(
    ("package", "command", "message"),
    [
        ("click", "--version", "the command line needs click: pip install 'krakenonce[cli]'"),
        ("rich", "--version", "the command line needs rich: pip install 'krakenonce[cli]'"),
        ("urllib3", "call Time", "Kraken needs urllib3: pip install 'krakenonce[client]'"),
        ("aiohttp", "gateway run", "the gateway needs aiohttp: pip install 'krakenonce[gateway]'"),
    ],
)
def test_the_command_says_in_one_line_what_to_install(package: str, command: str, message: str) -> None:
    """It fails with exit code 1."""
    start = f"sys.argv[1:] = {command.split()}\nfrom krakenonce.__main__ import main\nsys.exit(main())"
    done = without({package}, start)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"krakenonce: {message}\n")


def test_the_installed_command_is_the_one_that_looks_first() -> None:
    """`krakenonce` and `python -m krakenonce` start in the same place."""
    (script,) = entry_points(group="console_scripts", name="krakenonce")
    assert script.load() is main


@pytest.mark.parametrize("extra", PARTS)
def test_an_extra_installs_what_its_part_needs(extra: str) -> None:
    """With the packages of one extra and no others, its part gets as far as the network."""
    packages, program = PARTS[extra]
    done = without(PACKAGES - packages, program)
    assert "no connection" in done.stderr


def test_the_fake_server_needs_what_its_extra_installs() -> None:
    """With aiohttp alone it serves."""
    done = without(
        PACKAGES - {"aiohttp"},
        "from krakenonce.testing import *\nwith FakeKrakenServer(FakeKraken()) as server: print(server.url)",
    )
    assert done.stdout.startswith("http://127.0.0.1:")
