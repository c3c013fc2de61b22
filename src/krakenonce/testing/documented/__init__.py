"""What Kraken documents of each method of its Spot REST API: parameters, permissions and the fields of the answer.

The facts are from Kraken's REST specification (krakenfx/api-specs 729f278), and for what is newer from the pages of
docs.kraken.com, from Kraken's own clients (krakenfx/kraken-cli aa32814, krakenfx/kraken-api-sdk 0f71397), and from what
python-kraken-sdk's tests (90cf23d) found at Kraken itself. Of each parameter and method the table says as well whether
the fake Kraken simulates it: what it does not simulate, it refuses by name.
"""

from __future__ import annotations

from krakenonce.testing.documented.account import ACCOUNT
from krakenonce.testing.documented.earn import EARN
from krakenonce.testing.documented.funding import FUNDING
from krakenonce.testing.documented.market import MARKET
from krakenonce.testing.documented.trading import TRADING

__all__ = ["DOCUMENTED_PRIVATE", "DOCUMENTED_PUBLIC"]

DOCUMENTED_PUBLIC = {its.name: its for its in MARKET}
DOCUMENTED_PRIVATE = {its.name: its for its in (*ACCOUNT, *TRADING, *FUNDING, *EARN)}
