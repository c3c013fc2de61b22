"""What a person does about an account that cannot be used, in one short sentence. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.gateway import refusals
from krakenonce.gateway.health import ANOTHER_ACCOUNT, FINE

if TYPE_CHECKING:
    from krakenonce.gateway.health import Health


_TODO = {
    refusals.INVALID_KEY: "Make a new API key at Kraken, put it in the credentials, and send the gateway SIGHUP.",
    refusals.INVALID_SIGNATURE: "Correct the secret in the credentials, and send the gateway SIGHUP.",
    refusals.INVALID_NONCE: "Stop all other programs with this key; then run `krakenonce adopt --account {account}`.",
    refusals.PERMISSION: "Give the key this permission at Kraken, or take the call out of the bot.",
    refusals.ACCOUNT: "Log in at Kraken, or ask its support: it refuses the account itself.",
    refusals.LOCKOUT: "Wait until it ends: no call is sent before. Look below for the bot whose calls were refused.",
    ANOTHER_ACCOUNT: "Take the key of the other account out of the credentials, and send the gateway SIGHUP.",
    "no_credentials": "Correct its credentials, and send the gateway SIGHUP",
}


def what_to_do(account: str, health: Health, why: str = "") -> str:
    """Return what to do, in a sentence; empty if the account is fine.

    Args:
        account: Its name.
        health: What is known of it.
        why: Why its credentials cannot be used, if that is so.
    """
    if health.state == FINE:
        return ""
    told = _TODO.get(health.reason, "Look at the last refusals below.")
    told = told.format(account=account)
    return told if told.endswith(".") else f"{told}{f': {why}' if why else ''}."
