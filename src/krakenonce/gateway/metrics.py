"""The gateway's metrics in Prometheus' text format, made when they are asked for.

To add a metric, add it to ``METRICS``. What it shows comes from :class:`Activity` (what the gateway has counted), from
the Kraken keys, or from the state.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from krakenonce.gateway.activity import Histogram
from krakenonce.gateway.health import STATES, health_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Metric

    from krakenonce.backends.protocol import ScopeStats
    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.state_look import KeyState, State


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Source(Collector):
    """Where the metrics of one answer come from.

    Args:
        activity: What the gateway has counted.
        accounts: The accounts with their Kraken keys, by name.
        state: What the state says.
    """

    def __init__(self, activity: Activity, accounts: dict[str, KrakenAccount], state: State) -> None:
        self.activity = activity
        self.accounts = accounts.copy()
        self.state = state
        # (level, maximum) of Kraken's rate counters, by account, rate counter, and key if it is that of one of several.
        self.rates: dict[tuple[str, ...], tuple[float, float]] = {}
        for account, seen in state.accounts.items():
            for name, rate in seen.rates.items():
                if name != "rest" or len(seen.keys) == 1:
                    self.rates[account, name] = rate
            for key in seen.keys if len(seen.keys) > 1 else ():
                self.rates.update({(account, name, key.name): key.rates[name] for name in key.rates if name == "rest"})

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, as Prometheus' client asks for them."""
        for metric in METRICS:
            family = metric.kind(f"krakenonce_{metric.name}", metric.help, labels=metric.labels)
            for labels, value in metric.samples(self):
                if isinstance(value, Histogram):
                    family.add_metric(labels, value.cumulative(), value.total)
                elif len(labels) > len(metric.labels):
                    family.add_sample(_name(family), dict(zip((*metric.labels, KEY), labels, strict=True)), value)
                else:
                    family.add_metric(labels, value)
            yield family


def _name(family: Metric) -> str:
    return f"{family.name}_total" if isinstance(family, CounterMetricFamily) else family.name


KEY = "key"
# Values of the labels, and with them the metric's value. One more than the metric's labels is the fingerprint of a key,
# for the label KEY, which only accounts with several keys have.
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


def _of_keys(source: Source, value: Callable[[KeyState], float]) -> Samples:
    for account, seen in source.state.accounts.items():
        for key in seen.keys:
            yield (account, *((key.name,) if len(seen.keys) > 1 else ())), value(key)


def _healths(source: Source) -> Samples:
    """One sample for each state of each account, so that an alert has a series that goes back to 0."""
    now = time.time()
    for name, seen in source.state.accounts.items():
        if name in source.accounts:
            health = health_in(source.accounts[name], seen, now)
            for state in STATES:
                yield (name, state, health.reason if state == health.state else ""), float(state == health.state)


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
            ((account, reason, *((key.name,) if len(its.keys) > 1 else ())), count)
            for account, its in source.accounts.items()
            for key in its.keys
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
            for account, its in source.accounts.items()
            for priority, count in (("urgent", its.queue.urgent), ("other", len(its.queue) - its.queue.urgent))
        ],
    ),
    MetricOf(
        GaugeMetricFamily,
        "lockout_seconds",
        "Seconds until a lockout ends; 0: there is none.",
        ("account",),
        lambda source: _of_keys(source, lambda key: key.locked_out),
    ),
    MetricOf(
        GaugeMetricFamily,
        "account_health",
        "1 for the account's state: fine, limited, refused or locked_out; and why. 0 for the other states.",
        ("account", "state", "reason"),
        _healths,
    ),
    MetricOf(
        GaugeMetricFamily,
        "keys",
        "Kraken keys of the account: so many calls may be under way at the same time.",
        ("account",),
        lambda source: [((account,), len(its.keys)) for account, its in source.accounts.items()],
    ),
    MetricOf(
        GaugeMetricFamily,
        "turns_in_use",
        "Calls that have the turn of a key.",
        ("account",),
        lambda source: [((account,), its.queue.busy) for account, its in source.accounts.items()],
    ),
    MetricOf(
        GaugeMetricFamily,
        "key_passed_over_seconds",
        "Seconds until a key of several is used again, and why it is not used now.",
        ("account", "reason"),
        lambda source: [
            ((account, why, key.name), seconds)
            for account, seen in source.state.accounts.items()
            for key in seen.keys
            for why, seconds in key.out
        ],
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
        CounterMetricFamily,
        "audit_lost",
        "Calls that are not in the audit log, because it could not be written for too long.",
        (),
        lambda source: [((), source.activity.audit.lost)] if source.activity.audit is not None else [],
    ),
    MetricOf(
        GaugeMetricFamily,
        "state_silent_seconds",
        "Seconds for which the state has not answered; calls wait, and what it says is old.",
        (),
        lambda source: [((), source.state.silent)],
    ),
)


def metrics_text(activity: Activity, accounts: dict[str, KrakenAccount], state: State) -> bytes:
    """Return all metrics as text.

    Args:
        activity: What the gateway has counted.
        accounts: The accounts with their Kraken keys, by name.
        state: What the state says.
    """
    return generate_latest(Source(activity, accounts, state))
