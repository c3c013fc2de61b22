"""The gateway's metrics in Prometheus' text format, made when they are asked for.

To add a metric, add it to ``METRICS``. What it shows comes from :class:`Activity` (what the gateway has counted), from
the Kraken keys, or from the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from krakenonce.gateway.activity import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Metric

    from krakenonce.backends.protocol import ScopeStats
    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.state_look import State
    from krakenonce.gateway.upstream import KrakenKey


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Source(Collector):
    """Where the metrics of one answer come from.

    Args:
        activity: What the gateway has counted.
        keys: The Kraken keys, by account.
        state: What the state says.
    """

    def __init__(self, activity: Activity, keys: dict[str, KrakenKey], state: State) -> None:
        self.activity = activity
        self.keys = keys.copy()
        self.state = state
        # (level, maximum) of Kraken's rate counters, by account and rate counter.
        self.rates = {(account, name): rate for account, key in state.keys.items() for name, rate in key.rates.items()}

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, as Prometheus' client asks for them."""
        for metric in METRICS:
            family = metric.kind(f"krakenonce_{metric.name}", metric.help, labels=metric.labels)
            for labels, value in metric.samples(self):
                if isinstance(value, Histogram):
                    family.add_metric(labels, value.cumulative(), value.total)
                else:
                    family.add_metric(labels, value)
            yield family


# Values of the labels, and with them the metric's value.
Samples: TypeAlias = "Iterable[tuple[tuple[str, ...], float | Histogram]]"


class MetricOf(NamedTuple):
    """One metric.

    Args:
        kind: The class of Prometheus' client.
        name: The name without ``krakenonce_`` and without the ``_total`` that each counter gets.
        help: What it is.
        labels: The names of its labels.
        samples: Returns its samples.
    """

    kind: type[Any]
    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Source], Samples]


def _of_accounts(histograms: Mapping[str, Histogram]) -> Samples:
    return [((account,), histogram) for account, histogram in list(histograms.items())]


def _of_counters(source: Source, value: Callable[[ScopeStats], float]) -> Samples:
    return [((counter,), value(stats)) for counter, stats in source.state.counters.items()]


METRICS = (
    MetricOf(
        CounterMetricFamily,
        "answered",
        "Calls that Kraken answered, by local key.",
        ("local_key",),
        lambda source: [((name,), count) for name, count in list(source.activity.answered.items())],
    ),
    MetricOf(
        CounterMetricFamily,
        "not_sent",
        "Calls that the gateway did not send, by reason.",
        ("reason",),
        lambda source: [((reason,), count) for reason, count in list(source.activity.not_sent.items())],
    ),
    MetricOf(
        CounterMetricFamily,
        "unknown_outcome",
        "Calls that were sent and got no answer.",
        (),
        lambda source: [((), source.activity.unknown_outcomes)],
    ),
    MetricOf(
        CounterMetricFamily,
        "refused",
        "Calls that Kraken, or what is in front of it, refused, by account and reason.",
        ("account", "reason"),
        lambda source: [
            ((account, reason), count)
            for account, key in source.keys.items()
            for reason, count in list(key.refused.items())
        ],
    ),
    MetricOf(
        CounterMetricFamily,
        "public_answered",
        "Public calls that were answered, by Kraken or from the gateway's memory.",
        ("source",),
        lambda source: [((by,), count) for by, count in source.activity.public.answered.items()],
    ),
    MetricOf(
        CounterMetricFamily,
        "public_not_sent",
        "Public calls that the gateway did not send, by reason.",
        ("reason",),
        lambda source: [((reason,), count) for reason, count in list(source.activity.public.not_sent.items())],
    ),
    MetricOf(
        CounterMetricFamily,
        "public_unanswered",
        "Public calls that were sent and got no answer.",
        (),
        lambda source: [((), source.activity.public.unanswered)],
    ),
    MetricOf(
        CounterMetricFamily,
        "public_refused",
        "Public calls that Kraken, or what is in front of it, refused, by reason.",
        ("reason",),
        lambda source: [((reason,), count) for reason, count in list(source.activity.public.refused.items())],
    ),
    MetricOf(
        HistogramMetricFamily,
        "lane_wait_seconds",
        "Time that calls waited for their turn.",
        ("account",),
        lambda source: _of_accounts(source.activity.waited),
    ),
    MetricOf(
        HistogramMetricFamily,
        "lane_hold_seconds",
        "Time that calls held the turn.",
        ("account",),
        lambda source: _of_accounts(source.activity.held),
    ),
    MetricOf(
        HistogramMetricFamily,
        "kraken_seconds",
        "Time from sending a call to Kraken's answer.",
        ("account",),
        lambda source: _of_accounts(source.activity.kraken),
    ),
    MetricOf(
        GaugeMetricFamily,
        "queue_length",
        "Calls that wait for their turn.",
        ("account", "priority"),
        lambda source: [
            ((account, priority), count)
            for account, key in source.keys.items()
            for priority, count in (("urgent", key.queue.urgent), ("other", len(key.queue) - key.queue.urgent))
        ],
    ),
    MetricOf(
        GaugeMetricFamily,
        "lockout_seconds",
        "Seconds until a lockout ends; 0: there is none.",
        ("account",),
        lambda source: [((account,), key.locked_out) for account, key in source.state.keys.items()],
    ),
    MetricOf(
        GaugeMetricFamily,
        "rate_limit_level",
        "Kraken's rate counters as counted here; engine: of the pair where it is highest.",
        ("account", "limit"),
        lambda source: [(labels, level) for labels, (level, _) in source.rates.items()],
    ),
    MetricOf(
        GaugeMetricFamily,
        "rate_limit_max",
        "The level above which Kraken refuses calls.",
        ("account", "limit"),
        lambda source: [(labels, most) for labels, (_, most) in source.rates.items()],
    ),
    MetricOf(
        CounterMetricFamily,
        "nonces_issued",
        "Nonces issued by this process.",
        ("counter",),
        lambda source: _of_counters(source, lambda stats: stats.issued),
    ),
    MetricOf(
        CounterMetricFamily,
        "high_water_mark_raises",
        "How often this process raised the high-water mark.",
        ("counter",),
        lambda source: _of_counters(source, lambda stats: stats.extended),
    ),
    MetricOf(
        CounterMetricFamily,
        "high_water_mark_raise_seconds",
        "Time spent raising the high-water mark.",
        ("counter",),
        lambda source: _of_counters(source, lambda stats: stats.extending_ns / 1e9),
    ),
    MetricOf(
        CounterMetricFamily,
        "clock_steps",
        "Clock steps seen by this process; those forward were ignored at first.",
        ("counter", "direction"),
        lambda source: [
            ((counter, direction), count)
            for counter, stats in source.state.counters.items()
            for direction, count in (("back", stats.clock_back), ("forward", stats.clock_forward))
        ],
    ),
    MetricOf(
        CounterMetricFamily,
        "state_recoveries",
        "How often damaged, missing or old state was skipped.",
        ("counter",),
        lambda source: _of_counters(source, lambda stats: stats.recovered),
    ),
    MetricOf(
        GaugeMetricFamily,
        "lead_seconds",
        "How far the last nonce is ahead of the clock.",
        ("counter",),
        lambda source: _of_counters(source, lambda stats: (stats.lead_ns or 0) / 1e9),
    ),
    MetricOf(
        GaugeMetricFamily,
        "state_silent_seconds",
        "Seconds for which the state has not answered; calls wait, and what it says is old.",
        (),
        lambda source: [((), source.state.silent)],
    ),
)


def metrics_text(activity: Activity, keys: dict[str, KrakenKey], state: State) -> bytes:
    """Return all metrics as text.

    Args:
        activity: What the gateway has counted.
        keys: The Kraken keys, by account.
        state: What the state says.
    """
    return generate_latest(Source(activity, keys, state))
