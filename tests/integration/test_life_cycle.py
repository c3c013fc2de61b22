"""The page about backups, moves, upgrades and the end: its commands run, in its order, and do what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.pages import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "how-to" / "backup-move-upgrade-uninstall.md"
PARTS = ("back up", "restore", "make safe", "move away", "arrive", "move", "upgrade", "uninstall")


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken that has accepted a nonce far ahead of the clock from MASTER's key."""
    fake = FakeKraken()
    fake.add_account("MASTER", balances={"ZUSD": "5000"}, last_nonce=2**62)
    return fake


@pytest.fixture
def reader(fake: FakeKraken, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs commands as a reader does, who has adopted MASTER's key and made a local key; returns their output."""
    program = tmp_path / "bin" / "krakenonce"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -W error -m krakenonce "$@"\n')
    program.chmod(0o700)
    (account,) = fake.accounts.values()
    path = tmp_path / "kraken.toml"
    path.write_text(f'[MASTER]\napi_key = "{account.key}"\napi_secret = "{account.secret}"\ntier = "none"\n')
    path.chmod(0o600)
    with FakeKrakenServer(fake) as server:
        env = {name: value for name, value in os.environ.items() if not name.startswith("KRAKEN")} | {
            "HOME": str(tmp_path),
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "KRAKENONCE_STATE_DIR": str(tmp_path / ".local" / "state" / "krakenonce"),
            "KRAKENONCE_CREDENTIALS": str(path),
            "KRAKENONCE_BASE_URL": server.url,
            "NO_PROXY": "127.0.0.1",
        }

        def run(*lines: str, fails: bool = False) -> str:
            script = "\n".join(("set -e", *lines))
            done = subprocess.run(
                [shutil.which("bash") or "bash", "-c", script],
                env=env,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert bool(done.returncode) is fails, done.stderr
            return done.stdout + done.stderr

        run("krakenonce adopt --yes", "krakenonce gateway add-key --name bot-a")
        run("krakenonce raise-floor 9000000000000000000 --scope far-ahead")
        yield run


def commands(part: str) -> list[str]:
    """The commands of one block of the page."""
    block = blocks(PAGE, "console")[PARTS.index(part)]
    return [line.removeprefix("$ ") for line in block.splitlines()]


def test_each_block_of_the_page_is_named_here() -> None:
    """So no command of it is left out."""
    assert len(blocks(PAGE, "console")) == len(PARTS)
    assert all(line.startswith("$ ") for block in blocks(PAGE, "console") for line in block.splitlines())


def test_the_commands_run_in_the_order_of_the_page(reader: Callable[..., str], tmp_path: Path) -> None:
    """From the backup to the end, after which nothing is left."""
    reader(*commands("back up"))
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == [
        "gateway_keys.json",
        "kraken.toml",
        "nonces.json",
    ]
    reader("rm -r ~/.local/state/krakenonce ~/kraken.toml")
    reader(*commands("restore"), *commands("make safe"), *commands("move away"))
    for part in ("arrive", "move", "upgrade"):
        reader(*commands(part))
        assert "ZUSD" in reader("krakenonce balance")
    reader(*commands("uninstall"))
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"krakenonce"}  # the program itself


def test_a_restored_state_is_dangerous_until_the_page_s_commands_have_run(
    reader: Callable[..., str], fake: FakeKraken, tmp_path: Path
) -> None:
    """An adopted key is refused, a counter ahead of the clock issues nonces again, and a revoked local key is back."""
    state = "~/.local/state/krakenonce"
    reader(f"cp -a {state} old")
    first = reader("krakenonce next --scope far-ahead").strip()
    reader(*["krakenonce balance"] * 4)
    before = reader("krakenonce gateway rotate-key --name bot-a")
    reader(f"rm -r {state}", f"cp -a old {state}")
    assert "EAPI:Invalid nonce" in reader("krakenonce balance", fails=True)
    assert reader("krakenonce next --scope far-ahead").split() == [first]
    reader(*commands("make safe"))
    assert "ZUSD" in reader("krakenonce balance")
    assert int(reader("krakenonce next --scope far-ahead")) > int(first) + 1
    secrets = re.findall(r"API secret: (\S+)", before)
    assert not any(secret in reader(f"cat {state}/gateway_keys.json") for secret in secrets)


def test_a_machine_that_was_moved_to_goes_on_where_the_old_one_ended(
    reader: Callable[..., str], fake: FakeKraken
) -> None:
    """The adopted key's counter has come along: no call is refused, and none has to be adopted."""
    reader("krakenonce balance")
    refused = len(fake.invalid_nonces())
    reader(*commands("move away"), *commands("arrive"), "krakenonce balance")
    assert len(fake.invalid_nonces()) == refused
