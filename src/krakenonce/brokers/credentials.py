"""The accounts of a bot: their API keys and secrets, from the environment and from a private file.

Nothing here prints, logs or raises a key, a secret or a line of the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from krakenonce.brokers.credentials_file import read_file
from krakenonce.errors import ConfigError
from krakenonce.key.naming import fingerprint
from krakenonce.key.pair import wrong_pair
from krakenonce.kraken.wire import decode_secret
from krakenonce.shown import blind, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.kraken.request import Otp


A = TypeVar("A")

MASTER = "MASTER"
USER = "USER:"

_VARIABLE = re.compile(r"(KRAKEN_(?:MASTER|USER_(.+))_API_)(KEY|SECRET|TIER|OTP)")
_TIERS = ("starter", "intermediate", "pro", "none")
_USER_NAME = re.compile(r"[a-z0-9_.-]{1,32}")  # too short for a key put there by mistake
_NONE_GIVEN = (
    "there are no Kraken credentials: set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET, "
    "or set KRAKENONCE_CREDENTIALS to a TOML file that has them"
)


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """One API key and its secret, with a name that may be shown.

    Args:
        name: ``MASTER``, or ``USER:`` and a name in lower case.
        key: The API key.
        secret: The private key in base64, as Kraken shows it.
        tier: The account's tier at Kraken: ``starter``, ``intermediate``, ``pro``; ``none``: its calls are not counted.
        otp: The key's second factor, if it has one: a password, or a function that returns one for each call.
    """

    name: str
    key: str
    secret: str
    tier: str = "starter"
    otp: Otp | None = None

    @whole
    def __repr__(self) -> str:
        return f"<Account {self.name} key {fingerprint(self.key)}>"


class FromAccounts:
    """Base class of what is made from accounts: those passed, in the environment or in a file."""

    if TYPE_CHECKING:  # what :meth:`from_env` passes; each subclass has a constructor of its own

        def __init__(self, accounts: Iterable[Account] | None = None, **options: Any) -> None: ...

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Use the accounts in the environment; *options* as for the class.

        Raises:
            ConfigError: There are none, or one cannot be used.
        """
        return cls(load_accounts(os.environ).values() or [account({}, MASTER)], **options)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Use the accounts in a TOML file, see :func:`load_accounts`; else as :meth:`from_env`."""
        return cls(load_accounts({}, Path(path)).values() or [account({}, MASTER)], **options)


@blind
def load_accounts(environ: Mapping[str, str], path: Path | None = None) -> dict[str, Account]:
    """Return all accounts by name: ``MASTER`` first, then the users in order.

    Args:
        environ: Has ``KRAKEN_MASTER_API_KEY`` and ``KRAKEN_MASTER_API_SECRET``, and the same with
            ``USER_<NAME>`` for ``MASTER``; optionally ``..._TIER`` and ``..._OTP``. An empty value counts as
            missing. An account in the environment overrides the same account in the file.
        path: A TOML file with the tables ``[MASTER]`` and ``[USER.<name>]``, each with ``api_key``, ``api_secret``
            and optionally ``tier`` and ``otp``. ``None``: the file that ``KRAKENONCE_CREDENTIALS`` in *environ* names,
            if any.

    Raises:
        ConfigError: Half a pair, a wrong value, or a file that is wrong, unreadable or readable for other users.
    """
    return read_accounts(environ, path).all()


@blind
def load_account(environ: Mapping[str, str], name: str, path: Path | None = None) -> Account:
    """Return one account; what is wrong with another account does not matter.

    Args:
        environ: As for :func:`load_accounts`.
        name: ``MASTER``, ``USER:alice`` or just ``alice``, in upper or lower case.
        path: As for :func:`load_accounts`.

    Raises:
        ConfigError: There is no such account, it cannot be used, or the file cannot.
    """
    return read_accounts(environ, path).one(name)


class Found(NamedTuple):
    """The accounts in the environment and the file.

    Args:
        accounts: Those that can be used, by name.
        wrong: Why each of the others cannot be used, by name.
    """

    accounts: dict[str, Account]
    wrong: dict[str, str]

    def all(self) -> dict[str, Account]:
        """Return all accounts. Raises ConfigError if one of them cannot be used."""
        if self.wrong:
            first, *more = self.wrong.values()
            others = f" ({len(more)} other account{'s' * (len(more) > 1)} cannot be used either)" if more else ""
            raise ConfigError(f"{first}{others}")
        return self.accounts

    def one(self, name: str) -> Account:
        """Return one account; *name* and errors as for :func:`load_account`."""
        full = full_name({**self.accounts, **self.wrong}, name)
        if full in self.wrong:
            raise ConfigError(self.wrong[full])
        return self.accounts[full]


@blind
def read_accounts(environ: Mapping[str, str], path: Path | None = None) -> Found:
    """Return all accounts, also those that cannot be used; else as :func:`load_accounts`.

    Raises:
        ConfigError: The file, or the name of an account, cannot be used.
    """
    if path is None and environ.get("KRAKENONCE_CREDENTIALS", "").strip():
        path = Path(environ["KRAKENONCE_CREDENTIALS"].strip())
    # os.path leaves a ~name as it is if there is no such user; Path raises.
    found = _from_file(Path(os.path.expanduser(path))) if path is not None else {}
    found |= _from_environment(environ)
    ordered = [(name, found[name]) for name in sorted(found, key=lambda name: (name != MASTER, name))]
    return Found(
        {name: each for name, each in ordered if isinstance(each, Account)},
        {name: each for name, each in ordered if isinstance(each, str)},
    )


def variables(one: Account) -> dict[str, str]:
    """Return the environment variables that :func:`load_accounts` reads an account from."""
    prefix = f"KRAKEN_{one.name.replace(':', '_').upper()}_API_"
    otp = {f"{prefix}OTP": one.otp} if isinstance(one.otp, str) else {}
    return {f"{prefix}KEY": one.key, f"{prefix}SECRET": one.secret, f"{prefix}TIER": one.tier, **otp}


@blind
def checked(accounts: Iterable[Account] | None) -> list[Account]:
    """Return the accounts, None being those in the environment.

    Raises:
        ConfigError: One is not an Account, or two have the same name or the same key.
    """
    given: object = load_accounts(os.environ).values() if accounts is None else accounts
    found: dict[str, Account] = {}
    keys: dict[str, str] = {}
    for each in given if isinstance(given, Iterable) else [None]:
        if not isinstance(each, Account):
            raise ConfigError("accounts must be a list of Account, such as load_accounts(os.environ).values()")
        if found.setdefault(each.name, each) is not each:
            raise ConfigError(f"two accounts have the name {each.name}; names must be different")
        if keys.setdefault(each.key, each.name) != each.name:
            raise ConfigError(
                f"{keys[each.key]} and {each.name} have the same API key, so each order would be placed twice"
            )
    return list(found.values())


def account(accounts: Mapping[str, A], name: str) -> A:
    """Return one of *accounts*, such as what :func:`load_accounts` returns; *name* and errors as :func:`full_name`."""
    return accounts[full_name(accounts, name)]


def full_name(accounts: Mapping[str, object], name: str) -> str:
    """Return the full name of an account.

    Args:
        accounts: Accounts, or what belongs to each, by name.
        name: ``MASTER``, ``USER:alice`` or just ``alice``, in upper or lower case.

    Raises:
        ConfigError: There is no such account; the message lists all accounts.
    """
    wanted = name.strip().lower()
    user = wanted.removeprefix(USER.lower())
    for full in (name, MASTER if wanted == MASTER.lower() else USER + user):
        if full in accounts:
            return full
    if not accounts:
        raise ConfigError(_NONE_GIVEN)
    shown = f"account {name.strip()!r}" if _USER_NAME.fullmatch(user) else "such account"
    raise ConfigError(f"there is no {shown}; the accounts are {', '.join(accounts)}")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Account | str]:
    """Return each account, or why it cannot be used."""
    prefixes: dict[str, str] = {}
    twice: dict[str, Account | str] = {}
    for variable in sorted(environ):
        match = _VARIABLE.fullmatch(variable)
        if match is None or not environ[variable].strip():
            continue
        prefix, user, _ = match.groups()
        name = _user(user, "the <NAME> of KRAKEN_USER_<NAME>_API_KEY") if user else MASTER
        if prefixes.setdefault(name, prefix) != prefix:
            twice[name] = f"{prefixes[name]}... and {prefix}... name the same account {name}; remove one"
    parts = ("KEY", "SECRET", "TIER", "OTP")
    places = {name: [f"{prefix}{part}" for part in parts] for name, prefix in prefixes.items()}
    return {name: _account(name, variables, map(environ.get, variables)) for name, variables in places.items()} | twice


def _from_file(path: Path) -> dict[str, Account | str]:
    """Return each account, or why it cannot be used."""
    document = read_file(path)
    users = document.pop("USER", {})
    if not document.keys() <= {MASTER}:
        raise ConfigError(f"{path} may only have the tables [MASTER] and [USER.<name>]: remove or rename the rest")
    if not isinstance(users, dict):
        raise ConfigError(f"USER in {path} must be one table per user: write [USER.<name>]")
    found = {name: _from_table(name, table, f"[{name}] in {path}") for name, table in document.items()}
    for user, table in users.items():
        name = _user(user, f"the name of a [USER.<name>] table in {path}")
        if name in found:
            found[name] = f"{path} has the account {name} twice; remove one"
        else:
            found[name] = _from_table(name, table, f"[{name.replace(':', '.')}] in {path}")
    return found


def _from_table(name: str, table: object, place: str) -> Account | str:
    """Return the account in one table of the file; *place* is the table, for messages."""
    known = ("api_key", "api_secret", "tier", "otp")
    if not isinstance(table, dict) or any(
        entry not in known or not isinstance(text, str) for entry, text in table.items()
    ):
        return (
            f'{place} must be api_key = "..." and api_secret = "...", optionally tier = "pro" and otp = "...", and '
            "nothing else"
        )
    return _account(name, [f"{entry} of {place}" for entry in known], map(table.get, known))


def _account(name: str, places: Iterable[str], texts: Iterable[str | None]) -> Account | str:
    """Return the account of these texts, or what is wrong; *places* are where they come from."""
    key_is, secret_is, tier_is, _ = places
    key, secret, tier, otp = ((text or "").strip() for text in texts)
    if not key or not secret:
        return f"{secret_is if key else key_is} is missing: give both the key and its secret"
    if wrong := wrong_pair(key, secret, (key_is, secret_is)):
        return wrong
    if not re.fullmatch(r"[!-~]+", key):
        return f"{key_is} is not an API key: copy it from Kraken again, without spaces"
    try:
        decode_secret(secret)
    except ConfigError:
        return f"{secret_is} is not base64: copy the whole private key from Kraken again"
    if tier and tier.lower() not in _TIERS:
        return f"{tier_is} is not one of {', '.join(_TIERS)}; your tier is in the account settings at Kraken"
    return Account(name, key, secret, tier.lower() or "starter", otp or None)


def _user(user: str, place: str) -> str:
    """Return the account name of *user*; *place* is where the name was found, for messages."""
    if not _USER_NAME.fullmatch(user.lower()):
        raise ConfigError(f"{place} must be 1 to 32 letters, digits or any of _ . -: rename it")
    return USER + user.lower()
