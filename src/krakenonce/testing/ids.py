"""Ids of Kraken's form."""

from __future__ import annotations

import random
import string

_SIGNS = string.ascii_uppercase + string.digits
_TWO_SIGNS = [one + other for one in _SIGNS for other in _SIGNS]


def new_id(first: str) -> str:
    """Return an id of Kraken's form, such as ``OQCLML-BW3P3-BUCMWZ``; *first* is its first letter.

    Each one is different; nothing here needs ids that cannot be guessed.
    """
    signs = first + "".join(random.choices(_TWO_SIGNS, k=8))  # noqa: S311 - see above
    return f"{signs[:6]}-{signs[6:11]}-{signs[11:]}"
