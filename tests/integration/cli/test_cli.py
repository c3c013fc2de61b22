from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import click
import pytest

from krakenonce import __version__
from krakenonce.cli.main import cli
from krakenonce.cli.output import to_json
from tests.integration.cli.conftest import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Shell

BROKEN = """
import sys
from krakenonce.manager import NonceManager
from krakenonce.cli.main import main

def fail(*_):
    raise {}

NonceManager.next = fail
sys.exit(main(["next"]))
"""


def test_nonces_rise_from_process_to_process(shell: Shell) -> None:
    """Each nonce is 19 digits on a line of its own, larger than those of every process before."""
    lines = [*shell.works("next", "--count", "3").splitlines(), *shell.works("next").splitlines()]
    assert lines == sorted(set(lines))
    assert [len(line) for line in lines] == [19] * 4


def test_peek_shows_the_last_nonce_and_uses_none(shell: Shell) -> None:
    """Peek repeats the last nonce as often as it is asked."""
    last = shell.works("next")
    assert [shell.works("peek"), shell.works("peek")] == [last, last]


def test_peek_before_the_first_nonce(shell: Shell, tmp_path: Path) -> None:
    """With nothing issued peek fails with one line, and makes no directory."""
    assert shell.fails(1, "peek").startswith(f"counter global in {tmp_path / 'state'} has issued no nonce yet; ")
    assert not (tmp_path / "state").exists()


def test_scopes_are_separate(shell: Shell) -> None:
    """A nonce of one counter is unknown to the other."""
    shell.works("next", "--scope", "one")
    shell.fails(1, "peek", "--scope", "two")


def test_state_may_be_named_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    """--state goes before the environment, as a path or as a URL."""
    nonce = shell.works("next", "--state", f"file:{tmp_path / 'other'}")
    assert shell.works("peek", "--state", str(tmp_path / "other")) == nonce
    assert not (tmp_path / "state").exists()


def test_a_floor_is_kept(shell: Shell) -> None:
    """After raise-floor the next nonce is larger; a lower floor changes nothing, and the command says so."""
    floor = time.time_ns() + 10**18
    said = f"the next nonce of counter global will be larger than {floor}\n"
    assert shell.works("raise-floor", str(floor), "--yes") == said
    assert shell.works("raise-floor", "5") == said.rstrip() + "; 5 is not larger, so nothing was changed\n"
    assert shell.works("next") == f"{floor + 1}\n"


def test_the_counter_of_all_keys_is_not_raised_far_without_a_question(shell: Shell, tmp_path: Path) -> None:
    """A floor far ahead of the clock cannot be undone: without an answer it is set only for another counter."""
    far = str(time.time_ns() + 10**17)
    done = shell.run("raise-floor", far)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("krakenonce: nothing was changed; use --yes to skip this question\n")
    assert not (tmp_path / "state").exists()
    assert far in shell.works("raise-floor", far, "--scope", "its-own")


def test_ctrl_c_at_a_question_is_an_interrupt(shell: Shell, tmp_path: Path) -> None:
    """It is not taken for an answer."""
    reader, writer = os.pipe()
    with open(reader) as nothing_yet, open(writer, "w"):
        process = shell.python("-m", "krakenonce", "raise-floor", str(time.time_ns() + 10**17), stdin=nothing_yet)
        assert process.stderr is not None
        while process.stderr.read(1) != "?":
            assert process.poll() is None
        while process.poll() is None:  # one may come in the instant before it waits for an answer, and be seen after it
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        done = shell.end(process)
    assert done.code == 130
    assert "nothing was changed" not in done.err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("floor", ["-1", "many", "1.5", "", str(2**63 - 1), str(2**63), "9" * 5000])
def test_a_wrong_floor_is_wrong_usage(shell: Shell, tmp_path: Path, floor: str) -> None:
    """What is not an integer from 0 to 2^63 - 2 is refused, and nothing is written."""
    shell.fails(2, "raise-floor", floor)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("words", [["next"], ["peek"], ["stats"], ["raise-floor", "5"]], ids=lambda words: words[0])
@pytest.mark.parametrize("scope", ["", "a b", "../up", "x" * 65])
def test_a_wrong_scope_is_wrong_usage(shell: Shell, words: list[str], scope: str) -> None:
    """Every command that takes a counter's name refuses one that is not allowed."""
    assert "the name of a counter has" in shell.fails(2, *words, "--scope", scope)


def test_stats_of_all_scopes(shell: Shell, tmp_path: Path) -> None:
    """Stats shows each counter's last nonce, mark and lead, and where they are kept."""
    last = int(shell.works("next"))
    shell.works("raise-floor", "4000000000000000000", "--scope", "far")
    (tmp_path / "state" / "kraken_not ours_nonce.txt").write_text("1")
    found = json.loads(shell.works("stats", "--json"))
    assert (found["directory"], found["shared"]) == (str(tmp_path / "state"), "host")
    far, ours = found["scopes"]
    assert (far["scope"], far["last"], far["lead_ns"] > 0) == ("far", 4 * 10**18, True)
    assert (ours["scope"], ours["last"], ours["mark"] > last, ours["lead_ns"] < 0) == ("global", last, True, True)
    header, first, second, where = shell.works("stats").splitlines()
    assert header.split() == ["counter", "last", "nonce", "lead", "over", "the", "clock", "(s)", "high-water", "mark"]
    assert (first.split()[0], second.split()[:2]) == ("far", ["global", str(last)])
    assert where == f"nonces kept in {tmp_path / 'state'}, for the processes of one host"


def test_stats_of_one_scope(shell: Shell) -> None:
    """With --scope only that counter is shown, also if it has issued no nonce yet."""
    assert json.loads(shell.works("stats", "--scope", "new", "--json"))["scopes"] == [
        {"scope": "new", "last": None, "mark": None, "lead_ns": None}
    ]
    assert shell.works("stats", "--scope", "new").splitlines()[1].split() == ["new", "-", "-", "-"]


def test_stats_before_the_first_nonce(shell: Shell, tmp_path: Path) -> None:
    """Stats says so if no nonce was issued yet."""
    assert shell.works("stats") == f"no nonces issued yet in {tmp_path / 'state'}, for the processes of one host\n"


def test_a_file_in_place_of_the_state_directory(shell: Shell, tmp_path: Path) -> None:
    """A state directory that cannot be made is a failure with one line."""
    (tmp_path / "state").write_text("")
    assert str(tmp_path / "state") in shell.fails(1, "next")


def test_a_limit_on_the_size_of_files(shell: Shell) -> None:
    """A failure with one line that says which limit to raise, and no signal."""
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "sys.argv = ['krakenonce', 'next']; runpy.run_module('krakenonce', run_name='__main__')"
    )
    done = shell.end(shell.python("-c", limited))
    assert (done.code, done.out) == (1, "")
    assert one_line(done.err).endswith("File too large; this process may write no larger files; raise `ulimit -f`")


def test_an_unknown_store(shell: Shell) -> None:
    """The URL of an unknown backend is a failure that names the known ones."""
    assert "use file:PATH, postgresql://..., valkey://..., etcd://... or memory:" in shell.fails(
        2, "next", "--state", "stone:tablet"
    )


@pytest.mark.parametrize("words", [["next"], ["stats"], ["gateway", "list-keys"]], ids=" ".join)
def test_the_option_and_the_environment_are_read_in_the_same_way(
    shell: Shell, tmp_path: Path, words: list[str]
) -> None:
    """What is refused is refused with one line, which names the option or the variable; nothing is made."""
    assert shell.fails(2, *words, "--state", "'/a'").startswith("--state has quotes around its value")
    shell.env["KRAKENONCE_STATE_DIR"] = "'/a'"
    assert shell.fails(1, *words).startswith("KRAKENONCE_STATE_DIR has quotes around its value")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_state_is_warned_about_once(shell: Shell) -> None:
    """On one line, with the option's name."""
    done = shell.run("stats", "--state", "not/here\r")
    assert one_line(done.err).startswith("warning: --state is the relative path not/here, which is /")
    assert done.code == 0


def test_warnings_are_lines_on_stderr(shell: Shell) -> None:
    """A warning of the library is shown as one line, beside the nonce."""
    done = shell.run("next", "--state", "memory:")
    assert one_line(done.err).startswith("warning: nonces are kept in memory only")
    assert (done.code, len(done.out)) == (0, 20)


@pytest.mark.parametrize(
    "words",
    [
        ["guess"],
        ["--guess"],
        ["next", "--guess"],
        ["next", "--count", "0"],
        ["next", "more"],
        ["raise-floor"],
        ["raise-floor", "--guess"],
        ["balance", "--all", "--account", "bob"],
        ["call"],
        ["call", "../Balance"],
        ["call", "Balance", "asset"],
        ["call", "Balance", "=ZUSD"],
        ["call", "Balance", "nonce=1"],
        ["call", "Balance", "asset=a", "asset=b"],
        ["fake-kraken", "--port", "70000"],
        ["fake-kraken", "--latency", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line(shell: Shell, words: list[str]) -> None:
    """Wrong usage ends with 2 and one line that says where help is."""
    assert "; see krakenonce" in shell.fails(2, *words)


def test_an_unexpected_error_names_its_type_only(shell: Shell) -> None:
    """The text of an unexpected error stays hidden, because it may contain a secret."""
    done = shell.end(shell.python("-c", BROKEN.format("RuntimeError('hidden')")))
    assert done.code == 1
    said = "unexpected error RuntimeError; KRAKENONCE_DEBUG=1 shows the traceback of such errors"
    assert one_line(done.err) == said


def test_an_unexpected_error_is_traced_on_request(shell: Shell) -> None:
    """KRAKENONCE_DEBUG=1 adds the traceback."""
    shell.env["KRAKENONCE_DEBUG"] = "1"
    done = shell.end(shell.python("-c", BROKEN.format("RuntimeError('hidden')")))
    assert done.err.startswith("Traceback")
    assert "RuntimeError: hidden" in done.err


def test_an_interrupt_is_quiet(shell: Shell) -> None:
    """Ctrl-C ends with 130 and without a message."""
    done = shell.end(shell.python("-c", BROKEN.format("KeyboardInterrupt")))
    assert (done.code, done.out, done.err.strip()) == (130, "", "")


def test_a_reader_that_has_seen_enough(shell: Shell) -> None:
    """A closed pipe ends the command without a message."""
    process = shell.start("next", "--count", "100000")
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_an_output_that_cannot_be_written(shell: Shell) -> None:
    """A nonce that could not be written is a failure with one line."""
    with open("/dev/full", "w") as full:
        done = shell.end(shell.start("next", stdout=full))
    assert (done.code, one_line(done.err)) == (1, "cannot write the output: No space left on device")


def test_a_terminal_gets_a_table_with_lines(shell: Shell) -> None:
    """On a terminal tables are drawn, with the same words."""
    last = shell.works("next").strip()
    ours, theirs = pty.openpty()
    done = shell.end(shell.start("stats", stdout=theirs))
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert (done.code, done.err) == (0, "")
    assert last in shown
    assert "\N{BOX DRAWINGS LIGHT VERTICAL}" in shown


def test_the_version_is_shown(shell: Shell) -> None:
    """The program runs as a module, and --version names it."""
    done = shell.run("--version")
    assert (done.code, done.out, done.err) == (0, f"krakenonce {__version__}\n", "")


@pytest.mark.parametrize("name", [None, *cli.commands])
def test_everything_has_help(shell: Shell, name: str | None) -> None:
    """Each command says what it does, and each of its options too."""
    command: click.Command = cli.commands[name] if name else cli
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert shell.works(*([name] if name else []), "--help").startswith("Usage: krakenonce")


def test_json_has_every_digit() -> None:
    """A Decimal is written with every digit, never by way of a float; text and nesting are kept."""
    value = {"a": [Decimal("0.00000001"), Decimal("1.50"), 2**63], "b": {}, "c": [], "d": ["é", None, True]}
    written = to_json(value)
    assert json.loads(written, parse_float=Decimal) == value
    assert "0.00000001" in written
    assert "1.50" in written
    assert to_json(Decimal("1E+999999999")) == "1E+999999999"
