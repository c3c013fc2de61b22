"""What the gateway shows of itself, over real HTTP, and in a real browser where there is one."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from krakenonce.brokers import Account
from krakenonce.errors import OutcomeUnknown
from krakenonce.gateway import state_look
from krakenonce.gateway.activity import Activity, Call, Histogram
from krakenonce.gateway.gateway import Gateway
from krakenonce.gateway.kraken_account import KrakenAccount
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.gateway.loop_thread import LoopThread
from krakenonce.gateway.pages import Pages
from krakenonce.gateway.public import PublicCalls
from krakenonce.gateway.server import GatewayServer
from krakenonce.key.naming import fingerprint
from krakenonce.kraken import AsyncKraken
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.gateway.browser import CHROMIUM, opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Running:
    """A gateway in this event loop, with one account, one local key, and some calls made."""

    def __init__(self, state: Path, kraken_url: str, account: Account, unusable: dict[str, str] | None = None) -> None:
        self.account = account
        self.activity = Activity()
        self.key_file = state / "gateway_keys.json"
        self.local_keys = LocalKeys(self.key_file)
        self.local = self.local_keys.add("bot-a", account.name, frozenset(["query", "trade"]))
        self._manager = NonceManager(state)
        self._kraken = AsyncTransport(kraken_url)
        self.served = KrakenAccount(
            account,
            self._manager,
            self._kraken,
            queue_length=10,
            max_wait=5.0,
            timeout=5.0,
            order_timeout=5.0,
            on_turn=self.activity.turn,
        )
        self.gateway = Gateway({account.name: self.served}, self.local_keys, self._manager.store, self.activity)
        pages = Pages(self.gateway, self.activity, self._manager, lambda: unusable or {})
        self.status = pages.status
        self._second = LoopThread().__enter__()
        self.public = PublicCalls(self._kraken, self.activity.public, 5.0, 5.0)
        self._server = GatewayServer(self.gateway, self.public, self._second, pages)
        self.url = ""

    async def __aenter__(self) -> Self:
        self.url = f"http://127.0.0.1:{await self._server.start('127.0.0.1', 0)}"
        manager = NonceManager("memory:")
        self.bot = AsyncKraken(self.local.key, self.local.secret, manager=manager, tier="none", base_url=self.url)
        for _ in range(3):
            await self.bot.balances()
        assert await self.bot.query_private("Withdraw") == {"error": ["EGeneral:Permission denied"]}
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.bot.close()
        await self._server.stop()
        self._second.__exit__()
        await self._kraken.close()
        self._manager.close()

    async def get(self, path: str) -> tuple[int, str]:
        """Fetch one page."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need longer for the first look at the state than a page waits."""
    monkeypatch.setattr(state_look, "PATIENCE", 10.0)


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken without accounts."""
    return FakeKraken()


@pytest.fixture
def during(fake: FakeKraken, tmp_path: Path) -> Callable[[Callable[[Running], Awaitable[Any]]], Any]:
    """Run something while a gateway is there."""
    made = fake.add_account("MASTER")
    account = Account("MASTER", made.key, made.secret, "pro")

    def run(work: Callable[[Running], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with Running(tmp_path / "state", server.url, account) as running:
                return await work(running)

        with FakeKrakenServer(fake) as server:
            return asyncio.run(main())

    return run


def test_the_metrics_are_what_prometheus_reads(during: Callable[..., Any]) -> None:
    """Answered and refused calls, turns, Kraken's answers, the queue, and the nonces."""
    status, text = during(lambda running: running.get("/metrics"))
    assert status == 200
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["krakenonce_answered_total", "bot-a"] == 3
    assert samples["krakenonce_not_sent_total", "not_allowed"] == 1
    assert samples["krakenonce_unknown_outcome_total",] == 0
    assert samples["krakenonce_kraken_seconds_count", "MASTER"] == 3
    assert samples["krakenonce_lane_wait_seconds_bucket", "MASTER", "+Inf"] == 3
    assert samples["krakenonce_lane_hold_seconds_count", "MASTER"] == 3
    assert samples["krakenonce_queue_length", "MASTER", "urgent"] == 0
    assert samples["krakenonce_queue_length", "MASTER", "other"] == 0
    assert 0 < samples["krakenonce_rate_limit_level", "MASTER", "rest"] <= 3
    assert samples["krakenonce_rate_limit_max", "MASTER", "engine"] == 180
    assert samples["krakenonce_high_water_mark_raises_total", "global"] == 1
    assert 0 < samples["krakenonce_high_water_mark_raise_seconds_total", "global"] < 60
    assert samples["krakenonce_nonces_issued_total", "global"] == 3
    assert samples["krakenonce_lockout_seconds", "MASTER"] == 0


def test_the_dashboard_asks_for_what_there_is(during: Callable[..., Any]) -> None:
    """Every metric in deploy/grafana.json is one of the gateway's."""
    _, text = during(lambda running: running.get("/metrics"))
    there = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    # Kraken has refused nothing here, and a counter without a label has no sample.
    there.add("krakenonce_refused_total")
    dashboard = (Path(__file__).parents[3] / "deploy" / "grafana.json").read_text(encoding="utf-8")
    asked = set(re.findall(r"krakenonce_[a-z_]+", dashboard))
    assert len(asked) > 10
    assert asked <= there


def test_no_page_shows_a_key_or_a_secret(during: Callable[..., Any]) -> None:
    """Neither Kraken's nor the local ones, nor what an unknown client has sent."""

    async def read(running: Running) -> tuple[Running, str]:
        async with aiohttp.ClientSession() as session:
            headers = {"API-Key": "<stranger>", "API-Sign": "x"}
            await session.post(running.url + "/0/private/<method>", data=b"nonce=1", headers=headers)
        paths = (
            "/",
            "/status.js",
            "/accounts.js",
            "/calls.js",
            "/dom.js",
            "/status.css",
            "/v1/status",
            "/metrics",
            "/healthz",
            "/readyz",
        )
        return running, "".join([(await running.get(path))[1] for path in paths])

    running, seen = during(read)
    for hidden in (running.account.key, running.account.secret, running.local.key, running.local.secret, "stranger"):
        assert hidden not in seen
    assert "invalid_key" in seen


def test_the_status_is_what_happened(during: Callable[..., Any]) -> None:
    """Accounts, local keys, counts and the last refusal."""
    _, text = during(lambda running: running.get("/v1/status"))
    seen = json.loads(text)
    (account,) = seen["accounts"]
    assert (account["account"], account["tier"], account["answered"], account["waiting"]) == ("MASTER", "pro", 3, 0)
    assert seen["local_keys"] == [{"name": "bot-a", "account": "MASTER", "allow": ["query", "trade"]}]
    (refusal,) = seen["refusals"]
    assert (refusal["local_key"], refusal["method"], refusal["reason"]) == ("bot-a", "Withdraw", "not_allowed")


def test_health_and_readiness_are_two_things(during: Callable[..., Any]) -> None:
    """With a key file that cannot be used, and while it stops, it lives and is not ready."""

    async def ask(running: Running) -> list[int]:
        seen = [(await running.get("/readyz"))[0]]
        running.key_file.chmod(0o644)
        seen += [(await running.get(path))[0] for path in ("/readyz", "/healthz")]
        running.key_file.chmod(0o600)
        running.gateway.stopping = True
        return [*seen, (await running.get("/readyz"))[0]]

    assert during(ask) == [200, 503, 200, 503]


def test_a_file_that_cannot_be_used_is_reported_by_every_page_that_needs_it(
    during: Callable[..., Any], tmp_path: Path
) -> None:
    """With 503 and one line that says which it is; as soon as it is back, so are the pages."""

    async def ask(running: Running) -> list[tuple[int, str]]:
        running.key_file.chmod(0o644)
        seen = [await running.get("/v1/status")]
        running.key_file.chmod(0o600)
        (limits,) = (tmp_path / "state").rglob("kraken_limits_*.bin")
        limits.unlink()
        limits.mkdir()
        seen += [await running.get(path) for path in ("/v1/status", "/metrics")]
        limits.rmdir()
        return [*seen, *[await running.get(path) for path in ("/v1/status", "/metrics")]]

    *broken, status, metrics = during(ask)
    assert [(code, text.count("\n")) for code, text in broken] == [(503, 1)] * 3
    assert "chmod 600" in broken[0][1]
    assert [code for code, _ in (status, metrics)] == [200, 200]


HOLD = """
import sys
from krakenonce.manager import NonceManager
with NonceManager(sys.argv[1]).lane(sys.stdin.readline().strip()):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_whose_turn_it_is(during: Callable[..., Any], tmp_path: Path) -> None:
    """No call's, a call's of the gateway, or, when a call waits for it, another process's, with its pid."""

    async def look(running: Running) -> list[str]:
        seen = [running.served.queue.turn]
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLD, str(tmp_path / "state"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(f"{running.account.key}\n".encode())
        assert await holder.stdout.readline() == b"held\n"
        begun, done = asyncio.Event(), asyncio.Event()

        async def job(_: int) -> None:
            begun.set()
            await done.wait()

        call = asyncio.create_task(running.served.queue.run(job, urgent=True))
        status, text = await running.get("/v1/status")
        while status != 200:  # on a busy machine the state may not answer in time
            status, text = await running.get("/v1/status")
        turn = json.loads(text)["accounts"][0]["turn_held_by"]
        seen.append(turn.replace(f" {holder.pid} ", " PID "))
        holder.stdin.close()
        await begun.wait()
        seen.append(running.served.queue.turn)
        done.set()
        await asyncio.gather(call, holder.wait())
        return seen

    free, other, ours = during(look)
    assert (free, ours) == ("free", "a call of this gateway")
    assert re.fullmatch(r"process PID has held it for \d+\.\d s", other)


def test_what_kraken_refused_is_among_the_last_refusals(during: Callable[..., Any], fake: FakeKraken) -> None:
    """In Kraken's words, with the local key that asked."""

    async def ask(running: Running) -> Any:
        fake.faults.add("Balance", "error", error="EQuery:Unknown asset")
        await running.bot.query_private("Balance")
        return await running.status()

    seen = during(ask)
    assert seen["refusals"][0]["reason"] == "Kraken: EQuery:Unknown asset"
    assert (seen["refusals"][0]["local_key"], seen["refusals"][0]["method"]) == ("bot-a", "Balance")
    assert seen["accounts"][0]["refused"] == {"unknown_asset": 1}


def test_a_call_that_is_refused_while_the_status_is_made_does_not_break_it(during: Callable[..., Any]) -> None:
    """Calls are counted in another thread than the one that makes the pages."""

    class Meanwhile(Call):
        """While it is shown, another call is refused."""

        def _asdict(self) -> dict[str, Any]:
            refuse(Call(0.0, "bot-b", "MASTER", "Balance", "refused", "too late for this page"))
            return super()._asdict()

    refuse: Callable[[Call], object] = id

    async def look(running: Running) -> dict[str, Any]:
        nonlocal refuse
        refuse = running.activity.refusals.appendleft
        refuse(Meanwhile(0.0, "bot-b", "MASTER", "Balance", "refused", "shown"))
        return await running.status()

    assert [each["reason"] for each in during(look)["refusals"]] == ["shown", "not_allowed"]


def test_a_call_without_an_answer_is_counted_apart_from_those_not_sent(
    during: Callable[..., Any], fake: FakeKraken
) -> None:
    """It may have been executed; the last refusals show it, too."""

    async def ask(running: Running) -> tuple[Any, str]:
        fake.faults.add("AddOrder", "drop")
        with pytest.raises(OutcomeUnknown):
            await running.bot.query_private("AddOrder", {"pair": "XBTUSD"})
        return await running.status(), (await running.get("/metrics"))[1]

    status, metrics = during(ask)
    assert (status["unknown_outcomes"], status["not_sent"]) == (1, {"not_allowed": 1})
    assert status["refusals"][0]["reason"] == "unknown_outcome"
    assert "krakenonce_unknown_outcome_total 1.0" in metrics


def test_public_calls_are_counted_apart_from_private_ones(during: Callable[..., Any], fake: FakeKraken) -> None:
    """By where the answer comes from; what Kraken refuses, what is not sent, and what gets no answer, too."""

    async def ask(running: Running) -> str:
        fake.faults.add("SystemStatus", "drop")
        fake.faults.add("SystemStatus", "html", status=502)
        fake.faults.add("SystemStatus", "error", error="EQuery:Unknown asset pair")
        fake.faults.add("Depth", "error", error="EGeneral:Too many requests")
        for method in ("Assets", "Assets", "SystemStatus", "SystemStatus", "SystemStatus", "Ticker", "Depth"):
            await running.get(f"/0/public/{method}")
        running.public.close()
        await running.get("/0/public/SystemStatus")
        return (await running.get("/metrics"))[1]

    assert [line for line in during(ask).splitlines() if line.startswith("krakenonce_public_")] == [
        'krakenonce_public_answered_total{source="kraken"} 5.0',
        'krakenonce_public_answered_total{source="memory"} 1.0',
        'krakenonce_public_not_sent_total{reason="stopping"} 1.0',
        "krakenonce_public_unanswered_total 1.0",
        'krakenonce_public_refused_total{reason="page"} 1.0',
        'krakenonce_public_refused_total{reason="unknown_asset"} 1.0',
        'krakenonce_public_refused_total{reason="rate_limit"} 1.0',
    ]


def test_the_counters_are_shown_with_their_limits(during: Callable[..., Any]) -> None:
    """Three balances cost three points of the REST counter, which falls by one a second."""
    _, text = during(lambda running: running.get("/v1/status"))
    counters = json.loads(text)["accounts"][0]["counters"]
    assert counters["engine"] == [0.0, 180]
    assert 0 < counters["rest"][0] <= 3
    assert counters["rest"][1] == 20


def test_the_keys_of_an_account_are_shown_and_why_one_is_not_used(fake: FakeKraken, tmp_path: Path) -> None:
    """By fingerprint. What is a key's own has the label key in the metrics; what is the account's has not."""
    made = fake.add_account("MASTER")
    fake.add_key(made)
    first, second = (fingerprint(each.key) for each in made.keys)
    account = Account("MASTER", keys=[(each.key, each.secret) for each in made.keys], tier="pro")

    async def main() -> tuple[dict[str, Any], str, Any]:
        async with Running(tmp_path / "state", server.url, account) as running:
            fake.revoke(made.key)
            await running.bot.balances()
            seen, (_, text) = await running.status(), await running.get("/metrics")
            fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
            await running.bot.query_private("Balance")
            return seen, text, (await running.status())["accounts"][0]["keys"]

    with FakeKrakenServer(fake) as server:
        status, text, later = asyncio.run(main())
    (shown,) = status["accounts"]
    assert (shown["key"], [each["key"] for each in shown["keys"]]) == (first, [first, second])
    (out,) = shown["keys"][0]["passed_over"]
    assert (out["why"], shown["keys"][1]["passed_over"]) == ("EAPI:Invalid key", [])
    assert 0 < out["seconds"] <= 60
    assert (shown["refused"], shown["locked_out_seconds"]) == ({"invalid_key": 1}, 0)
    assert shown["counters"]["rest"][1] == 40
    assert shown["counters"]["engine"][1] == 180
    assert [each["passed_over"][0]["why"] for each in later] == ["EAPI:Invalid key", "EGeneral:Temporary lockout"]
    lines = [line.rpartition(" ")[0] for line in text.splitlines()]
    of_first, of_second = (f'account="MASTER",key="{name}"' for name in (first, second))
    for line in (
        f'refused_total{{{of_first},reason="invalid_key"}}',
        f"lockout_seconds{{{of_second}}}",
        f'rate_limit_level{{{of_first},limit="rest"}}',
        f'rate_limit_max{{{of_second},limit="rest"}}',
        'rate_limit_level{account="MASTER",limit="engine"}',
        f'key_passed_over_seconds{{{of_first},reason="EAPI:Invalid key"}}',
    ):
        assert f"krakenonce_{line}" in lines
    assert 'krakenonce_keys{account="MASTER"} 2.0' in text
    assert "krakenonce_turns_in_use" in text


def test_browsers_that_look_at_the_same_time_get_one_status(during: Callable[..., Any]) -> None:
    """It is made at most once a second, however many look; what is wrong is not kept."""

    async def look(running: Running) -> tuple[set[float], bool]:
        looks = await asyncio.gather(*(running.get("/v1/status") for _ in range(20)))
        times = {json.loads(text)["now"] for _, text in looks}
        async with asyncio.timeout(10):
            while (later := json.loads((await running.get("/v1/status"))[1])["now"]) in times:
                pass
        return times, later - max(times) >= 0.9

    times, is_later = during(look)
    assert (len(times), is_later) == (1, True)


def test_the_last_calls_say_who_called_what(during: Callable[..., Any]) -> None:
    """With the local key, its account, the method and what became of it; the newest comes first."""
    seen = during(lambda running: running.status())
    last, *before = [(each["local_key"], each["account"], each["method"], each["outcome"]) for each in seen["calls"]]
    assert last == ("bot-a", "MASTER", "Withdraw", "not_sent")
    assert before == [("bot-a", "MASTER", "Balance", "executed")] * 3
    assert (sum(seen["history"]["calls"]), sum(seen["history"]["refused"])) == (3, 1)
    assert max(seen["history"]["longest_wait"]) > 0


def test_an_account_without_usable_credentials_is_not_said_to_be_fine(fake: FakeKraken, tmp_path: Path) -> None:
    """Neither one whose credentials are wrong, nor one that only a local key names; the status says what to do."""
    made = fake.add_account("MASTER")
    account = Account("MASTER", made.key, made.secret)

    async def main() -> Any:
        async with Running(tmp_path / "state", server.url, account, {"USER:bob": "it has no secret"}) as running:
            running.local_keys.add("bot-c", "USER:carol", frozenset(["query"]))
            return await running.status()

    with FakeKrakenServer(fake) as server:
        seen = asyncio.run(main())
    told = {each["account"]: each["health"] for each in seen["unusable"]}
    assert {each["state"] for each in told.values()} == {"no_credentials"}
    assert "it has no secret" in told["USER:bob"]["todo"]
    assert "there are no credentials" in told["USER:carol"]["todo"]
    assert [each["account"] for each in seen["accounts"]] == ["MASTER"]


@pytest.mark.parametrize("path", ["/0/private", "/etc/passwd", "/v1/", "/status.html"])
def test_there_is_nothing_else(during: Callable[..., Any], path: str) -> None:
    """Other paths are not found."""
    status, _ = during(lambda running: running.get(path))
    assert status == 404


LUMINANCE = "(c => c.reduce((a, b) => a + b, 0) / 3)(getComputedStyle(document.body).{}.match(/\\d+/g).map(Number))"


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
def test_the_page_works_in_a_browser(during: Callable[..., Any]) -> None:
    """Its script runs under its own content policy and fills in what the gateway says, and goes on doing so."""

    async def look(running: Running) -> str:
        async with opened(f"{running.url}/") as page:
            await page.comes_true("document.getElementById('state')?.textContent === 'The gateway answers.'")
            await running.bot.balances()
            await page.comes_true("document.getElementById('figures').textContent.includes('calls answered4')")
            return str(await page.value("document.body.outerHTML"))

    text = during(look)
    for shown in ("MASTER", "bot-a", "not_allowed", "<rect", " of 20", "0.0 of 180", "free"):
        assert shown in text, shown


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
def test_the_page_can_be_read_by_day_and_by_night_and_from_the_keyboard(during: Callable[..., Any]) -> None:
    """Dark on light, light on dark, as the reader's system says; Tab goes to the search and to the links, visibly."""

    async def look(running: Running) -> tuple[list[list[float]], list[tuple[str, str]]]:
        async with opened(f"{running.url}/") as page:
            await page.comes_true("document.getElementById('state')?.textContent === 'The gateway answers.'")
            shades = []
            for scheme in ("light", "dark"):
                media = [{"name": "prefers-color-scheme", "value": scheme}]
                await page.command("Emulation.setEmulatedMedia", features=media)
                shades.append([await page.value(LUMINANCE.format(name)) for name in ("color", "backgroundColor")])
            stops = []
            for _ in range(3):
                await page.press("Tab")
                name = "document.activeElement.id || document.activeElement.textContent"
                outline = "getComputedStyle(document.activeElement).outlineStyle"
                stops.append((await page.value(name), await page.value(outline)))
            return shades, stops

    (light, dark), stops = during(look)
    assert light[0] < 60 < 200 < light[1]
    assert dark[1] < 60 < 200 < dark[0]
    names = ["search", "metrics", "status as JSON"]
    assert stops == [(name, "solid") for name in names]


def test_a_histogram_counts_up_to_each_bound() -> None:
    """As Prometheus wants it: each bound with all that is below."""
    histogram = Histogram()
    for seconds in (0.0001, 0.0005, 0.003, 99.0):
        histogram.add(seconds)
    seen = dict(histogram.cumulative())
    assert (seen["0.0005"], seen["0.0025"], seen["0.005"], seen["30.0"], seen["+Inf"]) == (2, 2, 3, 3, 4)
    assert histogram.total == pytest.approx(99.0036)


@pytest.mark.parametrize(
    ("string", "reason", "words"),
    [
        ("EAPI:Invalid key", "invalid_key", "unknown key"),
        ("EAPI:Invalid signature", "invalid_signature", "wrong secret"),
        ("EGeneral:Permission denied", "permission", "no permission: Balance"),
    ],
)
def test_an_account_whose_key_kraken_refuses_is_not_fine(
    during: Callable[..., Any], fake: FakeKraken, string: str, reason: str, words: str
) -> None:
    """The status and the metrics say so, and why; once Kraken accepts the call, it is fine."""

    async def ask(running: Running) -> tuple[Any, str, Any]:
        fake.faults.add("Balance", "error", error=string)
        await running.bot.query_private("Balance")
        refused, metrics = await running.status(), (await running.get("/metrics"))[1]
        await running.bot.query_private("Balance")
        return refused, metrics, await running.status()

    before, metrics, after = during(ask)
    health = before["accounts"][0]["health"]
    assert (health["reason"], health["words"]) == (reason, words)
    assert health["state"] in ("refused", "limited")
    assert before["accounts"][0]["refused"] == {reason: 1}
    assert f'krakenonce_refused_total{{account="MASTER",reason="{reason}"}} 1.0' in metrics
    assert f'krakenonce_account_health{{account="MASTER",reason="{reason}",state="{health["state"]}"}} 1.0' in metrics
    assert 'krakenonce_account_health{account="MASTER",reason="",state="fine"} 0.0' in metrics
    assert after["accounts"][0]["health"]["state"] == "fine"
