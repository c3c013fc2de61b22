"""The gateway's metrics in Prometheus' text format, made from its own counts when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Metric

    from krakenonce.gateway.activity import Activity, Histogram
    from krakenonce.gateway.upstream import KrakenKey
    from krakenonce.manager import NonceManager

__all__ = ["CONTENT_TYPE", "metrics_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(activity: Activity, keys: Mapping[str, KrakenKey], manager: NonceManager) -> bytes:
    """Return all metrics as text.

    Args:
        activity: What the gateway has counted.
        keys: The Kraken keys, by account.
        manager: Where the numbers come from.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Everything(activity, keys, manager))
    return generate_latest(registry)


class _Everything(Collector):
    def __init__(self, activity: Activity, keys: Mapping[str, KrakenKey], manager: NonceManager) -> None:
        self._activity, self._keys, self._manager = activity, keys, manager

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        yield from self._calls()
        yield from self._accounts()
        yield from self._numbers()

    def _calls(self) -> Iterable[Metric]:
        answered = CounterMetricFamily(
            "krakenonce_answered", "Calls that Kraken answered, by local key.", labels=["local_key"]
        )
        for name, count in self._activity.answered.items():
            answered.add_metric([name], count)
        yield answered
        refused = CounterMetricFamily(
            "krakenonce_refused", "Calls without an answer of Kraken's, by reason.", labels=["reason"]
        )
        for reason, count in self._activity.refused.items():
            refused.add_metric([reason], count)
        yield refused
        kraken = CounterMetricFamily(
            "krakenonce_kraken_refused",
            "Calls that Kraken refused, by account and reason.",
            labels=["account", "reason"],
        )
        for account, key in self._keys.items():
            for reason, count in key.refused.items():
                kraken.add_metric([account, reason], count)
        yield kraken
        for name, text, histograms in (
            ("krakenonce_lane_wait_seconds", "Waiting for the turn.", self._activity.waited),
            ("krakenonce_lane_hold_seconds", "Holding the turn.", self._activity.held),
            ("krakenonce_upstream_seconds", "From sending to Kraken's answer.", self._activity.upstream),
        ):
            yield _histograms(name, text, histograms)

    def _accounts(self) -> Iterable[Metric]:
        queue = GaugeMetricFamily(
            "krakenonce_queue_length", "Calls that wait for their turn.", labels=["account", "priority"]
        )
        level, most = (
            GaugeMetricFamily(f"krakenonce_rate_{name}", text, labels=["account", "counter"])
            for name, text in (
                ("level", "Kraken's rate counters as counted here; engine: of the pair where it is highest."),
                ("limit", "At which level Kraken refuses."),
            )
        )
        locked = GaugeMetricFamily(
            "krakenonce_lockout_seconds", "Seconds until a lockout ends; 0: there is none.", labels=["account"]
        )
        for account, key in self._keys.items():
            queue.add_metric([account, "cancel"], key.queue.urgent)
            queue.add_metric([account, "rest"], len(key.queue) - key.queue.urgent)
            for counter, (now, limit) in key.counters().items():
                level.add_metric([account, counter], now)
                most.add_metric([account, counter], limit)
            locked.add_metric([account], key.api_key.locked_out())
        yield from (queue, locked, level, most)

    def _numbers(self) -> Iterable[Metric]:
        families = {
            name: kind(f"krakenonce_{name}", text, labels=["scope"])
            for name, kind, text in (
                ("issued", CounterMetricFamily, "Numbers issued by this process."),
                ("mark_extensions", CounterMetricFamily, "How often the durable mark was moved up by this process."),
                ("mark_extension_seconds", CounterMetricFamily, "Time that moving the mark up has taken."),
                ("clock_back", CounterMetricFamily, "Steps back of the clock seen by this process."),
                ("clock_forward", CounterMetricFamily, "Steps forward of the clock that were not believed."),
                ("recovered", CounterMetricFamily, "Damaged or stale state that was passed over."),
                ("lead_seconds", GaugeMetricFamily, "How far the last number is ahead of the clock."),
            )
        }
        for scope in sorted({"global", *(key.scope for key in self._keys.values())}):
            seen = self._manager.stats(scope)
            lead = (seen.lead_ns or 0) / 1e9
            taken = seen.extending_ns / 1e9
            counts = (seen.issued, seen.extended, taken, seen.clock_back, seen.clock_forward, seen.recovered, lead)
            for family, value in zip(families.values(), counts, strict=True):
                family.add_metric([scope], value)
        yield from families.values()


def _histograms(name: str, text: str, by_account: Mapping[str, Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=["account"])
    for account, histogram in by_account.items():
        family.add_metric([account], buckets=histogram.cumulative(), sum_value=histogram.total)
    return family
