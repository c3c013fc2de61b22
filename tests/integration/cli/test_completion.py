"""What a shell completes: with bash itself, with the words that its user has typed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce.key.methods import METHODS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Shell

KEYS = {"api_key": "the-key-of-the-account", "api_secret": "dGhlIHNlY3JldA=="}
BASH = """
eval "$(krakenonce completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_krakenonce_completion krakenonce
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
_BASH = shutil.which("bash") or ""
needs_bash = pytest.mark.skipif(not _BASH, reason="there is no bash")


@pytest.fixture
def shell(shell: Shell, tmp_path: Path) -> Shell:
    """A shell that finds the program by its name, as the script does."""
    program = tmp_path / "bin" / "krakenonce"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -W error -m krakenonce "$@"\n')
    program.chmod(0o700)
    shell.env["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return shell


@pytest.fixture
def typist(shell: Shell, tmp_path: Path) -> Shell:
    """A shell with accounts in a file and in the environment, one of which cannot be used."""
    path = tmp_path / "kraken.toml"
    pair = "\n".join(f'{name} = "{value}"' for name, value in KEYS.items())
    path.write_text(f'[MASTER]\n{pair}\n[USER.alice]\n{pair}\n[USER.bob]\napi_key = "{KEYS["api_key"]}"\n')
    path.chmod(0o600)
    shell.env |= {"KRAKENONCE_CREDENTIALS": str(path), "KRAKEN_USER_CAROL_API_KEY": KEYS["api_key"]}
    return shell


def completed(shell: Shell, *typed: str) -> list[str]:
    """Let bash complete the last word of a line, and return what it offers; nothing else may be shown."""
    words = " ".join(map(shlex.quote, ("krakenonce", *typed)))
    script = BASH.format(words=words)
    done = subprocess.run([_BASH, "-c", script], env=shell.env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not any(value in done.stdout for value in KEYS.values())
    return done.stdout.split()


@needs_bash
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["pe"], ["peek"]),
        (["gateway", "r"], ["revoke-key", "rotate-key", "run"]),
        (["balance", "--jso"], ["--json"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["balance", "--account", ""], ["MASTER", "alice", "bob", "carol"]),
        (["balance", "--account", "AL"], ["alice"]),
        (["gateway", "add-key", "--account", "b"], ["bob"]),
        (["call-all", "Balance", "--accounts", "alice,"], ["alice,MASTER", "alice,bob", "alice,carol"]),
        (["copy-order", "--scale", "a"], ["alice="]),
        (["call", "AddO"], ["AddOrder", "AddOrderBatch"]),
        (["call", "tick"], ["Ticker"]),
        (["call-all", "tick"], []),
    ],
    ids=" ".join,
)
def test_bash_completes(typist: Shell, typed: list[str], offered: list[str]) -> None:
    """Commands, options, the names of accounts, also of those that cannot be used, and Kraken's methods."""
    assert completed(typist, *typed) == offered


@needs_bash
def test_the_file_that_is_typed_is_read(shell: Shell, tmp_path: Path) -> None:
    """--credentials before --account."""
    path = tmp_path / "mine.toml"
    path.write_text(f'[USER.zoe]\napi_key = "{KEYS["api_key"]}"\n')
    path.chmod(0o600)
    assert completed(shell, "balance", "--credentials", str(path), "--account", "") == ["zoe"]


@needs_bash
@pytest.mark.parametrize("content", [None, "[MASTER", "[MASTER]\napi_key = 5"], ids=["no file", "no TOML", "no text"])
def test_a_file_that_cannot_be_read_is_not_spoken_of(shell: Shell, tmp_path: Path, content: str | None) -> None:
    """No word of it in the middle of the line that is being typed."""
    path = tmp_path / "kraken.toml"
    shell.env["KRAKENONCE_CREDENTIALS"] = str(path)
    if content is not None:
        path.write_text(content)
        path.chmod(0o644 if os.geteuid() else 0o600)
    assert completed(shell, "balance", "--account", "") in ([], ["MASTER"])


@needs_bash
def test_without_accounts_nothing_is_offered(shell: Shell) -> None:
    """There is no file, and the variables are not set."""
    assert completed(shell, "balance", "--account", "") == []


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: Shell, kind: str) -> None:
    """A shell that is installed takes it."""
    script = shell.works("completion", kind)
    assert f"_KRAKENONCE_COMPLETE={kind}_complete" in script
    program = shutil.which(kind)
    checked = subprocess.run([program, "-n"], input=script, text=True, check=False) if program else None
    assert checked is None or checked.returncode == 0


@pytest.mark.parametrize("kind", ["zsh", "fish"])
def test_the_other_shells_are_answered(typist: Shell, kind: str) -> None:
    """By what their scripts ask for: the words that were typed, in variables."""
    typist.env |= {"_KRAKENONCE_COMPLETE": f"{kind}_complete", "COMP_WORDS": "krakenonce balance --account al"}
    typist.env["COMP_CWORD"] = "al" if kind == "fish" else "3"
    answer = typist.works()
    assert "alice" in answer
    assert "MASTER" not in answer


def test_every_private_method_is_offered(typist: Shell) -> None:
    """All that krakenonce knows."""
    typist.env |= {"_KRAKENONCE_COMPLETE": "bash_complete", "COMP_WORDS": "krakenonce call-all ", "COMP_CWORD": "2"}
    assert {line.partition(",")[2] for line in typist.works().splitlines()} == set(METHODS)


def test_another_shell_is_wrong_usage(shell: Shell) -> None:
    """The message names those that there are."""
    assert "'bash', 'zsh', 'fish'" in shell.fails(2, "completion", "csh")
