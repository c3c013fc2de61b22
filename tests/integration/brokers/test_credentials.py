"""Accounts: where their keys come from, and that no key or secret ever shows."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import traceback
from pathlib import PosixPath
from typing import TYPE_CHECKING

import pytest

from krakenonce.brokers import Account, load_accounts
from krakenonce.brokers.credentials import account, load_account
from krakenonce.errors import ConfigError
from krakenonce.key.limits import TIERS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "Kx7mQ2vLp9/Rt4ZsWc1Yb8Nd3Fg6Hj5+"
SECRET = "c2VjcmV0LW5ldmVyLXRvLWJlLXNob3duLWFueXdoZXJl"
BROKEN_SECRET = "c2VjcmV0-with-a-typo=in=it"

SHAPE = (
    'TABLE must be api_key = "..." and api_secret = "...", optionally tier = "pro" and otp = "...", and nothing else'
)
IN_ENVIRONMENT = {"KRAKEN_MASTER_API_KEY": KEY, "KRAKEN_MASTER_API_SECRET": SECRET}
IN_FILE = f'[MASTER]\napi_key = "{KEY}"\napi_secret = "{SECRET}"\n'


def private_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Write *text* to a file with exactly these rights."""
    file = folder / "credentials.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


def refusal(environ: Mapping[str, str], path: Path | None = None) -> str:
    """Return the message with which the accounts are refused."""
    with pytest.raises(ConfigError) as caught:
        load_accounts(environ, path)
    return str(caught.value)


def test_environment_gives_accounts() -> None:
    """The environment gives the master account, and users by their name in lower case."""
    environ = {
        "KRAKEN_USER_ALICE_B_API_KEY": "alice-key",
        "KRAKEN_USER_ALICE_B_API_SECRET": SECRET,
        **IN_ENVIRONMENT,
        "KRAKEN_API_KEY": "something else",
        "PATH": "/bin",
    }
    assert load_accounts(environ) == {
        "MASTER": Account("MASTER", KEY, SECRET),
        "USER:alice_b": Account("USER:alice_b", "alice-key", SECRET),
    }


def test_an_account_has_a_tier(tmp_path: Path) -> None:
    """From the environment or the file, in any case; starter, the slowest, if nothing is said."""
    assert load_accounts(IN_ENVIRONMENT)["MASTER"].tier == "starter"
    assert load_accounts({**IN_ENVIRONMENT, "KRAKEN_MASTER_API_TIER": "Pro"})["MASTER"].tier == "pro"
    assert load_accounts({}, private_file(tmp_path, IN_FILE + 'tier = "intermediate"'))["MASTER"].tier == "intermediate"


def test_an_unknown_tier_is_refused() -> None:
    """The message names the variable and the known tiers, which are those that the limits know."""
    message = refusal({**IN_ENVIRONMENT, "KRAKEN_MASTER_API_TIER": "gold"})
    assert message.startswith(f"KRAKEN_MASTER_API_TIER is not one of {', '.join((*TIERS, 'none'))};")


def test_file_gives_accounts(tmp_path: Path) -> None:
    """A file gives the master account from [MASTER] and a user from [USER.alice]."""
    file = private_file(tmp_path, f'{IN_FILE}[USER.Alice]\napi_key = "alice-key"\napi_secret = "{SECRET}"\n')
    assert load_accounts({}, file) == {
        "MASTER": Account("MASTER", KEY, SECRET),
        "USER:alice": Account("USER:alice", "alice-key", SECRET),
    }


def test_environment_names_the_file(tmp_path: Path) -> None:
    """KRAKENONCE_CREDENTIALS names the file when the caller names none."""
    file = private_file(tmp_path, IN_FILE)
    assert list(load_accounts({"KRAKENONCE_CREDENTIALS": f"{file}\n"})) == ["MASTER"]


def test_a_home_in_the_file_s_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the user's home, also where no shell has seen it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    file = private_file(tmp_path, IN_FILE)
    assert list(load_accounts({"KRAKENONCE_CREDENTIALS": f"~/{file.name}"})) == ["MASTER"]
    assert "cannot read ~nobody-of-this-name/keys" in refusal({"KRAKENONCE_CREDENTIALS": "~nobody-of-this-name/keys"})


def test_named_file_comes_before_the_environments(tmp_path: Path) -> None:
    """A file named by the caller is read instead of the one in KRAKENONCE_CREDENTIALS."""
    file = private_file(tmp_path, IN_FILE)
    assert list(load_accounts({"KRAKENONCE_CREDENTIALS": "/nowhere"}, file)) == ["MASTER"]


def test_no_credentials_are_no_accounts() -> None:
    """Without any credentials there are no accounts, and this is not an error."""
    assert load_accounts({"KRAKENONCE_CREDENTIALS": " "}) == {}


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """For an account that both give, the environment counts; the file's other accounts stay."""
    file = private_file(tmp_path, f'{IN_FILE}[USER.bob]\napi_key = "bob-key"\napi_secret = "{SECRET}"\n')
    environ = {"KRAKEN_MASTER_API_KEY": "newer-key", "KRAKEN_MASTER_API_SECRET": SECRET}
    found = load_accounts(environ, file)
    assert [(name, one.key) for name, one in found.items()] == [
        ("MASTER", "newer-key"),
        ("USER:bob", "bob-key"),
    ]


def test_empty_variables_do_not_count(tmp_path: Path) -> None:
    """An empty variable counts as absent, so the file's account is used."""
    environ = {"KRAKEN_MASTER_API_KEY": "", "KRAKEN_MASTER_API_SECRET": " \n"}
    assert load_accounts(environ, private_file(tmp_path, IN_FILE))["MASTER"].key == KEY


def test_spaces_around_values_are_dropped(tmp_path: Path) -> None:
    """Spaces and line ends around a key or secret are dropped, as a copied value often has them."""
    environ = {"KRAKEN_MASTER_API_KEY": f" {KEY}\n", "KRAKEN_MASTER_API_SECRET": f"{SECRET}\r\n"}
    file = private_file(tmp_path, f'[USER.bob]\napi_key = " {KEY} "\napi_secret = """\n{SECRET}\n"""\n')
    assert {(one.key, one.secret) for one in load_accounts(environ, file).values()} == {(KEY, SECRET)}


def test_master_comes_first(tmp_path: Path) -> None:
    """The master account comes first and the users follow in order, wherever they come from."""
    file = private_file(tmp_path, "".join(IN_FILE.replace("MASTER", f"USER.{name}") for name in ("zoe", "bob")))
    environ = {
        "KRAKEN_USER_ALICE_API_KEY": KEY,
        "KRAKEN_USER_ALICE_API_SECRET": SECRET,
        "KRAKEN_USER_YAN_API_KEY": KEY,
        "KRAKEN_USER_YAN_API_SECRET": SECRET,
        **IN_ENVIRONMENT,
    }
    assert list(load_accounts(environ, file)) == ["MASTER", "USER:alice", "USER:bob", "USER:yan", "USER:zoe"]


@pytest.mark.parametrize("given", ["KRAKEN_USER_BOB_API_KEY", "KRAKEN_USER_BOB_API_SECRET"])
def test_half_a_pair_in_the_environment(given: str, tmp_path: Path) -> None:
    """A key without secret, or the reverse, is refused by the missing name, even if the file has both."""
    missing = ({"KRAKEN_USER_BOB_API_KEY", "KRAKEN_USER_BOB_API_SECRET"} - {given}).pop()
    file = private_file(tmp_path, IN_FILE.replace("MASTER", "USER.bob"))
    assert refusal({given: SECRET}, file) == f"{missing} is missing: give both the key and its secret"


def test_half_a_pair_in_the_file(tmp_path: Path) -> None:
    """An account of the file with only a key, or an empty secret, is refused by table and entry."""
    file = private_file(tmp_path, f'[USER.bob]\napi_key = "{KEY}"\napi_secret = ""\n')
    expected = f"api_secret of [USER.bob] in {file} is missing: give both the key and its secret"
    assert refusal({}, file) == expected
    assert refusal({}, private_file(tmp_path, f'[USER.bob]\napi_key = "{KEY}"\n')) == expected


WRONG = {
    "half a pair": ({"KRAKEN_USER_BOB_API_KEY": KEY}, "KRAKEN_USER_BOB_API_SECRET is missing"),
    "no base64": (
        {"KRAKEN_USER_BOB_API_KEY": KEY, "KRAKEN_USER_BOB_API_SECRET": BROKEN_SECRET},
        "KRAKEN_USER_BOB_API_SECRET is not base64",
    ),
    "in quotes": (
        {"KRAKEN_USER_BOB_API_KEY": f'"{KEY}"', "KRAKEN_USER_BOB_API_SECRET": SECRET},
        "KRAKEN_USER_BOB_API_KEY is in quotes",
    ),
    "swapped": (
        {"KRAKEN_USER_BOB_API_KEY": 86 * "x" + "==", "KRAKEN_USER_BOB_API_SECRET": 56 * "x"},
        "KRAKEN_USER_BOB_API_KEY and its secret are swapped",
    ),
    "two spellings": (
        {f"KRAKEN_USER_{name}_API_{part}": SECRET for name in ("BOB", "Bob") for part in ("KEY", "SECRET")},
        "KRAKEN_USER_BOB_API_... and KRAKEN_USER_Bob_API_... name the same account",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_account_stops_no_other(case: str) -> None:
    """One account is found beside it; the wrong one, or all of them, are not."""
    environ, message = WRONG[case]
    environ = IN_ENVIRONMENT | environ
    assert load_account(environ, "master").key == KEY
    for name in ("bob", "USER:bob"):
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
            load_account(environ, name)
    assert refusal(environ).startswith(message)


@pytest.mark.parametrize("table", ['api_key = "x"', 'api_kee = "x"', "api_key = 1", 'api_key = "x"\napi_secret = "?"'])
def test_a_wrong_table_stops_no_other(tmp_path: Path, table: str) -> None:
    """The same for the tables of a file."""
    file = private_file(tmp_path, f"{IN_FILE}[USER.bob]\n{table}\n")
    assert load_account({}, "MASTER", file).key == KEY
    for found in (lambda: load_account({}, "bob", file), lambda: load_accounts({}, file)):
        with pytest.raises(ConfigError, match=re.escape("[USER.bob]")):
            found()


def test_the_number_of_wrong_accounts_is_told() -> None:
    """The first is named; correcting it does not come as a surprise."""
    environ = {f"KRAKEN_USER_{name}_API_KEY": KEY for name in ("A", "B", "C")}
    assert refusal(environ).startswith("KRAKEN_USER_A_API_SECRET is missing")
    assert refusal(environ).endswith("(2 other accounts cannot be used either)")
    del environ["KRAKEN_USER_C_API_KEY"]
    assert refusal(environ).endswith("(1 other account cannot be used either)")


@pytest.mark.parametrize("secret", [BROKEN_SECRET, SECRET[:-1], SECRET + "=", "QUI=QUI=", "QU\nID", "é" * 4])
def test_secret_that_is_not_base64(secret: str) -> None:
    """A secret that is not base64 to the letter is refused when it is loaded, not at the first call."""
    expected = "KRAKEN_MASTER_API_SECRET is not base64: copy the whole private key from Kraken again."
    assert refusal({**IN_ENVIRONMENT, "KRAKEN_MASTER_API_SECRET": secret}) == expected


@pytest.mark.parametrize("key", ["two words", "two\nlines", "clé"])
def test_key_that_cannot_be_sent(key: str) -> None:
    """A key that an HTTP header cannot contain is refused when it is loaded."""
    expected = "KRAKEN_MASTER_API_KEY is not an API key: copy it from Kraken again, without spaces"
    assert refusal({**IN_ENVIRONMENT, "KRAKEN_MASTER_API_KEY": key}) == expected


def test_same_account_twice_in_the_environment() -> None:
    """Two spellings of one user in the environment are refused: it is not clear which is meant."""
    environ = {f"KRAKEN_USER_{name}_API_{part}": SECRET for name in ("BOB", "Bob") for part in ("KEY", "SECRET")}
    assert "KRAKEN_USER_BOB_API_... and KRAKEN_USER_Bob_API_... name the same account USER:bob; remove one" in refusal(
        environ
    )


def test_same_account_twice_in_the_file(tmp_path: Path) -> None:
    """Two spellings of one user in the file are refused."""
    file = private_file(tmp_path, "".join(IN_FILE.replace("MASTER", f"USER.{name}") for name in ("Bob", "bob")))
    assert refusal({}, file) == f"{file} has the account USER:bob twice; remove one"


@pytest.mark.parametrize("name", ["", "two words", "a/b", "a:b", "x" * 33])
def test_user_name_that_cannot_be_a_name(name: str, tmp_path: Path) -> None:
    """A user name is 1 to 32 plain characters; another is not repeated, as it may be a misplaced key."""
    file = private_file(tmp_path, IN_FILE.replace("MASTER", f'USER."{name}"'))
    message = refusal({}, file)
    assert "must be 1 to 32 letters, digits" in message
    assert not name or name not in message


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666])
def test_file_open_to_others(mode: int, tmp_path: Path) -> None:
    """A file that other users can read, write or run is refused with the command that helps."""
    file = private_file(tmp_path, IN_FILE, mode)
    assert refusal({}, file) == f"other users can read {file}; run: chmod 600 {file}"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_private_file(mode: int, tmp_path: Path) -> None:
    """A file for its owner alone is taken, also when the owner may only read it."""
    assert "MASTER" in load_accounts({}, private_file(tmp_path, IN_FILE, mode))


def test_rights_of_the_file_behind_a_link(tmp_path: Path) -> None:
    """Behind a link the rights of the opened file count, not those of the link."""
    link = tmp_path / "link"
    link.symlink_to(private_file(tmp_path, IN_FILE))
    assert "MASTER" in load_accounts({}, link)
    private_file(tmp_path, IN_FILE, 0o644)
    assert "run: chmod 600" in refusal({}, link)


class MovingPath(PosixPath):
    """A path that leads to the next place each time it is followed, and stays at the last."""

    places: list[Path]

    def __fspath__(self) -> str:
        return str(self.places.pop(0) if len(self.places) > 1 else self.places[0])


def test_rights_are_those_of_the_file_read(tmp_path: Path) -> None:
    """The rights that count are those of the file that is read, even if the path moves on to another."""
    (tmp_path / "open").mkdir()
    private = private_file(tmp_path, IN_FILE)
    public = private_file(tmp_path / "open", IN_FILE.replace(KEY, "planted"), 0o644)
    path = MovingPath(private)
    path.places = [private, public]
    assert load_accounts({}, path)["MASTER"].key == KEY
    path.places = [public, private]
    assert "run: chmod 600" in refusal({}, path)


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    """A folder is refused as such."""
    assert refusal({}, tmp_path) == f"cannot read {tmp_path} (Is a directory): name a TOML file that you may read"


def test_missing_file(tmp_path: Path) -> None:
    """A file that was named and is not there is refused: going on without it could use the wrong account."""
    file = tmp_path / "none.toml"
    expected = f"cannot read {file} (No such file or directory): name a TOML file that you may read"
    assert refusal({"KRAKENONCE_CREDENTIALS": str(file)}) == expected


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that the system will not open is refused with the system's reason."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert refusal({}, loop).startswith(f"cannot read {loop} (Too many levels of symbolic links)")


def test_named_pipe(tmp_path: Path) -> None:
    """A named pipe is refused at once instead of waiting for a writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert refusal({}, pipe) == f"{pipe} is not a file: name a TOML file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f'api_key = "{KEY}"',
            "FILE may only have the tables [MASTER] and [USER.<name>]: remove or rename the rest",
        ),
        (
            f"{IN_FILE}[OTHER]",
            "FILE may only have the tables [MASTER] and [USER.<name>]: remove or rename the rest",
        ),
        (
            f'MASTER = "{SECRET}"',
            SHAPE,
        ),
        (
            f"[{IN_FILE}".replace("]", "]]"),
            SHAPE,
        ),
        (
            f'{IN_FILE}api_kee = "x"',
            SHAPE,
        ),
        (
            "[MASTER]\napi_key = 7",
            SHAPE,
        ),
        (f'USER = "{SECRET}"', "USER in FILE must be one table per user: write [USER.<name>]"),
        ("[[USER]]\nbob = 1", "USER in FILE must be one table per user: write [USER.<name>]"),
    ],
)
def test_file_of_another_shape(text: str, message: str, tmp_path: Path) -> None:
    """A file with other tables, other entries or other types than documented is refused by place."""
    file = private_file(tmp_path, text)
    assert refusal({}, file) == message.replace("TABLE", "[MASTER] in FILE").replace("FILE", str(file))


@pytest.mark.parametrize("name", ["MASTER", "master", " Master\n"])
def test_lookup_of_the_master_account(name: str) -> None:
    """The master account is found by its name in upper or lower case."""
    assert account(load_accounts(IN_ENVIRONMENT), name).name == "MASTER"


@pytest.mark.parametrize("name", ["USER:alice", "alice", "Alice", "user:ALICE"])
def test_lookup_of_a_user(name: str, tmp_path: Path) -> None:
    """A user is found with or without USER: in front, in upper or lower case."""
    file = private_file(tmp_path, IN_FILE.replace("MASTER", "USER.Alice"))
    assert account(load_accounts({}, file), name).name == "USER:alice"


def test_master_never_means_a_user(tmp_path: Path) -> None:
    """MASTER is never taken for a user who happens to have that name."""
    accounts = load_accounts({}, private_file(tmp_path, IN_FILE.replace("MASTER", "USER.master")))
    assert account(accounts, "USER:master").name == "USER:master"
    with pytest.raises(ConfigError):
        account(accounts, "MASTER")


def test_lookup_of_an_unknown_name(tmp_path: Path) -> None:
    """An unknown name is answered with the names that are known."""
    accounts = load_accounts(IN_ENVIRONMENT, private_file(tmp_path, IN_FILE.replace("MASTER", "USER.alice")))
    with pytest.raises(ConfigError) as caught:
        account(accounts, "bob")
    assert str(caught.value) == "there is no account 'bob'; the accounts are MASTER, USER:alice"


def test_lookup_without_any_account() -> None:
    """Without any account, the answer says how to give one."""
    with pytest.raises(ConfigError, match="set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET, or set"):
        account({}, "MASTER")


def test_lookup_by_key() -> None:
    """A key given in place of a name is not repeated in the answer."""
    with pytest.raises(ConfigError) as caught:
        account(load_accounts(IN_ENVIRONMENT), KEY)
    assert str(caught.value) == "there is no such account; the accounts are MASTER"


def test_account_shows_neither_key_nor_secret() -> None:
    """However an account is put into text, it shows its name and a fingerprint, no part of key or secret."""
    one = Account("MASTER", KEY, SECRET)
    for shown in (repr(one), str(one), f"{one}", repr({"MASTER": one})):
        assert "MASTER" in shown
        assert not any(value[start : start + 6] in shown for value in (KEY, SECRET) for start in range(len(value) - 5))


def test_a_fingerprint_distinguishes_accounts() -> None:
    """Two keys under one name look different, one key always looks the same."""
    assert repr(Account("MASTER", KEY, SECRET)) == repr(Account("MASTER", KEY, "b3RoZXI="))
    assert repr(Account("MASTER", KEY, SECRET)) != repr(Account("MASTER", KEY[::-1], SECRET))


def test_account_cannot_change() -> None:
    """An account cannot be changed or given more fields, and reaches another process unchanged."""
    one = Account("MASTER", KEY, SECRET)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.key = "other"  # type: ignore[misc]
    assert not hasattr(one, "__dict__")
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("environ", "text", "mode"),
    [
        ({"KRAKEN_MASTER_API_KEY": KEY}, "", 0o600),
        ({"KRAKEN_MASTER_API_SECRET": SECRET}, "", 0o600),
        ({**IN_ENVIRONMENT, "KRAKEN_MASTER_API_SECRET": BROKEN_SECRET}, "", 0o600),
        ({**IN_ENVIRONMENT, "KRAKEN_MASTER_API_SECRET": f"{SECRET}é"}, "", 0o600),
        ({**IN_ENVIRONMENT, "KRAKEN_MASTER_API_KEY": f"{KEY} {KEY}"}, "", 0o600),
        ({f"KRAKEN_USER_{KEY}_API_KEY": KEY}, "", 0o600),
        ({}, IN_FILE, 0o644),
        ({}, f'[MASTER]\napi_key = "{KEY}"', 0o600),
        ({}, IN_FILE.replace(SECRET, BROKEN_SECRET), 0o600),
        ({}, IN_FILE.replace('"', ""), 0o600),
        ({}, f'{IN_FILE}"{SECRET}" = ""', 0o600),
        ({}, f'{IN_FILE}["{SECRET}"]', 0o600),
        ({}, f'{IN_FILE}[USER."{SECRET}"]', 0o600),
        ({}, f'{IN_FILE}[MASTER."{KEY}"]\n[MASTER."{KEY}"]', 0o600),
        ({}, f"{IN_FILE}# {KEY}\x00", 0o600),
        ({}, f'MASTER = "{SECRET}"', 0o600),
        ({}, f'USER = ["{SECRET}"]', 0o600),
    ],
)
def test_no_error_shows_a_secret(environ: dict[str, str], text: str, mode: int, tmp_path: Path) -> None:
    """No refusal shows a key, a secret or the file's content, in its one line or in its traceback."""
    with pytest.raises(ConfigError) as caught:
        load_accounts(environ, private_file(tmp_path, text, mode))
    trace = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    assert not any(value in trace for value in (KEY, SECRET, BROKEN_SECRET))
    assert "\n" not in str(caught.value)
