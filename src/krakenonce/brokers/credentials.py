"""The accounts of a bot: their API keys and secrets, from the environment and from a private file.

Nothing here prints, logs or raises a key, a secret or a line of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast, overload

from krakenonce.brokers.credentials_environment import from_environment, to_environment
from krakenonce.brokers.credentials_file import from_file
from krakenonce.brokers.credentials_texts import MASTER, USER, USER_NAME, Described
from krakenonce.checks import check_text
from krakenonce.errors import ConfigError
from krakenonce.key.naming import fingerprint
from krakenonce.key.pair import KeyPair, checked_pairs, wrong_pair
from krakenonce.shown import blind, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.key.pair import Otp, Pair


__all__ = [
    "MASTER",
    "Account",
    "Found",
    "FromAccounts",
    "account",
    "checked",
    "full_name",
    "load_account",
    "load_accounts",
    "read_accounts",
    "variables",
]

A = TypeVar("A")

_NONE_GIVEN = (
    "there are no Kraken credentials: set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET, "
    "or set KRAKENONCE_CREDENTIALS to a TOML file that has them"
)


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Account:
    """One account at Kraken: its API keys with their secrets, and a name that may be shown.

    Orders, balances and the trading engine's counters are the account's; nonces and the REST counter are each key's.
    It is given one key, as ``Account(name, key, secret)``, or any number: ``Account(name, keys=[(key, secret), ...])``.
    ``keys`` then has all of them, each a :class:`~krakenonce.brokers.KeyPair`; ``key``, ``secret`` and ``otp`` are
    those of the first.

    Args:
        name: ``MASTER``, or ``USER:`` and a name in lower case.
        key: The API key.
        secret: The private key in base64, as Kraken shows it.
        tier: The account's tier at Kraken: ``starter``, ``intermediate``, ``pro``; ``none``: its calls are not counted.
        otp: The key's second factor, if it has one: a password, or a function that returns one for each call.
        keys: Instead of *key*, *secret* and *otp*, for each key ``(key, secret)``, ``(key, secret, otp)`` or a
            ``KeyPair``.

    Raises:
        ConfigError: A pair cannot be used, for example because the secret is not base64; or one of *keys* is there
            twice, or there is none, or a key is given beside them.
    """

    name: str
    key: str
    secret: str
    tier: str
    otp: Otp | None
    keys: tuple[KeyPair, ...]

    @overload
    def __init__(self, name: str, key: str, secret: str, tier: str = ..., otp: Otp | None = ...) -> None: ...

    @overload
    def __init__(self, name: str, *, keys: Iterable[Pair], tier: str = ...) -> None: ...

    @blind
    def __init__(
        self,
        name: str,
        key: str | None = None,
        secret: str | None = None,
        tier: str = "starter",
        otp: Otp | None = None,
        keys: Iterable[Pair] | None = None,
    ) -> None:
        pairs: tuple[KeyPair, ...]
        if keys is None:
            check_text("key", key)
            check_text("secret", secret)
            if wrong := wrong_pair(cast("str", key), cast("str", secret)):
                raise ConfigError(f"{wrong} Nothing was sent.")
            pairs = (KeyPair(cast("str", key), cast("str", secret), otp),)
        else:
            pairs = checked_pairs(keys)
            # dataclasses.replace() gives both.
            if (key, secret, otp) not in ((None, None, None), tuple(pairs[0])):
                raise ConfigError("give an account either key and secret (and otp), or keys")
        first = pairs[0]
        values = (name, first.key, first.secret, tier, first.otp, pairs)
        for field, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, field, value)

    @whole
    def __repr__(self) -> str:
        shown = ", ".join(fingerprint(each.key) for each in self.keys)
        return f"<Account {self.name} {f'{len(self.keys)} keys' if len(self.keys) > 1 else 'key'} {shown}>"


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
            ``USER_<NAME>`` for ``MASTER``; optionally ``..._TIER`` and ``..._OTP``. More keys of the account are
            ``..._KEY_2``, ``..._SECRET_2`` and optionally ``..._OTP_2``, and so on without a gap. An empty value
            counts as missing. An account in the environment overrides the same account in the file as a whole.
        path: A TOML file with the tables ``[MASTER]`` and ``[USER.<name>]``, each with ``api_key``, ``api_secret``
            and optionally ``tier`` and ``otp``; for several keys ``keys`` is a list of tables with these, but for
            ``tier``. ``None``: the file that ``KRAKENONCE_CREDENTIALS`` in *environ* names, if any.

    Raises:
        ConfigError: Half a pair, a wrong value or number, or a file that is wrong, unreadable or readable for other
            users.
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
    found = from_file(Path(os.path.expanduser(path))) if path is not None else {}
    found |= from_environment(environ)
    ordered = [(name, found[name]) for name in sorted(found, key=lambda name: (name != MASTER, name))]
    return Found(
        {name: Account(name, keys=each.keys, tier=each.tier) for name, each in ordered if isinstance(each, Described)},
        {name: each for name, each in ordered if isinstance(each, str)},
    )


def variables(one: Account) -> dict[str, str]:
    """Return the environment variables that :func:`load_accounts` reads an account from, with all of its keys."""
    return to_environment(one.name, one.keys, one.tier)


@blind
def checked(accounts: Iterable[Account] | None) -> list[Account]:
    """Return the accounts, None being those in the environment.

    Raises:
        ConfigError: One is not an Account, or two have the same name or share an API key.
    """
    given: object = load_accounts(os.environ).values() if accounts is None else accounts
    found: dict[str, Account] = {}
    keys: dict[str, str] = {}
    for each in given if isinstance(given, Iterable) else [None]:
        if not isinstance(each, Account):
            raise ConfigError("accounts must be a list of Account, such as load_accounts(os.environ).values()")
        if found.setdefault(each.name, each) is not each:
            raise ConfigError(f"two accounts have the name {each.name}; names must be different")
        for pair in each.keys:
            if keys.setdefault(pair.key, each.name) != each.name:
                raise ConfigError(
                    f"{keys[pair.key]} and {each.name} have the same API key, so each order would be placed twice"
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
    shown = f"account {name.strip()!r}" if USER_NAME.fullmatch(user) else "such account"
    raise ConfigError(f"there is no {shown}; the accounts are {', '.join(accounts)}")
