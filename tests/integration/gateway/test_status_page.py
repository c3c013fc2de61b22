"""The status page of a gateway with forty accounts, in a real browser, as it is read at three in the morning."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway.browser import CHROMIUM, Page, opened
from tests.integration.gateway.many_accounts import (
    BROKEN,
    LOCKED_OUT,
    LONG,
    MARKUP,
    NAMES,
    WRONG_SECRET,
    ManyAccounts,
    many_accounts,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
LAPTOP, PHONE = (1366, 768), (390, 844)
ALL_SHOWN = f"document.querySelectorAll('#accounts li').length === {len(NAMES)}"
CARDS = "[...document.querySelectorAll('#accounts .name')].map(each => each.textContent)"
TOO_WIDE = (  # wider than the screen, or than their card
    "[...document.querySelectorAll('body *')].filter(each => each.getBoundingClientRect().right > "
    "(each.closest('.cards li')?.getBoundingClientRect().right ?? innerWidth)).map(each => each.outerHTML.slice(0, 80))"
)
CUT_OFF = (
    "[...document.querySelectorAll('#accounts .name')].filter(each => each.scrollWidth > each.clientWidth)"
    ".map(each => [each.textContent, each.title])"
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyAccounts]:
    """The gateway, for tests that only look."""
    with many_accounts(tmp_path_factory.mktemp("many") / "state") as running:
        yield running


def shown(url: str, look: Callable[[Page], Awaitable[Any]]) -> Any:
    """Open the page, wait until all accounts are shown, and return what *look* does."""

    async def main() -> Any:
        async with opened(f"{url}/") as page:
            await page.comes_true(ALL_SHOWN)
            return await look(page)

    return asyncio.run(main())


def test_the_top_line_says_how_the_accounts_are(gateway: ManyAccounts) -> None:
    """How many are fine; the others by reason, a lockout until when, in the browser's time; the title counts them."""

    async def look(page: Page) -> tuple[str, str, list[str]]:
        await page.command("Emulation.setTimezoneOverride", timezoneId="Asia/Kathmandu")
        await page.command("Page.reload")
        await page.comes_true(ALL_SHOWN)
        todo = "[...document.querySelectorAll('#todo li')].map(each => each.textContent)"
        line = "document.getElementById('summary').textContent"
        ends = (
            "fetch('/v1/status').then(got => got.json()).then(got => new Date(1000 * got.accounts.find(each => "
            f"each.account === '{LOCKED_OUT}').health.until).toLocaleTimeString('en-GB', {{timeStyle: 'short'}}))"
        )
        text = (await page.value(line)).replace(await page.value(ends), "THEN")
        return text, await page.value("document.title"), await page.value(todo)

    line, title, todo = shown(gateway.url, look)
    assert line == "37 fine, 1 locked out until THEN, 1 refused: unknown key, 1 refused: wrong secret"
    assert title == "(3) krakenonce gateway"
    assert [each.partition(":  ")[0].partition(": ")[0] for each in todo] == BROKEN
    assert todo[BROKEN.index(WRONG_SECRET)].endswith(
        "Correct the secret in the credentials, and send the gateway SIGHUP."
    )


def test_broken_accounts_come_first_and_not_by_colour_alone(gateway: ManyAccounts) -> None:
    """Each with an icon of its own and a word; none of them is said to be fine or running."""

    async def look(page: Page) -> tuple[list[str], list[str], list[str]]:
        words = "[...document.querySelectorAll('#accounts .how')].map(each => each.textContent)"
        icons = "[...document.querySelectorAll('#accounts .icon path')].map(each => each.getAttribute('d'))"
        return await page.value(CARDS), await page.value(words), await page.value(icons)

    names, words, icons = shown(gateway.url, look)
    assert (names[:3], sorted(names)) == (BROKEN, sorted(NAMES))
    assert not {"fine", "running"} & set(words[:3])
    assert set(words[3:]) == {"fine"}
    assert not set(icons[:3]) & set(icons[3:])


SHOW = """
import('/accounts.js').then(({ showAccounts }) => {
  const health = (state, words) => ({ state, words, until: null, todo: '' });
  const account = (name, state, words, waiting, rest) => ({
    account: name, health: health(state, words), waiting, counters: { rest: [rest, 20] },
    keys: [{ key: 'k', passed_over: [] }], refused: {}, answered: 0, minutes: { calls: [], bad: [] } });
  const accounts = [account('a', 'fine', '', 0, 0), account('b', 'fine', '', 2, 0), account('c', 'fine', '', 0, 19),
    account('d', 'limited', 'no permission', 0, 0), account('e', 'new', 'why', 0, 0),
    account('f', 'locked_out', 'lockout', 0, 0)];
  const unusable = [{ account: 'g', health: health('no_credentials', 'no credentials') }];
  const problems = showAccounts({ accounts, unusable, local_keys: [] }, () => true);
  const cards = [...document.querySelectorAll('#accounts li')];
  return [problems, document.getElementById('summary').textContent,
    cards.map(each => `${each.className} ${each.querySelector('.name').textContent}`)];
})
"""


def test_those_that_wait_come_after_the_broken_ones_and_before_the_fine(gateway: ManyAccounts) -> None:
    """Also an account without credentials is broken, and one in a state that the page does not know of."""
    problems, line, order = shown(gateway.url, lambda page: page.value(SHOW))
    assert problems == 3
    broken = "1 locked out, 1 new: why, 1 no credentials"
    assert line == f"1 fine, {broken}, 1 partly refused: no permission, 2 waiting"
    assert order == ["bad e", "bad f", "bad g", "limited d", "waits b", "waits c", "fine a"]


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(gateway: ManyAccounts, size: tuple[int, int], scheme: str) -> None:
    """Forty accounts need no scrolling sideways; only a long name is cut off, and is whole in its title."""

    async def look(page: Page) -> tuple[bool, list[str], list[list[str]]]:
        width, height = size
        await page.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size == PHONE
        )
        await page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        fits = f"innerWidth === {width} && document.documentElement.scrollWidth <= innerWidth"
        return await page.value(fits), await page.value(TOO_WIDE), await page.value(CUT_OFF)

    assert shown(gateway.url, look) == (True, [], [[LONG, LONG]])


def test_the_search_finds_accounts_local_keys_and_calls(gateway: ManyAccounts) -> None:
    """All words that are typed must be in a line; what is broken is still on top."""

    async def look(page: Page) -> list[Any]:
        found = []
        for words in ("bot07", "ledgers MASTER", "no such thing"):
            await page.value("document.getElementById('search').focus(), document.getElementById('search').select()")
            await page.command("Input.insertText", text=words)
            lines = (
                "['refusals', 'calls', 'local'].map(id => "
                "document.querySelectorAll(`#${id} td.name, #${id} td.who`).length)"
            )
            found.append((await page.value(CARDS), await page.value(lines)))
        return [*found, await page.value("document.getElementById('summary').textContent.slice(0, 7)")]

    one, method, nothing, line = shown(gateway.url, look)
    assert one == (["USER:bot07"], [0, 1, 1])
    assert method == ([], [1, 1, 0])
    assert nothing == ([], [0, 0, 0])
    assert line == "37 fine"


def test_what_comes_from_elsewhere_is_shown_as_text(gateway: ManyAccounts) -> None:
    """Markup in Kraken's answer makes no element and runs no script."""

    async def look(page: Page) -> tuple[str, int, str]:
        reason = "[...document.querySelectorAll('#refusals .why')].map(each => each.textContent).join()"
        images = "document.querySelectorAll('img').length"
        return await page.value(reason), await page.value(images), await page.value("document.title")

    reason, images, title = shown(gateway.url, look)
    assert MARKUP in reason
    assert (images, title) == (0, "(3) krakenonce gateway")


def test_the_graphs_are_drawn_from_the_last_hour(gateway: ManyAccounts) -> None:
    """Calls, refusals, unknown outcomes and waits, each with its figures in words; and a small one for each account."""

    async def look(page: Page) -> tuple[list[str], int, int]:
        labels = "[...document.querySelectorAll('#charts svg')].map(each => each.getAttribute('aria-label'))"
        bars = "document.querySelectorAll('#charts rect').length"
        small = "[...document.querySelectorAll('#accounts .spark')].filter(each => each.querySelector('rect')).length"
        return await page.value(labels), await page.value(bars), await page.value(small)

    labels, bars, small = shown(gateway.url, look)
    assert [label.partition(", last hour: ")[0] for label in labels] == [
        "Calls",
        "Refused, not sent",
        "Unknown outcome",
        "Bots' wait",
    ]
    assert f"last hour: {len(NAMES) + 1}," in labels[0]
    assert "last hour: 4," in labels[1]
    assert "last hour: 0," in labels[2]
    assert bars >= 3
    assert small == len(NAMES)


def test_the_page_says_since_when_the_gateway_does_not_answer(tmp_path: Path) -> None:
    """In the line on top and in the title; what is shown is old then, and as easy to read."""

    async def look(page: Page) -> tuple[str, str, int]:
        running.process.kill()
        await page.comes_true("document.getElementById('state').className === 'bad'")
        text = "document.getElementById('state').textContent"
        cards = "document.querySelectorAll('#accounts li').length"
        return await page.value(text), await page.value("document.title"), await page.value(cards)

    with many_accounts(tmp_path / "state") as running:
        text, title, cards = shown(running.url, look)
    assert re.fullmatch(r"No answer from the gateway since \d\d:\d\d:\d\d\. What is below is old\.", text)
    assert (title, cards) == ("(no answer) krakenonce gateway", len(NAMES))
