"""What an answer that is not Kraken's means: by its status and its headers, without reading the page."""

from __future__ import annotations

import pytest

from krakenonce.errors import AccessBlocked, KrakenError, OutcomeUnknown, RateLimited
from krakenonce.kraken.http_status import error_of, retry_after
from krakenonce.kraken.request import Answer

DATE = "Sun, 06 Nov 2044 08:49:37 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": " 2.5 "}, 2.5),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "86400"}, 900),
        ({"Retry-After": "9" * 5000}, 5),
        ({"Retry-After": "-3"}, 5),
        ({"Retry-After": "soon"}, 5),
        ({}, 5),
        ({"Retry-After": "Sun, 06 Nov 2044 08:50:07 GMT", "Date": DATE}, 30),
        ({"Retry-After": "Sun, 06 Nov 2044 08:49:07 GMT", "Date": DATE}, 0),
        ({"Retry-After": "Mon, 07 Nov 2044 08:49:37 GMT", "Date": DATE}, 900),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:07 GMT", "Date": "today"}, 0),
        ({"Retry-After": "Sun, 06 Nov 2044 08:50:07", "Date": DATE}, 30),
        ({"Retry-After": "Sun, 99 Nov 2044 08:50:07 GMT", "Date": DATE}, 5),
    ],
    ids=str,
)
def test_retry_after_is_read_and_bounded(headers: dict[str, str], seconds: float) -> None:
    """As seconds, or as a date by the answer's own clock; at most 15 minutes, and a few seconds if it says nothing."""
    assert retry_after(Answer(429, "", b"", headers)) == seconds


@pytest.mark.parametrize(
    ("status", "headers", "kind", "executed"),
    [
        *((status, {}, AccessBlocked, "no") for status in (400, 401, 403, 404, 405, 407, 413, 451)),
        (403, {"cf-mitigated": "challenge"}, AccessBlocked, "no"),
        (429, {"cf-mitigated": "challenge"}, AccessBlocked, "no"),
        (503, {"cf-mitigated": "challenge"}, AccessBlocked, "no"),
        (429, {}, RateLimited, "unknown"),
        *((status, {}, OutcomeUnknown, "unknown") for status in (200, 307, 408, 425, 499, 500, 502, 503, 504, 520)),
    ],
)
def test_an_answer_that_is_not_kraken_s_has_its_error(
    status: int, headers: dict[str, str], kind: type[KrakenError], executed: str
) -> None:
    """Only what refuses a call before it is passed on says that it was not executed."""
    error = error_of("/0/private/AddOrder", "host", Answer(status, "text/html", b"", headers), "<html>")
    assert (type(error), error.may_have_executed) == (kind, executed)
    assert f"/0/private/AddOrder at host: HTTP status {status}" in str(error)
