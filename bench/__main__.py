"""Run every benchmark, show the table, and write it to bench/results/."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import against, calls, fake, footprint, gateway, journal, keys, nonces, turns
from bench.machine import RESULTS, machine, say
from bench.workers import run_processes


def main() -> int:
    """Measure, in a temporary directory next to the results, so that it is on a real disk."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure speed on this machine.")
    parser.add_argument("--against", metavar="REVISION", help="compare with another git revision, by turns")
    if revision := parser.parse_args().against:
        return against.report(revision)
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS, prefix=".run-") as name:
        directory = Path(name)
        measured = {"machine": machine(directory), **measure(directory)}
    report = render(measured)
    (RESULTS / "latest.json").write_text(json.dumps(measured, indent=1) + "\n")
    (RESULTS / "latest.md").write_text(report)
    print(report)
    return 0


def measure(directory: Path) -> dict[str, Any]:
    """Every benchmark, one after the other, with a line of progress for each."""
    say("one nonce, seven ways")
    cost = nonces.cost_of_one_nonce(directory)
    say("200,000 single calls")
    percentiles = nonces.tail(directory)
    say("duplicates")
    duplicates = nonces.duplicates(directory)
    say("4 processes x 4 threads")
    crowds = [run_processes(directory, "krakenonce", processes=4, threads=4, count=20_000) for _ in range(5)]
    checked = run_processes(directory, "krakenonce", processes=4, threads=4, count=5_000, timed=True)
    say("passing the lane between processes")
    lanes = {"uncontended_us": turns.uncontended(directory), **turns.hand_over(directory)}
    say("time added to a call")
    added = calls.added_to_a_call(directory)
    say("what the journal costs a call that goes well")
    noted = journal.cost_of_a_good_call(directory)
    say("one call for 1, 10, 100 and 1,000 accounts")
    fan_out = calls.fan_out(directory)
    say("the gateway, 100,000 calls")
    forwarded = gateway.measure(directory)
    say("60 orders at once with 8 keys, and cancels while others wait")
    several_keys = keys.measure(directory)
    say("the fake Kraken, 100,000 resting orders")
    imitated = fake.measure()
    say("import")
    imports = footprint.import_time()
    say("1,000,000 nonces")
    return {
        "one nonce": cost,
        "one nonce, percentiles (us)": percentiles,
        "duplicates per 200,000": duplicates,
        "4 x 4": {
            "nonces_per_second": sorted(round(len(run.taken) / run.seconds) for run in crowds),
            "duplicates": sum(len(run.nonces) - len(set(run.nonces)) for run in (*crowds, checked)),
            "out_of_order": checked.out_of_order,
        },
        "lane": lanes,
        "added to a call": added,
        "journal": noted,
        "fan-out": fan_out,
        "gateway": forwarded,
        "keys": several_keys,
        "fake Kraken": imitated,
        "import": imports,
        "memory": footprint.memory(directory),
    }


def render(measured: dict[str, Any]) -> str:
    """The report, in Markdown."""
    cost, lane, crowd = measured["one nonce"], measured["lane"], measured["4 x 4"]
    added, fan_out = measured["added to a call"], measured["fan-out"]
    percentiles = measured["one nonce, percentiles (us)"]
    twice = measured["duplicates per 200,000"]
    machine_line = ", ".join(f"{name}: {value}" for name, value in measured["machine"].items())
    per_second = crowd["nonces_per_second"]
    rows = [
        ("one nonce: cheaper than open, write, close", f"{cost['times_cheaper_than_open_write_close']:.0f} x", "40 x"),
        ("one nonce: times the bare steps", f"{cost['times_the_bare_steps']:.2f} x", "at most 3 x"),
        ("one nonce: cheaper than SQLite WAL, FULL", f"{cost['times_cheaper_than_sqlite']:.0f} x", ""),
        ("one nonce: p50 / p99 / p99.9 / worst", " / ".join(f"{us:.1f} us" for us in percentiles.values()), ""),
        (
            "4 processes x 4 threads: nonces per second, median (least to most)",
            f"{per_second[len(per_second) // 2]:,} ({per_second[0]:,} to {per_second[-1]:,})",
            "100,000",
        ),
        ("4 x 4: issued twice / out of order", f"{crowd['duplicates']} / {crowd['out_of_order']}", "0 / 0"),
        ("lane, 8 processes: farthest from the mean share", f"{lane['farthest_from_mean_percent']:.1f} %", "25 %"),
        ("lane, 8 processes: worst wait", f"{lane['worst_wait_ms']:.0f} ms", "100 ms"),
        ("lane without other callers", f"{lane['uncontended_us']:.1f} us", ""),
        (
            "our client: time added to a call with urllib3 alone, p50",
            f"{added['client']['added_us']:.0f} us",
            "150 us",
        ),
        ("guard(krakenex.API): time added to a call, p50", f"{added['guard']['added_us']:.0f} us", "100 us"),
        (
            "one call for 100 accounts, 50 ms away: faster than one global lock",
            f"{fan_out['times_faster_than_global_lock']:.1f} x",
            "15 x",
        ),
        (
            "the same: times (round trip + 100 bare signed requests)",
            f"{fan_out['times_round_trip_and_bare']:.2f} x",
            "at most 2 x",
        ),
        ("journal: time added to a call that goes well", f"{measured['journal']['more_percent']:.1f} %", "2 %"),
        *gateway_rows(measured["gateway"]),
        *keys.rows(measured["keys"]),
        *fake_rows(measured["fake Kraken"]),
        ("`import krakenonce` adds", f"{measured['import']['ms']['import krakenonce']:.1f} ms", "20 ms"),
        ("import and first nonce add", f"{measured['import']['ms']['import and first nonce']:.1f} ms", ""),
        (
            "left open by the import: threads / descriptors",
            f"{measured['import']['threads']} / {measured['import']['descriptors']}",
            "0 / 0",
        ),
        ("1,000,000 nonces: growth of memory", f"{measured['memory']['growth_kib']} KiB", "0"),
    ]
    lines = [f"Measured in one run. {machine_line}.", "", "| what | measured | aim |", "| --- | --- | --- |"]
    lines += [f"| {what} | {figure} | {aim} |" for what, figure, aim in rows]
    lines += ["", "| one nonce by | us | shared between processes | survives a power cut | twice per 200,000 |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    safe = {"krakenonce": ("yes", "yes"), "SQLite WAL, FULL": ("yes", "yes"), "bare steps": ("yes", "no")}
    for name, us in cost["us_per_nonce"].items():
        counts = twice.get(name)
        doubles = f"{counts['one thread']:,} in one thread, {counts['4 processes']:,} in 4 processes" if counts else ""
        shared, survives = safe.get(name, ("no", "no"))
        lines.append(f"| {name} | {us:.2f} | {shared} | {survives} | {doubles} |")
    lines += [
        "",
        "| one call for so many accounts, 50 ms away | all at the same time | one global lock |",
        "| --- | --- | --- |",
    ]
    for count, row in fan_out["accounts"].items():
        locked = row["global_lock_seconds"]
        one_lock = f"{locked:.2f} s" if locked is not None else "not measured"
        lines.append(f"| {count:,} | {row['seconds']:.3f} s | {one_lock} |")
    return "\n".join(lines) + "\n"


def gateway_rows(measured: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The gateway's lines of the table."""
    added, memory = measured["added_ms"], measured["memory_mib"]
    return [
        (
            "gateway: time added to a direct call, 100 a second, p50 / p99",
            f"{added['p50']:.2f} / {added['p99']:.2f} ms",
            "1 / 5 ms",
        ),
        ("gateway: calls per second over 100 keys, two cores for all", f"{measured['calls_per_second']:,.0f}", ""),
        (
            "gateway: the same per second of its own processor time",
            f"{measured['calls_per_cpu_second']:,.0f}",
            "1,500",
        ),
        (
            "gateway: processor time of an order for the record of sent calls, median of 10 rounds",
            "{:.1f} % ({:.1f} to {:.1f})".format(*measured["record_cost_percent"]),
            "5 %",
        ),
        (
            "gateway: processor time of a call for the audit log, median of 30 rounds by turns",
            "{:.1f} % ({:.1f} to {:.1f})".format(*measured["audit_cost_percent"]),
            "3 %",
        ),
        (
            "gateway: memory after 10,000 and 100,000 calls",
            f"{memory['after a tenth']:.0f} / {memory['at the end']:.0f} MiB",
            "100 MB, flat",
        ),
        (
            "gateway: 50 clients of one key, farthest from the mean share",
            f"{measured['farthest_from_mean_share_percent']:.1f} %",
            "25 %",
        ),
    ]


def fake_rows(measured: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The fake Kraken's lines of the table."""
    orders = measured["order_us"]
    return [
        ("fake Kraken: its processor time of a Balance", f"{measured['balance_us']:.0f} us", ""),
        (
            "fake Kraken: the same of an order, 100 resting / 100,000 resting",
            f"{orders['100 resting']:.0f} / {orders['100,000 resting']:.0f} us",
            "the same",
        ),
        ("fake Kraken: memory with 100,000 resting orders", f"{measured['megabytes']:.0f} MB", "250 MB"),
    ]


if __name__ == "__main__":
    sys.exit(main())
