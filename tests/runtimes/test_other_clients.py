"""Clients that few know, guarded by one line in the program, or by `krakenonce run` without any."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from krakenonce.running.hook import CLOCKS as CLOCKED
from tests.runtimes.processes import BOTS, ROOT, need
from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

PROGRAM = ("-m", "tests.runtimes.programs.other_clients")
CALLS, MANY = 10, 40
HERE = ("typed_kraken", "kraken_py", "cryptobob")  # in the tests' environment; the others are in that of the bots
CLIENTS = ("krakipy", "pykrakenapi", "typed_kraken", "kraken_py")
# They make the nonce from a clock, in the middle of the method that sends.
CLOCKS = [kind.replace("-", "_") for kind, *_ in CLOCKED.values()]
every = pytest.mark.parametrize("client", CLIENTS)


def python_with(client: str) -> str:
    """Return the interpreter that has this client."""
    if client not in HERE:
        need(str(BOTS / "python"))
        return str(BOTS / "python")
    if find_spec(client) is None:
        assert sys.version_info < (3, 12), "make test-integrations installs it"
        pytest.skip(f"{client} is for Python 3.12 or newer")
    return sys.executable


@every
def test_a_client_that_few_know_takes_its_turn(programs: Programs, server: WatchedKraken, client: str) -> None:
    """Three processes with it share a key: one call at a time, each with a nonce of ours."""
    python = python_with(client)
    started = [programs.system(python, *PROGRAM, client, "guard") for _ in range(3)]
    for program in started:
        program.wait()
    assert_in_turn(server, 3 * CALLS)
    assert {len(str(arrival.nonce)) for arrival in server.fake.arrivals} == {19}


@every
def test_it_sends_nothing_during_a_lockout(
    programs: Programs, server: WatchedKraken, account: FakeAccount, client: str
) -> None:
    """Kraken refuses a nonce, then says that the key is locked out; no later program sends a third call."""
    python = python_with(client)
    server.fake.rules.change(lockout_after=1)
    account.last_nonce = 2**62
    for _ in range(3):
        assert programs.system(python, *PROGRAM, client, "guard").ended() != 0
    assert len(server.fake.arrivals) == 2


@every
def test_a_program_with_it_is_guarded_without_a_line(programs: Programs, server: WatchedKraken, client: str) -> None:
    """Two programs share the key with nothing but the command in front, also from an environment without krakenonce."""
    python = python_with(client)
    words = ("krakenonce", "run", "--", python, *PROGRAM, client, "bare")
    started = [programs.system(sys.executable, "-m", *words) for _ in range(2)]
    for program in started:
        assert f"krakenonce: {CALLS} private calls went through krakenonce in 1 process" in program.wait()
    assert_in_turn(server, 2 * CALLS)
    assert {len(str(arrival.nonce)) for arrival in server.fake.arrivals} == {19}


def test_the_page_names_the_versions_with_a_clock_that_are_run() -> None:
    """What it says of a version was tried with it."""
    page = (ROOT / "docs" / "how-to" / "run-a-bot.md").read_text(encoding="utf-8")
    pinned = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, *_ in CLOCKED.values():
        assert re.findall(rf"\b{name} ([\d.]+\d)", page) == re.findall(rf'"{name}==(.+?)"', pinned)


@pytest.mark.parametrize("way", ["alone", "run"])
@pytest.mark.parametrize("client", CLOCKS)
def test_two_programs_with_a_clock_share_a_key(
    programs: Programs, server: WatchedKraken, client: str, way: str
) -> None:
    """Alone, each makes its nonces from its own clock, and Kraken refuses those that are overtaken."""
    python = python_with(client)
    before = (sys.executable, "-m", "krakenonce", "run", "--") if way == "run" else ()
    started = [programs.system(*before, python, *PROGRAM, client, "bare") for _ in range(2)]
    told = [program.wait() for program in started]
    if way == "alone":
        assert server.fake.invalid_nonces()
        return
    for text in told:
        first, *_, last = text.splitlines()
        assert re.search(f"clients of .*{client.replace('_', '-')}.* are guarded", first)
        assert f"krakenonce: {MANY} private calls went through krakenonce in 1 process" in last
        assert f"clients guarded: {client.replace('_', '-')} " in last
    questions = sum(arrival.method == "GetAPIKeyInfo" for arrival in server.fake.arrivals)  # within a call's turn
    assert_in_turn(server, 2 * MANY + questions)
    assert {len(str(arrival.nonce)) for arrival in server.fake.arrivals} == {19}
