"""Kraken's error strings: which class of ``errors.py`` each one has. No I/O.

A new string is one more line in ``STRINGS``. docs/reference/errors.md shows both tables; a test compares.

The strings are from Kraken's pages on errors and limits, its API specification and SDK, the lists of python-kraken-sdk
and ccxt, and users' reports.
"""

from __future__ import annotations

import re

from krakenonce import errors

# How a string begins. Capitals make no difference ("Unknown Method" has been seen). After it comes nothing, or a colon
# and details.
STRINGS: dict[type[errors.KrakenAPIError], tuple[str, ...]] = {
    errors.InvalidNonce: ("EAPI:Invalid nonce",),
    errors.InvalidKey: ("EAPI:Invalid key",),
    errors.InvalidSignature: ("EAPI:Invalid signature",),
    errors.InvalidToken: ("EAPI:Invalid token", "ESession:Invalid session"),
    errors.PermissionDenied: ("EAPI:Permission denied", "EGeneral:Permission denied"),
    errors.AccountRefused: (
        "EAccount:Invalid permissions",  # such as "USDT trading restricted for AT"
        "EAuth:Account temporary disabled",
        "EAuth:Account unconfirmed",
        "EAuth:Failed",
        "ETrade:Locked",
        "ETrade:User Locked",
    ),
    errors.InvalidArguments: (
        "EAPI:Bad request",
        "EAPI:Feature disabled",
        "EAPI:Invalid arguments",
        "EGeneral:Feature disabled",
        "EGeneral:Invalid arguments",
        "EGeneral:Invalid timeout argument",
        "EOrder:No amendable parameters specified",
        "EQuery:Unknown trade",
        "ETrade:Invalid request",
    ),
    errors.NotSimulated: ("EGeneral:Not simulated",),  # the fake Kraken's own
    errors.UnknownMethod: ("EGeneral:Unknown method",),
    errors.UnknownAsset: (
        "EFunding:Unknown asset",
        "EQuery:Invalid asset pair",
        "EQuery:Unknown asset",
        "EQuery:Unknown asset pair",
    ),
    errors.RateLimited: (
        "EAPI:Rate limit exceeded",
        "EAuth:Rate limit exceeded",
        "EAuth:Too many requests",
        "EFunding:Rate limit exceeded",
        "EGeneral:Too many requests",
        "EOrder:Domain rate limit exceeded",
        "EOrder:Rate limit exceeded",
    ),
    errors.Throttled: ("EService:Throttled",),
    errors.LockedOut: ("EGeneral:Temporary lockout",),
    errors.ServiceUnavailable: (
        "EDatabase:Internal error",
        "EGeneral:Internal error",
        "EService:Busy",
        "EService:Timeout",
        "EService:Unavailable",
    ),
    errors.MarketRestricted: ("EService:Market in cancel_only mode", "EService:Market in post_only mode"),
    errors.DeadlineElapsed: ("EService:Deadline elapsed",),
    errors.InsufficientFunds: (
        "EOrder:Insufficient funds",
        "EOrder:Insufficient initial margin",
        "EOrder:Insufficient margin",
        "EOrder:Margin allowance exceeded",
        "EOrder:Margin level too low",
        "EOrder:Margin position size exceeded",
    ),
    errors.InvalidOrder: (
        "EOrder:Cost minimum not met",
        "EOrder:Invalid price",
        "EOrder:Not enough leaves qty",
        "EOrder:Order minimum not met",
        "EOrder:Order not editable",
        "EOrder:Tick size check failed",
    ),
    errors.PostOnlyRefused: ("EOrder:Post only order",),
    errors.OrderLimitExceeded: (
        "EBM:limit exceeded",
        "EOrder:Orders limit exceeded",
        "EOrder:Positions limit exceeded",
        "EOrder:Scheduled orders limit exceeded",
    ),
    errors.PositionRefused: (
        "EOrder:Cannot open opposing position",
        "EOrder:Cannot open position",
        "EOrder:Reduce only",
        "EOrder:Unknown position",
    ),
    errors.UnknownOrder: ("EOrder:Invalid order", "EOrder:Unknown order"),
    errors.DuplicateOrder: ("EOrder:Duplicate cl_ord_id",),
    errors.FundingRefused: (
        "EFunding:Invalid amount",
        "EFunding:Invalid reference id",
        "EFunding:Invalid staking method",
        "EFunding:Max fee exceeded",
        "EFunding:No funding method",
        "EFunding:Too many addresses",
        "EFunding:Unknown reference id",
        "EFunding:Unknown withdraw key",
    ),
    errors.EarnRefused: (
        "EEarnings:Above max",
        "EEarnings:Below min",
        "EEarnings:Busy",
        "EEarnings:Insufficient funds",
        "EEarnings:Permission denied",
    ),
}

# How other strings begin that mean one thing whatever their exact words: ``*`` is any text. The first that fits counts.
# None is for all of EOrder, EFunding, ETrade or EService: Kraken does not say that all of these come before the order,
# or the withdrawal, exists ("EOrder:Duplicate cl_ord_id" may be about this very order), and "not executed" would then
# be a wrong answer that costs money. What fits nothing here stays an UnknownKrakenError.
PATTERNS: tuple[tuple[str, type[errors.KrakenAPIError]], ...] = (
    ("EEarnings:*", errors.EarnRefused),  # its class does not say "not executed" either
    ("E*:Rate limit exceeded", errors.RateLimited),
    ("E*:Too many requests", errors.RateLimited),
    ("E*:Permission denied", errors.PermissionDenied),
    ("E*:Internal error", errors.ServiceUnavailable),
    ("E*:Feature disabled", errors.InvalidArguments),
    ("E*:Invalid argument*", errors.InvalidArguments),
    ("E*:Invalid * argument*", errors.InvalidArguments),
    ("EAPI:*otp*", errors.PermissionDenied),  # no page of Kraken's has the words, but they can mean nothing else
    ("EAuth:Account *", errors.AccountRefused),
    ("EQuery:* asset*", errors.UnknownAsset),
    ("EQuery:Invalid *", errors.InvalidArguments),
    ("EQuery:Unknown *", errors.InvalidArguments),
    ("EFunding:Invalid *", errors.FundingRefused),
    ("EFunding:Unknown *", errors.FundingRefused),
    ("EOrder:Insufficient *", errors.InsufficientFunds),
    ("EOrder:* minimum not met", errors.InvalidOrder),
    ("EOrder:Post only order*", errors.PostOnlyRefused),
    ("EOrder:* limit exceeded", errors.OrderLimitExceeded),
    ("EOrder:Cannot open *", errors.PositionRefused),
    ("EService:Market in * mode", errors.MarketRestricted),
)

_KNOWN = {text.lower(): kind for kind, texts in STRINGS.items() for text in texts}
_FITTING = [(re.compile(re.escape(text.lower()).replace(r"\*", "[^:]*")), kind) for text, kind in PATTERNS]


def kind_of(string: str) -> type[errors.KrakenAPIError]:
    """Return the class of one of Kraken's strings; UnknownKrakenError if it is not known."""
    parts = string.lower().replace("eservice: throttled", "eservice:throttled").split(":")
    text = ":".join(parts[:2])
    found = (kind for pattern, kind in _FITTING if pattern.fullmatch(text))
    return _KNOWN.get(text) or next(found, errors.UnknownKrakenError)
