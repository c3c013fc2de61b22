"""The gateway with one line of it broken: ``python -m tests.campaigns.broken_gateways BREAK gateway run ...``."""

from __future__ import annotations

import sys

from krakenonce.gateway import finding_out
from krakenonce.gateway.sent_record import SentRecord
from tests.campaigns.breaks import Break

__all__ = ["BREAKS"]

BREAKS = {
    each.name: each
    for each in (
        Break("the record finds nothing", SentRecord, "_find", "return entry", "pass"),
        Break("whose orders are others is not known", finding_out, "others", "return found", "return set()"),
        Break(
            "an order without a deadline is over",
            finding_out,
            "look",
            "is_over = deadline is not None and before > deadline + MARGIN.total_seconds()",
            "is_over = True",
        ),
    )
}


if __name__ == "__main__":
    import pytest

    from krakenonce.cli.main import main

    name, *words = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        BREAKS[name].apply(patch)
        sys.argv[1:] = words
        sys.exit(main())
