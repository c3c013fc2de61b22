"""The accounts of a bot: their API keys and secrets, from the environment and from a private file.

Nothing here prints, logs or raises a key, a secret or a line of the file.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from krakenonce.errors import ConfigError
from krakenonce.key.naming import fingerprint
from krakenonce.kraken.wire import decode_secret

if TYPE_CHECKING:
    from collections.abc import Mapping


A = TypeVar("A")

MASTER = "MASTER"
USER = "USER:"

_VARIABLE = re.compile(r"(KRAKEN_(?:MASTER|USER_(.+))_API_)(KEY|SECRET|TIER)")
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
    """

    name: str
    key: str
    secret: str
    tier: str = "starter"

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


def load_accounts(environ: Mapping[str, str], path: Path | None = None) -> dict[str, Account]:
    """Return all accounts by name: ``MASTER`` first, then the users in order.

    Args:
        environ: Has ``KRAKEN_MASTER_API_KEY`` and ``KRAKEN_MASTER_API_SECRET``, and the same with
            ``USER_<NAME>`` for ``MASTER``; optionally ``..._TIER``. An empty value counts as missing. An account in
            the environment overrides the same account in the file.
        path: A TOML file with the tables ``[MASTER]`` and ``[USER.<name>]``, each with ``api_key``, ``api_secret``
            and optionally ``tier``. ``None``: the file that ``KRAKENONCE_CREDENTIALS`` in *environ* names, if any.

    Raises:
        ConfigError: Half a pair, a wrong value, or a file that is wrong, unreadable or readable for other users.
    """
    if path is None and environ.get("KRAKENONCE_CREDENTIALS", "").strip():
        path = Path(environ["KRAKENONCE_CREDENTIALS"].strip())
    # os.path leaves a ~name as it is if there is no such user; Path raises.
    found = _from_file(Path(os.path.expanduser(path))) if path is not None else {}
    found |= _from_environment(environ)
    return {name: found[name] for name in sorted(found, key=lambda name: (name != MASTER, name))}


def variables(one: Account) -> dict[str, str]:
    """Return the environment variables that :func:`load_accounts` reads an account from."""
    prefix = f"KRAKEN_{one.name.replace(':', '_').upper()}_API_"
    return {f"{prefix}KEY": one.key, f"{prefix}SECRET": one.secret, f"{prefix}TIER": one.tier}


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


def _from_environment(environ: Mapping[str, str]) -> dict[str, Account]:
    prefixes: dict[str, str] = {}
    for variable in sorted(environ):
        match = _VARIABLE.fullmatch(variable)
        if match is None or not environ[variable].strip():
            continue
        prefix, user, _ = match.groups()
        name = _user(user, "the <NAME> of KRAKEN_USER_<NAME>_API_KEY") if user else MASTER
        if prefixes.setdefault(name, prefix) != prefix:
            raise ConfigError(f"{prefixes[name]}... and {prefix}... name the same account {name}; remove one")
    parts = {name: [f"{prefix}{part}" for part in ("KEY", "SECRET", "TIER")] for name, prefix in prefixes.items()}
    return {name: _account(name, variables, map(environ.get, variables)) for name, variables in parts.items()}


def _from_file(path: Path) -> dict[str, Account]:
    document = _read(path)
    users = document.pop("USER", {})
    if not document.keys() <= {MASTER}:
        raise ConfigError(f"{path} may only have the tables [MASTER] and [USER.<name>]: remove or rename the rest")
    if not isinstance(users, dict):
        raise ConfigError(f"USER in {path} must be one table per user: write [USER.<name>]")
    found = {name: _from_table(name, table, f"[{name}] in {path}") for name, table in document.items()}
    for user, table in users.items():
        name = _user(user, f"the name of a [USER.<name>] table in {path}")
        if name in found:
            raise ConfigError(f"{path} has the account {name} twice; remove one")
        found[name] = _from_table(name, table, f"[{name.replace(':', '.')}] in {path}")
    return found


def _from_table(name: str, table: object, place: str) -> Account:
    """Return the account in one table of the file; *place* is the table, for messages."""
    known = ("api_key", "api_secret", "tier")
    if not isinstance(table, dict) or any(
        entry not in known or not isinstance(text, str) for entry, text in table.items()
    ):
        raise ConfigError(
            f'{place} must be api_key = "..." and api_secret = "...", optionally tier = "pro", and nothing else'
        )
    return _account(name, [f"{entry} of {place}" for entry in known], map(table.get, known))


def _read(path: Path) -> dict[str, Any]:
    """Return the file's content; the permissions are those of the opened file, as the path may lead elsewhere."""
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path} is not a file: name a TOML file")
            if mode & 0o077:
                raise ConfigError(f"other users can read {path}; run: chmod 600 {shlex.quote(str(path))}")
            content = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror}): name a TOML file that you may read") from error
    try:
        return tomllib.loads(content.decode())
    except ValueError:
        raise ConfigError(f'{path} is not TOML: write each value in quotes, as in api_key = "..."') from None


def _account(name: str, places: Iterable[str], texts: Iterable[str | None]) -> Account:
    """Return the account of a key, a secret and a tier; *places* are where they come from, for messages."""
    key_is, secret_is, tier_is = places
    key, secret, tier = ((text or "").strip() for text in texts)
    if not key or not secret:
        raise ConfigError(f"{secret_is if key else key_is} is missing: give both the key and its secret")
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigError(f"{key_is} is not an API key: copy it from Kraken again, without spaces")
    try:
        decode_secret(secret)
    except ConfigError:
        raise ConfigError(f"{secret_is} is not base64: copy the whole private key from Kraken again") from None
    if tier and tier.lower() not in _TIERS:
        raise ConfigError(
            f"{tier_is} is not one of {', '.join(_TIERS)}; your tier is in the account settings at Kraken"
        )
    return Account(name, key, secret, tier.lower() or "starter")


def _user(user: str, place: str) -> str:
    """Return the account name of *user*; *place* is where the name was found, for messages."""
    if not _USER_NAME.fullmatch(user.lower()):
        raise ConfigError(f"{place} must be 1 to 32 letters, digits or any of _ . -: rename it")
    return USER + user.lower()
