"""Bugs in the gateway's status page: what a person reads there who has to act."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["STATUS_PAGE"]

_STATUS = "src/krakenonce/gateway/status.py"
_PAGE = "src/krakenonce/gateway/page/"
_HISTORY = "src/krakenonce/gateway/history.py"
_IN_BROWSER = "tests/integration/gateway/test_status_page.py"
_PAGES = "tests/integration/gateway/test_pages.py"

STATUS_PAGE = (
    Planted(
        "the status says that an account which Kraken refuses is fine",
        "security",
        _STATUS,
        was="    health = health_in(account, seen, time.time())\n",
        becomes="    health = health_in(account, seen, time.time())._replace(state=FINE)\n",
        test=f"{_IN_BROWSER}::test_the_top_line_says_how_the_accounts_are",
    ),
    Planted(
        "an account in a state that the page does not know of is shown as fine",
        "security",
        f"{_PAGE}accounts.js",
        was='kind: state === "limited" ? "limited" : "bad"',
        becomes='kind: { limited: "limited", refused: "bad", locked_out: "bad" }[state] ?? "fine"',
        test=f"{_IN_BROWSER}::test_those_that_wait_come_after_the_broken_ones_and_before_the_fine",
    ),
    Planted(
        "broken accounts are among the others on the status page",
        "security",
        f"{_PAGE}accounts.js",
        was="  all.sort((one, other) => rank(one) - rank(other) || one",
        becomes="  all.sort((one, other) => one",
        test=f"{_IN_BROWSER}::test_broken_accounts_come_first_and_not_by_colour_alone",
    ),
    Planted(
        "an account without usable credentials is not on the status page",
        "security",
        _STATUS,
        was="        for name, text in why.items()\n        if name not in served\n",
        becomes="        for name, text in why.items()\n        if name in served\n",
        test=f"{_PAGES}::test_an_account_without_usable_credentials_is_not_said_to_be_fine",
    ),
    Planted(
        "the status page takes what Kraken has answered for HTML",
        "security",
        f"{_PAGE}dom.js",
        was="  made.append(...inside);\n  if (inside",
        becomes="  for (const one of inside) one.nodeType ? made.append(one) : made.innerHTML += one;\n  if (inside",
        test=f"{_IN_BROWSER}::test_what_comes_from_elsewhere_is_shown_as_text",
    ),
    Planted(
        "the status page does not say that the gateway does not answer",
        "security",
        f"{_PAGE}status.js",
        was="  } catch {\n    const old",
        becomes="  } catch {\n    return;\n    const old",
        test=f"{_IN_BROWSER}::test_the_page_says_since_when_the_gateway_does_not_answer",
        hangs=45.0,
    ),
    Planted(
        "the status page scrolls sideways on a phone",
        "security",
        f"{_PAGE}status.css",
        was="grid-template-columns: 5.2rem minmax(0, 1fr) 6.6rem;",
        becomes="grid-template-columns: 5.2rem 20rem 6.6rem;",
        test=f"{_IN_BROWSER}::test_nothing_is_wider_than_the_screen[light-phone]",
    ),
    Planted(
        "a text of the status page is too pale to read",
        "security",
        f"{_PAGE}status.css",
        was="--faint: #60646c;",
        becomes="--faint: #8b8d98;",
        test="tests/unit/gateway/test_page_colours.py::test_text_and_graphs_stand_out_from_what_is_behind_them[light]",
    ),
    Planted(
        "the status is made anew for each browser",
        "security",
        "src/krakenonce/gateway/pages.py",
        was="now - self._status_at >= _FRESH",
        becomes="now >= self._status_at",
        test=f"{_PAGES}::test_browsers_that_look_at_the_same_time_get_one_status",
    ),
    Planted(
        "the minutes of the gateway's history grow without bound",
        "security",
        _HISTORY,
        was="deque(maxlen=MINUTES)",
        becomes="deque()",
        test="tests/unit/gateway/test_history.py::test_a_year_of_calls_needs_no_more_memory_than_an_hour",
    ),
    Planted(
        "accounts that are gone stay in the gateway's history",
        "security",
        _HISTORY,
        was="            if len(self._accounts) >= ACCOUNTS:\n",
        becomes="            if len(self._accounts) > 10 * ACCOUNTS:\n",
        test="tests/unit/gateway/test_history.py::test_accounts_that_come_and_go_are_forgotten",
    ),
)
