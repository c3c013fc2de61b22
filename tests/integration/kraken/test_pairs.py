"""Pairs of a key and a secret that our clients do not send."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import ConfigError
from krakenonce.manager import NonceManager
from tests.integration.kraken.helpers import OK, ScriptedServer, Twin

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount

CASES = [
    ("{1}", "{0}", "The API key and its secret are swapped"),
    ('"{0}"', "{1}", "The API key is in quotes"),
    ("{0}", "'{1}'", "The API secret is in quotes"),
    ("{1}", "{1}", "The API key and its secret are the same text"),
    ("your key", "your secret", "The API secret is not base64: copy the whole private key from Kraken again"),
]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("key", "secret", "message"), CASES, ids=["swapped", "key", "secret", "same", "placeholder"])
def test_a_pair_that_cannot_be_right_is_not_sent(
    account: FakeAccount, kind: str, key: str, secret: str, message: str
) -> None:
    """The first private call says what is wrong, without a part of the pair; nothing reaches Kraken."""
    pair = [each.format(account.key, account.secret) for each in (key, secret)]
    with (
        ScriptedServer(OK) as server,
        Twin(kind, *pair, manager=NonceManager("memory:"), base_url=server.url) as twin,
        pytest.raises(ConfigError, match=f"^{message}.* Nothing was sent.$") as caught,
    ):
        twin("private", "Balance")
    assert server.requests == []
    assert not any(value[:9] in str(caught.value) for value in (account.key, account.secret))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_key_that_was_copied_in_part_is_warned_about_and_sent(
    account: FakeAccount, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and only because its secret is one of Kraken's."""
    with (
        ScriptedServer(OK, OK, OK) as server,
        Twin(kind, account.key[5:], account.secret, manager=NonceManager("memory:"), base_url=server.url) as twin,
    ):
        twin("private", "Balance")
        twin("private", "Balance")
    assert len(server.requests) == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in warnings if "API key" in text] == [
        "The API key does not have 56 characters, as Kraken's have: was all of it copied?"
    ]
