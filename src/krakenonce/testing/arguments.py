"""Read the parameters of a call as Kraken does: the error names the parameter that is wrong."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping


_CL_ORD_ID = (
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[\x20-\x7e]{1,18}"
)
_DECIMAL = r"[0-9]+\.?[0-9]*|\.[0-9]+"
_WITH_ZONE = r"(?i).{11,}(Z|[+-][0-9:]+)"  # a date, a time and an offset
INT32 = range(-(2**31), 2**31)


def invalid(name: str) -> Refused:
    """Return the error that names a parameter."""
    return Refused(f"EGeneral:Invalid arguments:{name}")


def required(params: Mapping[str, Any], name: str, pattern: str = r"(?s).+") -> str:
    """Return a text of this pattern; it must not be missing."""
    text = optional(params, name, pattern)
    if not text:
        raise invalid(name)
    return text


def positive(params: Mapping[str, Any], name: str, default: Decimal | None = None) -> Decimal:
    """Return a number above 0; it must not be missing unless there is a default."""
    if default is not None and not params.get(name):
        return default
    number = Decimal(required(params, name, _DECIMAL))
    if number == 0 or not -20 < number.adjusted() < 20:
        raise invalid(name)
    return number


def optional(params: Mapping[str, Any], name: str, pattern: str) -> str:
    """Return a text of this pattern, or an empty text if it is missing."""
    text = params.get(name, "")
    if text != "" and not (isinstance(text, str) and re.fullmatch(pattern, text)):
        raise invalid(name)
    return str(text)


def whole(params: Mapping[str, Any], name: str, default: int = 0, *, allowed: range = INT32) -> int:
    """Return an integer of this range, or the default if it is missing; the default must be in the range, too."""
    number = int(optional(params, name, r"-?[0-9]{1,10}") or default)
    if number not in allowed:
        raise invalid(name)
    return number


def is_on(params: Mapping[str, Any], name: str) -> bool:
    """Return whether a switch is on: ``true``, in any capitals, or ``1``."""
    return str(params.get(name, "")).lower() in ("true", "1")


def listed(params: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts of a list, given as one or separated by commas."""
    value = params.get(name, [])
    if isinstance(value, str):
        value = value.split(",") if value else []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise invalid(name)
    return [each.strip() for each in value]


def moment(params: Mapping[str, Any], name: str, now: float) -> float:
    """Return a time given as seconds since 1970, or from now on as ``+n``; 0 if it is missing or 0."""
    text = optional(params, name, r"\+?[0-9]{0,12}(\.[0-9]{1,9})?")
    seconds = float(text.lstrip("+") or 0)
    return now + seconds if text.startswith("+") and seconds else seconds


def rfc3339(params: Mapping[str, Any], name: str) -> float | None:
    """Return a time given as RFC 3339 in seconds since 1970, ``None`` if it is missing."""
    text = optional(params, name, _WITH_ZONE)
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        raise invalid(name) from None


def cl_ord_id(params: Mapping[str, Any]) -> str | None:
    """Return the client order id, ``None`` if it is missing.

    Kraken takes a UUID with or without its dashes, and any other printable ASCII of 18 characters at most.
    """
    return optional(params, "cl_ord_id", _CL_ORD_ID) or None


def page_start(params: Mapping[str, Any]) -> int:
    """Return how many entries are on the pages before the one that the ``cursor`` of a call names."""
    if "cursor" not in params or is_on(params, "cursor"):
        return 0
    cursor = str(params["cursor"])
    if not re.fullmatch(r"page-[0-9]{1,14}", cursor):
        raise invalid("cursor")
    return int(cursor.removeprefix("page-"))


def page_cursor(offset: int) -> str:
    """Return the ``cursor`` of the page with so many entries before it."""
    return f"page-{offset}"
