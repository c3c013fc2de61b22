"""An account with several API keys: how they are given, in the environment or a file, and what is refused."""

from __future__ import annotations

import dataclasses
import pickle
from typing import TYPE_CHECKING

import pytest

from krakenonce.brokers import Account, BrokerManager, KeyPair, load_account, load_accounts
from krakenonce.brokers.credentials import checked, variables
from krakenonce.errors import ConfigError
from krakenonce.key.limits import TIERS
from krakenonce.key.naming import fingerprint
from tests.integration.brokers.test_credentials import private_file, refusal

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "c2VjcmV0LW5ldmVyLXRvLWJlLXNob3duLWFueXdoZXJl"
NAMES = ("MASTER", "USER:alice", "USER:bob_2", "USER:x_api_key", "USER:x_api_key_2", "USER:7", "USER:api_key_3_api")


def keys(count: int, begin: str = "key") -> list[tuple[str, str, str | None]]:
    """Return keys with their secrets, every third with a second factor."""
    return [(f"{begin}-{number}", SECRET, f"otp-{number}" if number % 3 == 2 else None) for number in range(count)]


def environment(*numbers: str, prefix: str = "KRAKEN_MASTER_API_") -> dict[str, str]:
    """Return the variables of keys with these numbers; an empty one is the first key's."""
    found: dict[str, str] = {}
    for number in numbers:
        end = number and f"_{number}"
        found |= {f"{prefix}KEY{end}": f"key-{number}", f"{prefix}SECRET{end}": SECRET}
    return found


def table(*names: str) -> str:
    """Return these keys as the tables of a list."""
    return "".join(f'[[MASTER.keys]]\napi_key = "{name}"\napi_secret = "{SECRET}"\n' for name in names)


def test_an_account_has_one_key_or_several() -> None:
    """All of them are in `keys`; key, secret and otp are the first one's."""
    plain = Account("MASTER", "a", SECRET, "pro", "123")
    assert plain.keys == (KeyPair("a", SECRET, "123"),)
    assert plain == Account("MASTER", keys=[("a", SECRET, "123")], tier="pro")
    several = Account("MASTER", keys=keys(16))
    assert [each.key for each in several.keys] == [f"key-{number}" for number in range(16)]
    assert (several.key, several.secret, several.otp, several.tier) == ("key-0", SECRET, None, "starter")
    assert pickle.loads(pickle.dumps(several)) == several  # noqa: S301 - our own bytes
    assert dataclasses.replace(several, tier="pro") == Account("MASTER", keys=keys(16), tier="pro")


def test_an_account_is_given_its_keys_in_one_way() -> None:
    """A key beside several, none at all, and keys that cannot be used."""
    for more in ({"key": "other"}, {"secret": SECRET}, {"otp": "123"}, {"key": "key-1", "secret": SECRET}):
        with pytest.raises(ConfigError, match=r"^give an account either key and secret"):
            Account("MASTER", keys=keys(2), **more)
    with pytest.raises(ConfigError, match=r"^key must be text, not None"):
        Account("MASTER")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"^API keys 1 and 3 are the same key"):
        Account("MASTER", keys=[*keys(2), ("key-0", SECRET)])


def test_an_account_shows_how_many_keys_it_has() -> None:
    """With their fingerprints, and nothing else of them."""
    shown = repr(Account("USER:bob", keys=keys(3)))
    assert shown == f"<Account USER:bob 3 keys {', '.join(fingerprint(f'key-{number}') for number in range(3))}>"


@pytest.mark.parametrize("count", [1, 2, 3, 16, 101])
def test_numbered_variables_are_more_keys(count: int) -> None:
    """The first has no number, then 2, 3 and so on; also of users whose name has a number or API_KEY in it."""
    accounts = {name: Account(name, keys=keys(count, name), tier="pro") for name in NAMES}
    environ = {variable: value for each in accounts.values() for variable, value in variables(each).items()}
    assert load_accounts(environ) == accounts
    assert (f"KRAKEN_USER_BOB_2_API_KEY_{count}" in environ) == (count > 1)
    assert "KRAKEN_USER_BOB_2_API_KEY_1" not in environ


def test_the_variables_of_an_account_are_those_that_users_write() -> None:
    """One tier, and the second factor of each key that has one; what a function returns is no variable."""
    two = Account("USER:bob", keys=[("a", "QQ=="), ("b", "Qg==", "123"), ("c", "Qw==", str)], tier="pro")
    assert variables(two) == {
        "KRAKEN_USER_BOB_API_KEY": "a",
        "KRAKEN_USER_BOB_API_SECRET": "QQ==",
        "KRAKEN_USER_BOB_API_TIER": "pro",
        "KRAKEN_USER_BOB_API_KEY_2": "b",
        "KRAKEN_USER_BOB_API_SECRET_2": "Qg==",
        "KRAKEN_USER_BOB_API_OTP_2": "123",
        "KRAKEN_USER_BOB_API_KEY_3": "c",
        "KRAKEN_USER_BOB_API_SECRET_3": "Qw==",
    }


M = "KRAKEN_MASTER_API_"
NUMBERED_FROM_2 = "is not read: the first key has no number, the others have 2, 3 and so on; rename it"
BOTH = "is missing: give both the key and its secret"
WRONG_ENVIRONMENTS = {
    "a gap": (
        environment("", "2", "4"),
        f"{M}KEY_3 is missing, but there is a key with the number 4: number the keys without a gap",
    ),
    "a gap after ten": (
        environment("", *map(str, range(2, 10)), "11"),
        f"{M}KEY_10 is missing, but there is a key with the number 11: number the keys without a gap",
    ),
    "the number 1": (environment("", "1"), f"{M}KEY_1 {NUMBERED_FROM_2}"),
    "numbers from 1": (environment("1", "2"), f"{M}KEY_1 {NUMBERED_FROM_2}"),
    "the number 0": (environment("", "0"), f"{M}KEY_0 {NUMBERED_FROM_2}"),
    "leading zeros": (environment("", "02"), f"{M}KEY_02 {NUMBERED_FROM_2}"),
    "no first key": (environment("2"), f"{M}KEY {BOTH}"),
    "a key without its secret": (environment("") | {f"{M}KEY_2": "b"}, f"{M}SECRET_2 {BOTH}"),
    "a secret without its key": (environment("") | {f"{M}SECRET_2": SECRET}, f"{M}KEY_2 {BOTH}"),
    "an empty half": (environment("", "2") | {f"{M}SECRET_2": " "}, f"{M}SECRET_2 {BOTH}"),
    "a second factor alone": (environment("") | {f"{M}OTP_2": "123"}, f"{M}KEY_2 {BOTH}"),
    "the same key twice": (
        environment("", "2", "3") | {f"{M}KEY_3": "key-"},
        f"{M}KEY and {M}KEY_3 are the same API key; remove one with its secret",
    ),
    "no base64": (
        environment("", "2") | {f"{M}SECRET_2": "c2VjcmV0-with-a-typo"},
        f"{M}SECRET_2 is not base64: copy the whole private key from Kraken again.",
    ),
    "a tier for one key": (
        environment("", "2") | {f"{M}TIER_2": "pro"},
        f"{M}TIER_2 has a number, but the tier is the account's: rename it to {M}TIER",
    ),
    "a number of 5000 digits": (
        environment("") | {f"{M}KEY_{'9' * 5000}": "b"},
        f"{M}KEY_2 is missing, but there is a key with the number {'9' * 5000}: number the keys without a gap",
    ),
}


@pytest.mark.parametrize("case", WRONG_ENVIRONMENTS)
def test_wrong_numbers_are_named(case: str) -> None:
    """A key that was left out without a word would be missed when it is needed. Other accounts are found."""
    environ, message = WRONG_ENVIRONMENTS[case]
    assert refusal(environ) == message
    environ |= environment("", "2", prefix="KRAKEN_USER_BOB_API_")
    assert len(load_account(environ, "bob").keys) == 2
    with pytest.raises(ConfigError):
        load_account(environ, "MASTER")


def test_empty_numbered_variables_do_not_count() -> None:
    """As empty plain ones do not."""
    environ = environment("", "2") | {f"{M}KEY_3": "", f"{M}SECRET_3": " ", f"{M}KEY_1": "\n"}
    assert len(load_accounts(environ)["MASTER"].keys) == 2


def test_two_spellings_of_a_user_are_not_put_together() -> None:
    """One with the first key and one with the second are two accounts of one name."""
    environ = environment("", prefix="KRAKEN_USER_BOB_API_") | environment("2", prefix="KRAKEN_USER_Bob_API_")
    assert "name the same account USER:bob; remove one" in refusal(environ)


@pytest.mark.parametrize(
    "text",
    [
        f"""[MASTER]
tier = "pro"
keys = [
    {{api_key = "a", api_secret = "{SECRET}"}},
    {{api_key = " b", api_secret = "{SECRET}", otp = "123\\n"}},
]
""",
        f"""[MASTER]
tier = "pro"
[[MASTER.keys]]
api_key = "a"
api_secret = "{SECRET}"
[[MASTER.keys]]
api_key = "b"
api_secret = "{SECRET}"
otp = "123"
""",
    ],
    ids=["one list", "tables"],
)
def test_a_table_of_the_file_may_have_several_keys(text: str, tmp_path: Path) -> None:
    """As a list, or as one table for each, which TOML takes for the same."""
    two = [KeyPair("a", SECRET), KeyPair("b", SECRET, "123")]
    assert load_accounts({}, private_file(tmp_path, text))["MASTER"] == Account("MASTER", keys=two, tier="pro")
    users = private_file(tmp_path, text.replace("MASTER", "USER.Alice"))
    assert load_accounts({}, users)["USER:alice"] == Account("USER:alice", keys=two, tier="pro")


PLACE = "[MASTER] in FILE"
SHAPE = (
    '[MASTER] in FILE must be keys = [{api_key = "...", api_secret = "..."}, ...], optionally tier = "pro", and '
    "nothing else; a key's otp is beside it"
)
SHAPE_OF_ONE = (
    'key NUMBER of [MASTER] in FILE must be api_key = "..." and api_secret = "...", optionally otp = "...", and '
    "nothing else"
)
WRONG_FILES = {
    "none": ("[MASTER]\nkeys = []", SHAPE),
    "no list": (table("a").replace("[[", "[").replace("]]", "]"), SHAPE),
    "beside a single key": (f'[MASTER]\napi_key = "a"\napi_secret = "{SECRET}"\n{table("b")}', SHAPE),
    "an otp for all": (f'[MASTER]\notp = "a"\n{table("b")}', SHAPE),
    "a tier that is no text": (f"[MASTER]\ntier = 1\n{table('b')}", SHAPE),
    "no tables": (
        f'[MASTER]\nkeys = ["{SECRET}"]',
        SHAPE_OF_ONE.replace("NUMBER", "1"),
    ),
    "a tier for one key": (
        f'{table("a", "b")}tier = "pro"\n',
        SHAPE_OF_ONE.replace("NUMBER", "2"),
    ),
    "half a pair": (
        f'{table("a", "b")}[[MASTER.keys]]\napi_key = "c"\n',
        "api_secret of key 3 of [MASTER] in FILE is missing: give both the key and its secret",
    ),
    "twice": (
        table("a", "b", "a"),
        f"api_key of key 1 of {PLACE} and api_key of key 3 of {PLACE} are the same API key; remove one with its secret",
    ),
    "an unknown tier": (
        f'[MASTER]\ntier = "gold"\n{table("a")}',
        f"tier of {PLACE} is not one of {', '.join((*TIERS, 'none'))}; your tier is in the account settings at Kraken",
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_keys_of_a_file_are_named_by_their_number(case: str, tmp_path: Path) -> None:
    """What is wrong and where, without any part of it."""
    text, message = WRONG_FILES[case]
    file = private_file(tmp_path, text)
    assert refusal({}, file) == message.replace("FILE", str(file))


NO_LIST = (
    'is no list of keys: write keys = [{api_key = "...", api_secret = "..."}, ...], each {...} in one line, with '
    "commas between them"
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[MASTER]\nkeys = [\n    {}\n    {}\n]\n", 4),
        ("[MASTER]\nkeys = [{} {}]\n", 2),
        ("[MASTER]\nkeys = [\n    {\n    },\n]\n", 3),
        ("[MASTER]\nkeys = [{},\n    {]\n", 3),
    ],
)
def test_a_list_that_is_not_toml_is_explained(text: str, line: int, tmp_path: Path) -> None:
    """The line is named and not shown."""
    file = private_file(tmp_path, text)
    assert refusal({}, file) == f"{file} is not TOML: line {line} {NO_LIST}"


def test_the_environment_replaces_all_keys_of_the_file_s_account(tmp_path: Path) -> None:
    """One key there leaves none of the file's, and its tier does not stay either."""
    file = private_file(tmp_path, f'[MASTER]\ntier = "pro"\n{table("a", "b", "c")}')
    assert load_accounts(environment(""), file)["MASTER"] == Account("MASTER", "key-", SECRET)
    assert refusal(environment("2"), file) == f"{M}KEY {BOTH}"


@pytest.mark.parametrize(("mine", "other"), [(0, 0), (0, 2), (2, 0), (1, 2)])
def test_no_key_may_be_in_two_accounts(mine: int, other: int) -> None:
    """Whichever of their keys it is: each order would be placed twice."""
    first, second = keys(3, "master"), keys(3, "alice")
    assert len(checked([Account("MASTER", keys=first), Account("USER:alice", keys=second)])) == 2
    second[other] = first[mine]
    accounts = [Account("MASTER", keys=first), Account("USER:alice", keys=second)]
    for use in (checked, BrokerManager):
        with pytest.raises(ConfigError, match=r"^MASTER and USER:alice have the same API key"):
            use(accounts)
