"""What Kraken says: its time, and of each key what it may do and whose it is.

A question about a key is a private call: Kraken accepts its nonce, and refuses smaller ones from then on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.doctor.facts import Finding
from krakenonce.doctor.words import lasting, moment, whose
from krakenonce.errors import KrakenonceError
from krakenonce.key.methods import METHODS
from krakenonce.key.naming import fingerprint
from krakenonce.kraken.client import Kraken

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from krakenonce.brokers.credentials import Found
    from krakenonce.doctor.history import History
    from krakenonce.manager import NonceManager


_WRONG = 2.0  # seconds by which a clock is wrong enough
_SOON = 7 * 86_400.0  # seconds before a key expires


class KeyInfo(NamedTuple):
    """What Kraken has said of a key.

    Args:
        name: Its fingerprint.
        account: The account's name here.
        info: The result of GetApiKeyInfo.
    """

    name: str
    account: str
    info: Mapping[str, Any]


class Wanted(NamedTuple):
    """About which keys Kraken is asked.

    Args:
        used: The fingerprints of the keys that this state has used.
        chosen: The names of the accounts that are asked about although the state has not used their keys.
        refused: The fingerprints of the keys whose nonces Kraken refuses: one more refusal brings a lockout nearer.
    """

    used: Collection[str]
    chosen: Collection[str]
    refused: Collection[str] = ()

    def why_not(self, key: str, account: str) -> str:
        """Return why Kraken is not asked about a key; empty: it is."""
        if key in self.refused:
            return "Kraken refuses its nonces, and one refusal more brings a lockout nearer"
        if key in self.used or account in self.chosen:
            return ""
        return (
            "this state has not used it, and a question would shut out programs with smaller nonces for ever; "
            "`--key NAME --yes` asks"
        )


def ask(
    found: Found, wanted: Wanted, manager: NonceManager, base_url: str
) -> tuple[list[KeyInfo], list[str], list[Finding]]:
    """Ask Kraken for its time and about keys.

    Args:
        found: The accounts in the environment and the file.
        wanted: About which keys it is asked.
        manager: A manager of the state: each question takes a turn and a nonce.
        base_url: Kraken's address.

    Returns:
        What Kraken said of keys; notes for people; findings.
    """
    findings = [*_pairs(found), *_clock(base_url)]
    infos, notes = [], []
    for account in found.accounts.values():
        for pair in account.keys:
            name = fingerprint(pair.key)
            if why := wanted.why_not(name, account.name):
                notes.append(f"{whose(name, account.name)} was not asked about: {why}")
                continue
            try:
                with Kraken(keys=[pair], manager=manager, tier=account.tier, base_url=base_url) as kraken:
                    kraken.account_name = account.name
                    infos.append(KeyInfo(name, account.name, kraken.private("GetApiKeyInfo")))
            except KrakenonceError as error:
                notes.append(f"{whose(name, account.name)}: {error}")
    return infos, notes, findings


def _pairs(found: Found) -> Iterator[Finding]:
    for name, why in found.wrong.items():
        yield Finding(
            "wrong_pair",
            f"the credentials of {name} cannot be used",
            "sure",
            (why,),
            ("mend them: see docs/reference/cli.md, Credentials",),
            account=name,
        )


def _clock(base_url: str) -> Iterator[Finding]:
    try:
        with Kraken(base_url=base_url) as kraken:
            asked = time.time()
            told = float(kraken.public("Time")["unixtime"])
            heard = time.time()
    except (KrakenonceError, KeyError, TypeError, ValueError) as error:
        yield Finding(
            "not_reached",
            "Kraken could not be asked for its time",
            "sure",
            (str(error) or type(error).__name__,),
            ("see https://status.kraken.com, and whether this host reaches https://api.kraken.com/0/public/Time",),
        )
        return
    wrong = max(asked - (told + 1.0), told - heard, 0.0)  # Kraken tells whole seconds
    if wrong >= _WRONG:
        side = "behind" if told > heard else "ahead of"
        yield Finding(
            "clock_wrong",
            f"this machine's clock is {wrong:.0f} s {side} Kraken's",
            "sure",
            (f"Kraken says {told:.0f}, this machine {heard:.0f} seconds since 1970",),
            ("set the clock by NTP: timedatectl set-ntp true",),
        )


def judge(infos: Iterable[KeyInfo], history: History, now: float) -> Iterator[Finding]:
    """Yield what is wrong with the keys, by what Kraken says of them. No I/O.

    Args:
        infos: What Kraken has said.
        history: What the journal says: methods that were refused.
        now: Seconds since 1970.
    """
    infos = list(infos)
    for each in infos:
        yield from _permissions(each, history)
        yield from _expiry(each, now)
        yield from _window(each)
    yield from _twice(infos)


def notes_of(each: KeyInfo) -> str:
    """Return what is fine to know of a key, in a line."""
    addresses = len(each.info.get("ipAllowlist") or ())
    bound = f"bound to {addresses} addresses" if addresses else "bound to no address"
    many = len(each.info.get("permissions") or ())
    return f"{whose(each.name, each.account)}: Kraken accepts it; {many} permissions, {bound}"


def _permissions(each: KeyInfo, history: History) -> Iterator[Finding]:
    group = history.get("permission", each.name)
    granted = tuple(each.info.get("permissions") or ())
    missing = [
        name for name in (group.methods if group is not None else ()) if not METHODS[name].may_be_called(granted)
    ]
    if missing:
        yield Finding(
            "permission_missing",
            f"{whose(each.name, each.account)} may not call {', '.join(missing)}",
            "sure",
            (*(f"{name} needs {METHODS[name].needs}" for name in missing), f"it has: {', '.join(granted) or 'none'}"),
            ("give it the permission at Kraken, or do not call these methods",),
            each.name,
            each.account,
        )


def _expiry(each: KeyInfo, now: float) -> Iterator[Finding]:
    try:
        until = float(each.info.get("validUntil") or 0)
    except (TypeError, ValueError):
        return
    if until and until - now < _SOON:
        yield Finding(
            "key_expires",
            f"{whose(each.name, each.account)} expires in {lasting(max(0.0, until - now))}",
            "sure",
            (f"Kraken says: valid until {moment(until, now)}",),
            ("make a new key at Kraken, or change its expiry",),
            each.name,
            each.account,
        )


def _window(each: KeyInfo) -> Iterator[Finding]:
    window = int(each.info.get("nonceWindow") or 0)
    if window:
        yield Finding(
            "nonce_window",
            f"{whose(each.name, each.account)} has a nonce window of {window}: Kraken may execute one request twice",
            "sure",
            (f"Kraken says: nonceWindow {window}, which counts nonces, here nanoseconds",),
            ("set it to 0 at Kraken; no program that uses krakenonce needs it",),
            each.name,
            each.account,
        )


def _twice(infos: list[KeyInfo]) -> Iterator[Finding]:
    by_key: dict[str, str] = {}
    by_number: dict[str, str] = {}
    for each in infos:
        number = str(each.info.get("iban") or "")
        before = by_key.setdefault(each.name, each.account)
        other = by_number.setdefault(number, each.account) if number else each.account
        if before != each.account:
            what = f"{before} and {each.account} have the same {whose(each.name, '')}"
        elif other != each.account:
            what = f"{other} and {each.account} are one account at Kraken"
        else:
            continue
        yield Finding(
            "one_account_twice",
            f"{what}: an order for both is placed twice",
            "sure",
            ("Kraken's answers to GetApiKeyInfo name the same account",),
            ("name each account once, with all of its keys: see docs/how-to/several-keys.md",),
            each.name,
            each.account,
        )
