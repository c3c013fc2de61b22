"""The alerts for Prometheus ask for what the gateway exports."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from krakenonce.gateway import refusals
from krakenonce.gateway.health import STATES
from tests.integration.gateway.conftest import call, fetch, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes

yaml = pytest.importorskip("yaml")  # which builds the documentation

FILE = Path(__file__).parents[3] / "deploy" / "alerts.yml"
OURS = r"krakenonce_[a-z_]+"


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    return [rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples of a page of metrics: name, labels, value."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, dict(sample.labels), sample.value


def test_each_alert_asks_for_metrics_and_labels_that_there_are(processes: Processes, fake: WatchedKraken) -> None:
    """With a running gateway, one of whose calls Kraken has refused."""
    _, url = processes.serve(KRAKEN_MASTER_API_TIER="pro")
    fake.faults.add("Balance", "error", error="EAPI:Invalid nonce")
    call(url, processes.add("bot-a"), "Balance")
    there: dict[str, set[str]] = {}
    for name, labels, _ in samples(fetch(url, "GET", "/metrics").body.decode()):
        there.setdefault(name, set()).update(labels)
    assert len(rules()) >= 8
    for rule in rules():
        names = re.findall(OURS, rule["expr"])
        assert names or rule["expr"].startswith("up{")
        for name in names:
            assert name in there, f"{rule['alert']}: there is no {name}"
        asked = set(re.findall(r'([a-z_]+)=~?"', rule["expr"])) | set(
            re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"])
        )
        known = {label for name in names for label in there[name]} | {"instance", "job"}
        assert asked <= known, rule["alert"]


def test_each_alert_asks_for_reasons_and_states_that_there_are() -> None:
    """A word with a slip would never fire."""
    text = " ".join(rule["expr"] for rule in rules())
    reasons = {word for found in re.findall(r'reason=~?"([^"]+)"', text) for word in found.split("|")}
    assert reasons <= {refusals.INVALID_NONCE, refusals.RATE_LIMIT, refusals.THROTTLED}
    assert set(re.findall(r'state="([^"]+)"', text)) <= set(STATES)


def test_a_refused_key_is_what_the_alert_looks_for(processes: Processes, fake: WatchedKraken) -> None:
    """And it is over as soon as Kraken accepts the key."""
    _, url = processes.serve()
    pair = processes.add("bot-a")

    def refused() -> list[float]:
        return [
            value
            for name, labels, value in samples(fetch(url, "GET", "/metrics").body.decode())
            if name == "krakenonce_account_health" and labels["state"] == "refused"
        ]

    fake.faults.add("Balance", "error", error="EAPI:Invalid key")
    call(url, pair, "Balance")
    until(lambda: refused() == [1.0])
    call(url, pair, "Balance")
    until(lambda: refused() == [0.0])


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_accepts_the_alerts() -> None:
    """Prometheus' own check."""
    subprocess.run([str(PROMTOOL), "check", "rules", str(FILE)], check=True)
