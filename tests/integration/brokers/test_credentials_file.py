"""The file with the accounts: as secrets are mounted, as editors save it, and with what is wrong in it."""

from __future__ import annotations

import codecs
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from krakenonce.brokers import load_accounts
from krakenonce.errors import ConfigError
from prove.mounting import run_tool
from tests.integration.brokers.test_credentials import IN_FILE, KEY, SECRET, private_file, refusal

TRY = """
import os, sys
sys.path[:] = eval(sys.argv[2])
from pathlib import Path
from krakenonce.brokers import load_accounts
from krakenonce.errors import ConfigError
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    print(*load_accounts({}, Path(sys.argv[1])))
except ConfigError as error:
    print(error)
"""


def seen_by_another_user(owner: int, mode: int) -> str:
    """Return what a user gets who is in the file's group: the accounts' names or the refusal, FILE for its path."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as place:  # not in tmp_path, which only its owner may enter
        Path(place).chmod(0o755)
        file = private_file(Path(place), IN_FILE, mode)
        os.chown(file, owner, 65534)
        run = [sys.executable, "-c", TRY, str(file), repr(sys.path)]
        answer = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
        return answer.replace(str(file), "FILE")


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o444])
def test_a_file_of_root_that_others_may_read_is_used(mode: int) -> None:
    """As systemd, Compose and administrators give secrets to a service: the user cannot change its mode."""
    assert seen_by_another_user(0, mode) == "MASTER"


@pytest.mark.parametrize(("owner", "mode"), [(0, 0o646), (0, 0o664), (0, 0o660), (12345, 0o640), (12345, 0o444)])
def test_advice_about_another_user_s_file_can_be_followed(owner: int, mode: int) -> None:
    """A file that others may change, or of a third user, is refused; it is root who can help."""
    assert seen_by_another_user(owner, mode) == (
        f"other users can read FILE, which belongs to user {owner} and not to you, user 65534; "
        "let root run: chown 65534 FILE && chmod 600 FILE"
    )


@pytest.mark.parametrize("mode", [0o440, 0o644, 0o600])
def test_one_s_own_file_that_others_can_read_is_refused(mode: int) -> None:
    """The user can change its mode, and is told how; 0600 is fine."""
    expected = "MASTER" if mode == 0o600 else "other users can read FILE; run: chmod 600 FILE"
    assert seen_by_another_user(65534, mode) == expected


@pytest.mark.parametrize(
    ("mode", "level", "readers"), [(0o440, logging.INFO, "its group"), (0o444, logging.WARNING, "all users here")]
)
def test_a_secret_on_a_read_only_mount_is_used(
    small_disk: Path, caplog: pytest.LogCaptureFixture, mode: int, level: int, readers: str
) -> None:
    """As Kubernetes and Docker mount secrets, where chmod is impossible; the log says so once."""
    caplog.set_level(logging.INFO)
    file = private_file(small_disk, IN_FILE, mode)
    assert "run: chmod 600" in refusal({}, file)
    assert run_tool("mount", "-o", "remount,ro", str(small_disk)) == 0
    assert list(load_accounts({}, file)) == list(load_accounts({}, file)) == ["MASTER"]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (level, f"{file} (mode {mode:04o}) can be read by {readers}; it is used, because it is on a read-only mount")
    ]


def test_a_mark_in_front_of_the_text_is_no_part_of_it(tmp_path: Path) -> None:
    """Some editors put U+FEFF in front of UTF-8."""
    file = private_file(tmp_path, "")
    file.write_bytes(codecs.BOM_UTF8 + IN_FILE.encode())
    assert load_accounts({}, file)["MASTER"].key == KEY


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    """With a mark in front or without."""
    file = private_file(tmp_path, "")
    file.write_bytes(IN_FILE.encode(encoding))
    assert refusal({}, file) == f"{file} is in UTF-16, as some editors of Windows write: save it as UTF-8"


WITHOUT_QUOTES = 'has a value without quotes: write it in straight quotes, as in api_key = "..."'
UNEVEN = "has a quote too few or too many: write the value between two quotes, with nothing after them"
NO_TABLE = (
    "is not the name of a table: write [MASTER] or [USER.<name>], each only once, or [[MASTER.keys]] for each of its "
    "keys"
)
NO_LINE = 'is no line of a table: write it as api_key = "..."'


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (IN_FILE.replace("]", ""), 1, "has no ] at its end"),
        (IN_FILE.replace("[", ""), 1, NO_LINE),
        (IN_FILE + IN_FILE, 4, NO_TABLE),
        (IN_FILE.replace(f'"{KEY}"', KEY), 2, WITHOUT_QUOTES),
        (IN_FILE.replace(f'"{KEY}"', f"\u201c{KEY}\u201d"), 2, WITHOUT_QUOTES),
        (IN_FILE.replace(f'"{SECRET}"', SECRET), 3, WITHOUT_QUOTES),
        (IN_FILE.replace(f'{KEY}"', KEY), 2, UNEVEN),
        (IN_FILE.replace(f'"{SECRET}"', f'"{SECRET}'), 3, UNEVEN),
        (IN_FILE.replace(f'{SECRET}"', f'{SECRET}""'), 3, UNEVEN),
        (IN_FILE.replace("api_secret =", "api_secret"), 3, NO_LINE),
        (IN_FILE.replace("\n", "\r\n").replace("api_secret =", "api_secret"), 3, NO_LINE),
        (f'{IN_FILE}api_key = "{KEY}"', 4, "gives a value that was given before: remove one"),
    ],
)
def test_what_is_not_toml_is_named_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    """The line's number and what is wrong there, and never a part of it."""
    file = private_file(tmp_path, text)
    assert refusal({}, file) == f"{file} is not TOML: line {line} {what}"


def test_a_value_without_an_end_has_no_line(tmp_path: Path) -> None:
    """Three quotes open a value that goes on to the end of the file."""
    file = private_file(tmp_path, IN_FILE.replace(f'"{KEY}"', f'"""{KEY}'))
    assert (
        refusal({}, file) == f"{file} is not TOML: a value in it does not end, because a quote or a bracket is missing"
    )


def test_a_character_of_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    """Such as an accent in a comment, saved in Latin-1."""
    file = private_file(tmp_path, "")
    file.write_bytes(IN_FILE.encode() + "# clé\n".encode("latin-1"))
    assert refusal({}, file) == f"line 4 of {file} has a character that is not UTF-8: save the file as UTF-8"


@pytest.mark.parametrize("content", [b"\x00", b"\xff\xfe", b"\xff", b"=", b"[", b'"', b"a=", b"]", b"a=1\na=2"])
def test_no_content_is_more_than_a_config_error(tmp_path: Path, content: bytes) -> None:
    """Whatever the file contains."""
    file = private_file(tmp_path, "")
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=str(file)):
        load_accounts({}, file)
