"""krakenonce log: what has happened, for people and programs."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce.journal import Event
from krakenonce.journal.event import to_line
from krakenonce.journal.file import JournalFile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Shell

OLD = Event(1_790_000_000.0, "permission", account="USER:alice", key="a" * 16, method="Balance", text="EGeneral:x")


@pytest.fixture
def journal(tmp_path: Path) -> JournalFile:
    """The shell's journal, with an old event of alice and a new one of MASTER."""
    file = JournalFile(tmp_path / "state" / "journal")
    file.append(to_line(OLD) + to_line(Event(time.time() - 60, "invalid_nonce", account="MASTER", nonce=7)))
    return file


def test_each_event_is_one_line_and_the_newest_is_the_last(shell: Shell, journal: JournalFile) -> None:
    """In local time with its offset."""
    shell.env["TZ"] = "Europe/Berlin"
    first, second = shell.end(shell.start("log")).out.splitlines()
    assert first == (
        "2026-09-21 16:13:20+02:00 USER:alice key aaaaaaaaaaaaaaaa, Balance: Kraken refused the call: no permission: "
        "EGeneral:x"
    )
    assert second.endswith("MASTER: Kraken refused the nonce; nonce 7")


@pytest.mark.parametrize(
    ("words", "accounts"),
    [
        ([], ["USER:alice", "MASTER"]),
        (["--since", "1h"], ["MASTER"]),
        (["--since", "30s"], []),
        (["--since", "2026-09-21T00:00:00Z", "--account", "alice"], ["USER:alice"]),
        (["--account", "USER:alice"], ["USER:alice"]),
        (["--account", "a" * 16], ["USER:alice"]),
        (["--account", "bob"], []),
    ],
)
def test_only_what_is_asked_for_is_printed(
    shell: Shell, journal: JournalFile, words: list[str], accounts: list[str]
) -> None:
    """As JSON, an object on each line."""
    told = [json.loads(line) for line in shell.works("log", "--json", *words).splitlines()]
    assert [each["account"] for each in told] == accounts


def test_a_state_without_events_says_so(shell: Shell, tmp_path: Path) -> None:
    """And makes nothing."""
    done = shell.run("log")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"krakenonce: nothing was noted in {tmp_path / 'state' / 'journal'}\n"
    assert not (tmp_path / "state").exists()


def test_what_is_no_time_is_wrong_usage(shell: Shell) -> None:
    """With an example of what is one. A state in memory has no journal for other processes."""
    assert "Write 90m, 1h, 2d or 2026-03-01T04:30" in shell.fails(2, "log", "--since", "yesterday")
    assert "has no journal" in shell.fails(1, "log", "--state", "memory:")


def test_what_happens_is_followed(shell: Shell, journal: JournalFile) -> None:
    """Until Ctrl-C."""
    process = shell.start("log", "--follow", "--json")
    with process:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["what"] for _ in range(2)] == ["permission", "invalid_nonce"]
        journal.append(to_line(OLD._replace(what="adopted")))
        assert json.loads(process.stdout.readline())["what"] == "adopted"
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 130


def test_a_state_on_a_server_has_a_journal_on_each_host(shell: Shell, tmp_path: Path) -> None:
    """Beside this user's state directory, under the server's name without a password. It is shown when that is down."""
    url = "etcd://bot:pass-word@127.0.0.1:1"
    shell.env |= {"XDG_STATE_HOME": str(tmp_path / "home"), "KRAKENONCE_STATE_DIR": url}
    code = "import krakenonce; krakenonce.NonceManager().note('adopted', account='MASTER')"
    shell.end(shell.python("-c", code))
    (place,) = (tmp_path / "home" / "krakenonce-journals").iterdir()
    assert "127.0.0.1" in place.name
    assert "pass-word" not in place.name
    done = shell.end(shell.start("log"))
    assert "MASTER: the key was adopted" in done.out
    assert done.err.startswith(
        "krakenonce: only the events of this host are shown: cannot connect to etcd://bot@127.0.0.1:1"
    )
