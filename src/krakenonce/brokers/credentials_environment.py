"""Accounts in environment variables: the first API key has no number, the others of an account have 2, 3 and so on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from krakenonce.brokers.credentials_texts import MASTER, KeyTexts, described, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from krakenonce.brokers.credentials_texts import Described
    from krakenonce.key.pair import KeyPair


# The name of a user may have _API_KEY in it, or a digit at its end: what follows the last _API_ is not the name.
_VARIABLE = re.compile(r"(KRAKEN_(?:MASTER|USER_(.+))_API_)((?:KEY|SECRET|TIER|OTP)(?:_[0-9]+)?)")
_FIRST = ""  # the number of the first key


def from_environment(environ: Mapping[str, str]) -> dict[str, Described | str]:
    """Return each account, or why it cannot be used. Raises ConfigError for the name of a user that is none."""
    prefixes: dict[str, str] = {}
    given: dict[str, dict[str, str]] = {}
    twice: dict[str, Described | str] = {}
    for variable in sorted(environ):
        match = _VARIABLE.fullmatch(variable)
        text = environ[variable].strip()
        if match is None or not text:
            continue
        prefix, user, rest = match.groups()
        name = name_of(user, "the <NAME> of KRAKEN_USER_<NAME>_API_KEY") if user else MASTER
        if prefixes.setdefault(name, prefix) != prefix:
            twice[name] = f"{prefixes[name]}... and {prefix}... name the same account {name}; remove one"
        given.setdefault(name, {})[rest] = text
    return {name: _account(prefixes[name], texts) for name, texts in given.items()} | twice


def to_environment(name: str, keys: Sequence[KeyPair], tier: str) -> dict[str, str]:
    """Return the variables that :func:`from_environment` reads an account from; a function as otp has none."""
    prefix = f"KRAKEN_{name.replace(':', '_').upper()}_API_"
    found: dict[str, str] = {}
    for number, each in enumerate(keys, 1):
        end = _FIRST if number == 1 else f"_{number}"
        found |= {f"{prefix}KEY{end}": each.key, f"{prefix}SECRET{end}": each.secret}
        if number == 1:
            found[f"{prefix}TIER"] = tier
        if isinstance(each.otp, str):
            found[f"{prefix}OTP{end}"] = each.otp
    return found


def _account(prefix: str, texts: Mapping[str, str]) -> Described | str:
    """Return the account of these variables, or what is wrong.

    Args:
        prefix: How their names begin.
        texts: Their values, by the rest of their names: ``KEY``, ``SECRET_2``, ``TIER``.
    """
    numbers = {_FIRST}
    for rest in texts:
        part, _, number = rest.partition("_")
        if number and part == "TIER":
            return f"{prefix}{rest} has a number, but the tier is the account's: rename it to {prefix}TIER"
        if number.startswith("0") or number == "1":
            return f"{prefix}{rest} is not read: the first key has no number, the others have 2, 3 and so on; rename it"
        numbers.add(number)
    found = []
    for position, number in enumerate(sorted(numbers, key=lambda text: (len(text), text)), 1):
        if position > 1 and number != str(position):
            return (
                f"{prefix}KEY_{position} is missing, but there is a key with the number {number}: number the keys "
                "without a gap"
            )
        key, secret, otp = (f"{part}_{number}".rstrip("_") for part in ("KEY", "SECRET", "OTP"))
        found.append(
            KeyTexts(
                texts.get(key, ""), texts.get(secret, ""), texts.get(otp, ""), f"{prefix}{key}", f"{prefix}{secret}"
            )
        )
    return described(found, texts.get("TIER", ""), f"{prefix}TIER")
