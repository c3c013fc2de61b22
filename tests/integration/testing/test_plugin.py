from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.kraken.helpers import signed
from tests.integration.testing.helpers import NOW, Caller

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "test-your-bot.md"
EXAMPLES = re.findall(r"^```python-test\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

# As the installed entry point names it, so that the tests do not depend on how this copy was installed.
PLUGIN = () if any(entry_points(group="pytest11", name="krakenonce")) else ("-p", "krakenonce.testing.plugin")


def run_pytest(directory: Path, test: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file, as a user's project would, with warnings as errors."""
    (directory / "test_bot.py").write_text(test, encoding="utf-8")
    program = "\n".join([*before, "import pytest, sys", "sys.exit(pytest.main(sys.argv[1:]))"])
    command = [sys.executable, "-c", program, *PLUGIN, "-q", "-W", "error", "-p", "no:cacheprovider", "test_bot.py"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_pages_tests_pass(example: str, tmp_path: Path) -> None:
    """Each pytest example of the how-to is run as its reader would run it."""
    done = run_pytest(tmp_path, example)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_has_tests() -> None:
    """So that the test above is not empty."""
    assert len(EXAMPLES) >= 3


TWO_TESTS = """
import socket
import threading
from urllib.parse import urlsplit

seen = []

def test_one(fake_kraken):
    assert "fake-kraken" in [thread.name for thread in threading.enumerate()]
    seen.append(fake_kraken)
    fake_kraken.add_account("bot")

def test_two(fake_kraken):
    (first,) = seen
    assert first.url == "" and fake_kraken.url.startswith("http://127.0.0.1:")
    assert fake_kraken.accounts == {}

def test_three():
    assert "fake-kraken" not in [thread.name for thread in threading.enumerate()]
"""


def test_each_test_has_a_fake_kraken_of_its_own(tmp_path: Path) -> None:
    """It is served during the test and stopped after it."""
    done = run_pytest(tmp_path, TWO_TESTS)
    assert done.returncode == 0, done.stdout


def test_a_run_without_the_fixture_loads_next_to_nothing(tmp_path: Path) -> None:
    """An installed krakenonce does not slow down every run of pytest."""
    heavy = ["aiohttp", "urllib3", "krakenonce.kraken", "krakenonce.testing.fake_kraken", "krakenonce.testing.server"]
    test = f"import sys\ndef test_light():\n    assert not set({heavy}) & set(sys.modules)\n"
    done = run_pytest(tmp_path, test + "    assert 'krakenonce.testing.plugin' in sys.modules\n")
    assert done.returncode == 0, done.stdout


def test_without_aiohttp_only_the_fixture_fails(tmp_path: Path) -> None:
    """With the line that installs it; tests that do not ask for it pass."""
    test = "def test_other():\n    pass\n\ndef test_bot(fake_kraken):\n    pass\n"
    done = run_pytest(tmp_path, test, "import sys", "sys.modules['aiohttp'] = None")
    assert "pip install 'krakenonce[testing]'" in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_invalid_nonces_are_shown_in_detail(fake: FakeKraken, caller: Caller) -> None:
    """How many of how many; for the first five the account, the method, the nonce and the last one accepted."""
    fake.assert_no_invalid_nonce()
    caller.account.last_nonce = 99
    caller.result("Balance")
    for nonce in range(7):
        fake.answer(*signed(caller.account, "AddOrder", nonce), NOW)
    with pytest.raises(AssertionError) as caught:
        fake.assert_no_invalid_nonce()
    lines = str(caught.value).splitlines()
    assert lines[0] == "7 of 8 private calls were answered with EAPI:Invalid nonce:"
    assert lines[1] == "  bot: AddOrder with nonce 0; the last one accepted was 100"
    assert (len(lines), lines[6]) == (8, "  and 2 more")


def test_a_call_without_a_nonce_is_shown_too(fake: FakeKraken, caller: Caller) -> None:
    """It says that there was none."""
    fake.answer("/0/private/Balance", {"API-Key": caller.account.key}, b"", NOW)
    with pytest.raises(AssertionError, match="bot: Balance with no readable nonce; the last one accepted was 0"):
        fake.assert_no_invalid_nonce()


def test_a_copy_is_not_held_against_the_bot(fake: FakeKraken, caller: Caller) -> None:
    """What the fault duplicate made does not count."""
    request = signed(caller.account, "Balance", 1)
    fake.answer(*request, NOW)
    fake.answer(*request, NOW, is_copy=True)
    assert len(fake.invalid_nonces()) == 1
    fake.assert_no_invalid_nonce()
