"""Why Kraken has refused a call, in a word for metrics, the status and the audit log. No I/O."""

from __future__ import annotations

from krakenonce import errors

INVALID_NONCE, INVALID_KEY, INVALID_SIGNATURE = "invalid_nonce", "invalid_key", "invalid_signature"
PERMISSION, ACCOUNT, LOCKOUT = "permission", "account", "lockout"
RATE_LIMIT, THROTTLED, UNAVAILABLE, PAGE = "rate_limit", "throttled", "unavailable", "page"

# The first that fits.
_REASONS: tuple[tuple[type[errors.KrakenAPIError], str], ...] = (
    (errors.InvalidNonce, INVALID_NONCE),
    (errors.InvalidKey, INVALID_KEY),
    (errors.InvalidSignature, INVALID_SIGNATURE),
    (errors.PermissionDenied, PERMISSION),
    (errors.AccountRefused, ACCOUNT),
    (errors.LockedOut, LOCKOUT),
    (errors.Throttled, THROTTLED),
    (errors.RateLimited, RATE_LIMIT),
    (errors.ServiceUnavailable, UNAVAILABLE),
    (errors.MarketRestricted, "market"),
    (errors.DeadlineElapsed, "deadline"),
    (errors.OrderRefused, "order"),
    (errors.FundingRefused, "funding"),
    (errors.EarnRefused, "earn"),
    (errors.InvalidArguments, "invalid_arguments"),
    (errors.UnknownAsset, "unknown_asset"),
    (errors.UnknownMethod, "unknown_method"),
    (errors.KrakenAPIError, "other"),
)


def reason_of(refusal: errors.KrakenAPIError) -> str:
    """Return the reason of Kraken's refusal in a word, such as ``invalid_key``; ``other`` if it has none of its own."""
    return next(reason for kind, reason in _REASONS if isinstance(refusal, kind))
