"""Which pairs of an API key and a secret are refused, and which are warned about."""

from __future__ import annotations

import base64
import secrets

import pytest

from krakenonce.key.pair import wrong_pair


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
