"""Reads the accounts of a gateway, at its start and on SIGHUP, and says what has changed."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.brokers.credentials import read_accounts
from krakenonce.errors import ConfigError
from krakenonce.gateway.kraken_account import KrakenAccount
from krakenonce.gateway.settings import credentials_path
from krakenonce.key.naming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from krakenonce.brokers.credentials import Account
    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.gateway.settings import Settings
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.manager import NonceManager


logger = logging.getLogger("krakenonce")


class Loaded(NamedTuple):
    """What reading the accounts has changed, each by name.

    Args:
        served: How many accounts are served now.
        new: Those that were not served before.
        gone: Those that are not served any more.
        changed: Those with another key, secret or tier.
        kept: Those that cannot be used as they are written now, and keep the pair that they had.
    """

    served: int
    new: Sequence[str] = ()
    gone: Sequence[str] = ()
    changed: Sequence[str] = ()
    kept: Sequence[str] = ()

    def words(self, local_keys: Iterable[LocalKey]) -> str:
        """Return it in words.

        Args:
            local_keys: The local keys: those of accounts that are gone are named.
        """
        bots: dict[str, list[str]] = {}
        for each in local_keys:
            bots.setdefault(each.account, []).append(each.name)
        gone = [
            f"{name}, used by local key{'s' if len(bots[name]) > 1 else ''} {', '.join(bots[name])}"
            if name in bots
            else name
            for name in self.gone
        ]
        parts = [
            f"{len(names)} {word}: {mark.join(names)}"
            for names, word, mark in (
                (self.new, "new", ", "),
                (gone, "gone", "; "),
                (self.changed, "changed", ", "),
                (self.kept, "cannot be used as written now and keep their pair", ", "),
            )
            if names
        ]
        return f"{self.served} account{'s' if self.served != 1 else ''} ({'; '.join(parts) or 'nothing changed'})"


class Accounts:
    """The accounts that a gateway serves.

    Args:
        settings: How it runs.
        manager: Where nonces and turns come from.
        transport: Connections to Kraken.
        activity: Where turns are counted.

    Attributes:
        served: The accounts with their Kraken keys, by name.
        wrong: Why the credentials of accounts, by name, cannot be used; some may be served with the pair they had.
    """

    def __init__(
        self, settings: Settings, manager: NonceManager, transport: AsyncTransport, activity: Activity
    ) -> None:
        self.served: dict[str, KrakenAccount] = {}
        self.wrong: dict[str, str] = {}
        self._settings = settings
        self._manager = manager
        self._transport = transport
        self._activity = activity

    def load(self) -> Loaded:
        """Read the accounts. An account that has not changed keeps its queue.

        An account that cannot be used is reported and does not stop the others, whose bots may have to cancel orders
        now. If it could be used before, it keeps the pair that it had.

        Raises:
            ConfigError: No account can be used; *served* is unchanged.
        """
        found = read_accounts(os.environ, credentials_path(self._settings.credentials, os.environ))
        self.wrong = dict(found.wrong)
        accounts = found.accounts or found.all()
        if not accounts:
            raise ConfigError(
                "there are no Kraken credentials: set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET, or use "
                "--credentials with a TOML file that has them"
            )
        served = self.served
        for name, why in found.wrong.items():
            result = "keeps the pair that it had" if name in served else "is not served until that is corrected"
            logger.error("account %s %s: %s", name, result, why)
        gone = sorted(served.keys() - accounts.keys() - found.wrong.keys())
        for name in gone:  # its calls that have arrived continue
            del served[name]
        new = [name for name in accounts if name not in served]
        changed = [name for name in accounts if name in served and served[name].account != accounts[name]]
        for name in (*new, *changed):
            _tell_about_otp(accounts[name])
            served[name] = self._made(accounts[name])
        kept = sorted(found.wrong.keys() & served.keys())
        return Loaded(len(served), new, gone, changed, kept)

    def _made(self, account: Account) -> KrakenAccount:
        return KrakenAccount(
            account,
            self._manager,
            self._transport,
            queue_length=self._settings.queue_length,
            max_wait=self._settings.max_wait,
            timeout=self._settings.timeout,
            order_timeout=self._settings.order_timeout,
            on_turn=self._activity.turn,
        )


def _tell_about_otp(account: Account) -> None:
    names = [fingerprint(each.key) for each in account.keys if each.otp is not None]
    if names and len(account.keys) == 1:
        logger.warning(
            "the gateway adds no second factor to the calls of %s: its bots send otp themselves", account.name
        )
    elif names:
        logger.warning(
            "the gateway adds no second factor to the calls of %s, and its bots cannot know with which of its %d keys "
            "a call is made: remove the second factor of these keys at Kraken: %s",
            *(account.name, len(account.keys), ", ".join(names)),
        )
