"""Pairs of an API key and a secret: which are refused, which are warned about, and several of one account."""

from __future__ import annotations

import base64
import dataclasses
import pickle
import secrets
from collections.abc import Sequence

import pytest

from krakenonce.errors import ConfigError
from krakenonce.key.naming import fingerprint
from krakenonce.key.pair import KeyPair, checked_pairs, wrong_pair


def text(size: int) -> str:
    """Return random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(size)).decode()


KEY, SECRET = text(42), text(64)


def test_a_pair_of_kraken_s_form_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    """42 bytes and 64, in base64: no refusal and no warning."""
    assert wrong_pair(KEY, SECRET) == ""
    assert caplog.messages == []


def test_a_swapped_pair_is_refused() -> None:
    """64 bytes as the key and 42 as the secret."""
    assert "KEY and its secret are swapped" in wrong_pair(SECRET, KEY, ("KEY", "SECRET"))


def test_a_text_that_is_key_and_secret_is_refused() -> None:
    """It may be the secret, and the key is sent."""
    assert "the same text" in wrong_pair(SECRET, SECRET)


@pytest.mark.parametrize("quotes", ['""', "''", "\u201c\u201d", '" ', ' "'])
@pytest.mark.parametrize("half", ["KEY", "SECRET"])
def test_quotes_are_refused(quotes: str, half: str) -> None:
    """At both ends or at one, of either half; the message says which half."""
    pair = {"KEY": KEY, "SECRET": SECRET}
    pair[half] = f"{quotes[0]}{pair[half]}{quotes[1]}"
    assert wrong_pair(pair["KEY"], pair["SECRET"], ("KEY", "SECRET")).startswith(f"{half} is in quotes: remove them.")


@pytest.mark.parametrize("pair", [(SECRET, KEY), (SECRET, SECRET), (f"'{KEY}'", SECRET), (KEY, f'"{SECRET}"')])
def test_no_message_contains_a_part_of_the_pair(pair: tuple[str, str]) -> None:
    """Not even six characters."""
    message = wrong_pair(*pair)
    assert message
    assert not any(value[at : at + 6] in message for value in (KEY, SECRET) for at in range(len(value) - 5))


@pytest.mark.parametrize(
    ("pair", "odd"), [((text(41), SECRET), "The API key"), ((text(42), text(63)), "The API secret")]
)
def test_half_a_pair_of_another_form_is_warned_about_once(
    pair: tuple[str, str], odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other half is Kraken's, so this one was probably copied in part."""
    assert wrong_pair(*pair) == wrong_pair(*pair) == ""
    (message,) = caplog.messages
    assert message.startswith(f"{odd} does not have")


@pytest.mark.parametrize("pair", [("key", "c2VjcmV0"), ("", SECRET), (KEY, "")])
def test_short_pairs_of_tests_are_not_warned_about(pair: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Where neither half is Kraken's, it is a test; and a client for public calls has no key."""
    assert wrong_pair(*pair) == ""
    assert caplog.messages == []


def test_all_keys_of_an_account_are_pairs() -> None:
    """Each may be given with a second factor, without one, or as a pair; their order stays."""
    first, second, third = ((text(42), text(64)) for _ in range(3))
    assert checked_pairs([first, (*second, "123456"), KeyPair(*third)]) == (
        KeyPair(*first),
        KeyPair(*second, "123456"),
        KeyPair(*third, None),
    )
    assert checked_pairs(iter([first])) == (KeyPair(*first),)


WRONG_KEYS = {
    "none": ([], "keys must be a list of one or more API keys with their secrets"),
    "no list": (5, "keys must be a list of one or more API keys"),
    "a text": (KEY, "keys must be a list of one or more API keys"),
    "a pair": (KeyPair(KEY, SECRET), "keys must be a list of one or more API keys"),
    "one key and its secret": ((KEY, SECRET), r"API key 1 must be given as \(key, secret\) or \(key, secret, otp\)"),
    "a key alone": ([(KEY, SECRET), KEY[:2]], r"API key 2 must be given as \(key, secret\)"),
    "four parts": ([(KEY, SECRET, None, None)], r"API key 1 must be given as \(key, secret\)"),
    "no text": ([(KEY, None)], "API secret 1 must be text, not None: is the environment variable set"),
    "an empty secret": ([(KEY, SECRET), (text(42), "")], "API secret 2 is missing: give both"),
    "an empty key": ([("", SECRET)], "API key 1 is missing: give both"),
    "an otp that is none": ([(KEY, SECRET, 123456)], "otp of API key 1 must be text"),
    "swapped": ([(KEY, SECRET), (SECRET, KEY)], "API key 2 and its secret are swapped"),
    "in quotes": ([(KEY, SECRET), (text(42), f"'{SECRET}'")], "API secret 2 is in quotes"),
    "twice": ([(KEY, SECRET), (text(42), text(64)), (KEY, text(64))], "API keys 1 and 3 are the same key"),
}


@pytest.mark.parametrize("case", WRONG_KEYS)
def test_keys_that_cannot_be_used_are_named_by_their_number(case: str) -> None:
    """No part of them is shown."""
    keys, message = WRONG_KEYS[case]
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        checked_pairs(keys)  # type: ignore[arg-type]
    assert not any(value[at : at + 6] in str(caught.value) for value in (KEY, SECRET) for at in range(len(value) - 5))


def test_a_pair_shows_its_fingerprint_alone() -> None:
    """It is no tuple either, whose parts error reports would show."""
    pair = KeyPair(KEY, SECRET, "123456")
    assert repr(pair) == str(pair) == f"<KeyPair {fingerprint(KEY)}>"
    assert tuple(pair) == (KEY, SECRET, "123456")
    assert not isinstance(pair, Sequence)
    assert pickle.loads(pickle.dumps(pair)) == pair  # noqa: S301 - our own bytes
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.key = "other"  # type: ignore[misc]
