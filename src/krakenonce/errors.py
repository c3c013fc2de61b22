"""Every error krakenonce raises, in one tree.

    KrakenonceError
    ├── NonceError                 no number was handed out
    │   ├── InvalidScope             a scope name that cannot name a file        (also ValueError)
    │   ├── InvalidFloor             a floor outside 0 .. 2^63 - 2               (also ValueError)
    │   ├── ClockError               the clock is absurd and there is no earlier number to go on from
    │   ├── NonceExhausted           the scope has reached 2^63 - 1
    │   └── NonceStoreError          the store cannot keep its promise: disk, rights, file system, damage
    ├── LaneError                  misuse of a lane                            (also RuntimeError)
    │   └── LaneTimeout              the turn did not come in time               (also TimeoutError)
    ├── ConfigError                settings or credentials that cannot be used (also ValueError)
    └── KrakenError                a call to Kraken gave no result
        ├── KrakenAPIError           Kraken answered with an error
        │   └── InvalidNonce           EAPI:Invalid nonce
        ├── RequestNotSent           no connection: Kraken never saw the call
        └── OutcomeUnknown           sent, but not answered in a way that says what became of it

Each error has ``may_have_executed``: ``"no"`` or ``"unknown"``, for the call during which it was raised.
No message holds a secret or a whole API key.
"""

from __future__ import annotations

from typing import Any, Literal

__all__ = [
    "ClockError",
    "ConfigError",
    "InvalidFloor",
    "InvalidNonce",
    "InvalidScope",
    "KrakenAPIError",
    "KrakenError",
    "KrakenonceError",
    "LaneError",
    "LaneTimeout",
    "NonceError",
    "NonceExhausted",
    "NonceStoreError",
    "OutcomeUnknown",
    "RequestNotSent",
]


class KrakenonceError(Exception):
    """The root: catch it to catch whatever krakenonce raises."""

    may_have_executed: Literal["no", "unknown"] = "no"


class NonceError(KrakenonceError):
    """No number was handed out; nothing was sent."""


class InvalidScope(NonceError, ValueError):
    """A scope name that cannot name a counter."""


class InvalidFloor(NonceError, ValueError):
    """A floor that is not a whole number from 0 to 2^63 - 2."""


class ClockError(NonceError):
    """The clock is before 2020 or after 2200 and the scope has no earlier number to go on from."""


class NonceExhausted(NonceError):
    """The scope has reached 2^63 - 1, the largest number Kraken's schema allows."""


class NonceStoreError(NonceError):
    """The store cannot hand out a number that would survive a crash."""


class LaneError(KrakenonceError, RuntimeError):
    """A lane was used in a way that cannot work."""


class LaneTimeout(LaneError, TimeoutError):
    """The turn did not come within the timeout; nothing is held."""


class ConfigError(KrakenonceError, ValueError):
    """Settings or credentials that cannot be used."""


class KrakenError(KrakenonceError):
    """A call to Kraken gave no result."""


class KrakenAPIError(KrakenError):
    """Kraken answered with an error.

    Args:
        message: What happened and what to do.
        errors: Kraken's own strings, such as ``EGeneral:Permission denied``.
    """

    def __init__(self, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.errors)


class InvalidNonce(KrakenAPIError):
    """``EAPI:Invalid nonce``: Kraken has accepted a number at least as large from this key."""


class RequestNotSent(KrakenError):
    """No connection to Kraken: the call never left this machine and may be repeated with a new nonce."""


class OutcomeUnknown(KrakenError):
    """The call was sent and not answered: it may have been executed. Ask Kraken before repeating an order."""

    may_have_executed = "unknown"
