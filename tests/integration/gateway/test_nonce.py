"""Nonces for programs that sign and send their own calls."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from krakenonce.brokers import Account
from krakenonce.gateway.activity import Activity
from krakenonce.gateway.gateway import NONCE_PATH, Gateway
from krakenonce.gateway.kraken_account import KrakenAccount
from krakenonce.gateway.local_keys import LocalKey, LocalKeys
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.wire import FORM, decode_secret, encode_form, sign
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.gateway.replies import Reply

ACCOUNT = Account("MASTER", "key", "c2VjcmV0")


@pytest.fixture
def manager() -> NonceManager:
    """Where nonces come from."""
    return NonceManager("memory:")


def ask(
    tmp_path: Path, manager: NonceManager, allow: set[str], account: str = "MASTER", path: str = NONCE_PATH
) -> Reply:
    """Ask a gateway for a nonce with a new local key that may do what *allow* says."""
    local_keys = LocalKeys(tmp_path / "gateway_keys.json")
    local = local_keys.add(f"bot{len(local_keys.all())}", account, frozenset(allow))
    account_of_kraken = KrakenAccount(
        ACCOUNT,
        manager,
        AsyncTransport("http://127.0.0.1:1"),
        queue_length=1,
        max_wait=1.0,
        timeout=1.0,
        order_timeout=1.0,
        on_turn=lambda _: None,
    )
    gateway = Gateway({"MASTER": account_of_kraken}, local_keys, manager.store, Activity())
    return asyncio.run(gateway.answer(NONCE_PATH, *signed(local, path)))


def signed(local: LocalKey, path: str) -> tuple[dict[str, str], bytes]:
    """Headers and body, as for a private call."""
    body = encode_form({"nonce": 5}).encode()
    signature = sign(path, 5, body, decode_secret(local.secret))
    return {"API-Key": local.key, "API-Sign": signature, "Content-Type": FORM}, body


def test_a_nonce_is_issued(tmp_path: Path, manager: NonceManager) -> None:
    """The account's next one, as text with every digit."""
    reply = ask(tmp_path, manager, {"nonce"})
    answer = json.loads(reply.body)
    assert (reply.status, answer["error"]) == (200, [])
    assert answer["result"] == {"nonce": str(manager.peek())}
    assert len(answer["result"]["nonce"]) == 19


def test_an_adopted_key_s_nonces_are_its_own(tmp_path: Path, manager: NonceManager) -> None:
    """They come from the key's counter, not from the common one."""
    manager.raise_floor(2**62, manager.own_scope(ACCOUNT.key))
    assert json.loads(ask(tmp_path, manager, {"nonce"}).body)["result"]["nonce"] == str(2**62 + 1)
    assert manager.peek() is None


def test_a_refused_program_gets_no_nonce(tmp_path: Path, manager: NonceManager) -> None:
    """Without the group, with another path's signature, or without credentials for the account: no nonce is used."""
    refused = ask(tmp_path, manager, {"query", "trade", "other"})
    assert b"EGeneral:Permission denied" in refused.body
    assert b"EAPI:Invalid signature" in ask(tmp_path, manager, {"nonce"}, path="/0/private/Balance").body
    assert b"EService:Unavailable" in ask(tmp_path, manager, {"nonce"}, account="USER:gone").body
    assert manager.peek() is None
