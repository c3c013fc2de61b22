"""The report of what a state costs that several hosts share, in Markdown: figures beside what is aimed at."""

from __future__ import annotations

from typing import Any

NAMES = {"postgres": "PostgreSQL", "valkey": "Valkey", "etcd": "etcd"}
BARE = {"postgres": "`SELECT 1`", "valkey": "`PING`", "etcd": "a put"}
WRITE = {"postgres": "a committed `UPDATE` of one row", "valkey": "`EVALSHA` with one `HINCRBY`", "etcd": "a put"}
AIMS = {
    "nonce": {"postgres": 1.2, "valkey": 1.1, "etcd": 1.3},
    "turn": {"postgres": 1.3, "valkey": 1.5, "etcd": 3.2},
    "hand-over": {"postgres": 1.5, "valkey": 1.8, "etcd": 3.4},
    "loopback": {"postgres": 1.5, "valkey": 2.0, "etcd": 1.3},
}
LEASES = {"postgres": 0.0, "valkey": 5.0, "etcd": 5.0}  # seconds
SHARE = 5.0  # percent of the mean
KILLED = {"postgres": 0.05, "valkey": LEASES["valkey"] + 1, "etcd": LEASES["etcd"] + 1}
CUT = {"postgres": 6.0, "valkey": LEASES["valkey"] + 1, "etcd": LEASES["etcd"] + 1}


def render(measured: dict[str, Any]) -> str:
    """Return the report."""
    servers = measured["servers"]
    facts = ", ".join(f"{name}: {value}" for name, value in measured["machine"].items())
    versions = ", ".join(f"{NAMES[kind]} {each['version']}" for kind, each in servers.items())
    bare = ", ".join(f"{BARE[kind]} on {NAMES[kind]}" for kind in servers)
    explained = (
        "A round trip to the server takes 4 ms, by a proxy. Each figure is the middle of its alternations with bare "
        f"round trips, in bare round trips of the same moments: {bare}. Nine tenths of the alternations are in the "
        "range after it."
    )
    others = (
        "Others, in the same run. Three processes make thirty calls each to the fake Kraken, to which the way takes "
        "2 to 6 ms by chance."
    )
    lines = [
        f"Measured in one run of {measured['seconds']} s with {versions}. {facts}.",
        "",
        explained,
        "",
        "| what | server | bare round trips | time | aim |",
        "| --- | --- | --- | --- | --- |",
        *(row for kind, each in servers.items() for row in _trips(kind, each)),
        "",
        "| what | server | measured | aim |",
        "| --- | --- | --- | --- |",
        *(row for kind, each in servers.items() for row in _turns(kind, each)),
        "",
        others,
        "",
        "| nonces by | server | until the caller may send | time | afterwards | 90 calls took | `Invalid nonce` |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_peer(peer) for each in servers.values() for peer in each["peers"]),
    ]
    return "\n".join(lines) + "\n"


def _trips(kind: str, found: dict[str, Any]) -> list[str]:
    turn, call, crowd, loopback = found["turn"], found["call"], found["crowd"], found["loopback"]
    rows = [
        ("one nonce", found["nonce"]["ratio"], found["nonce"]["ms"], AIMS["nonce"][kind]),
        ("turn and nonce, until the caller may send", turn["ratio"], turn["ms"], AIMS["turn"][kind]),
        ("the same with the rate limits of a tier", call["ratio"], call["ms"], None),
        ("giving the turn back, for its caller", turn["giving back"], turn["giving_back_ms"], None),
        ("from one of eight processes to the next one's nonce", crowd["ratio"], crowd["ms"], AIMS["hand-over"][kind]),
        (
            f"one nonce without the delay, against {WRITE[kind]}",
            loopback["ratio"],
            loopback["ms"],
            AIMS["loopback"][kind],
        ),
    ]
    return [
        f"| {what} | {NAMES[kind]} | {_spread(ratio)} | {_time(ms / 1000)} | {f'{aim:g}' if aim else ''} |"
        for what, ratio, ms, aim in rows
    ]


def _turns(kind: str, found: dict[str, Any]) -> list[str]:
    crowd, lost = found["crowd"], found["lost"]
    shares = crowd["shares"]
    rows = [
        (
            "eight processes, a turn of 1 ms each: farthest from the mean share",
            f"{crowd['farthest_from_mean_percent']:.1f} % ({shares[0]} to {shares[-1]} turns)",
            f"{SHARE:g} %",
        ),
        (
            "the same: worst wait",
            _time(crowd["worst_wait_ms"] / 1000),
            f"{_time(crowd['longest_fair_wait_ms'] / 1000)}, twice as long as all eight take",
        ),
        ("the same: nonces that were out of order", f"{crowd['out_of_order']}", "0"),
        ("next holder's nonce after the holder is killed", _seconds(lost["kill_s"]), _time(KILLED[kind])),
        ("next holder's nonce after the holder's network is cut", _seconds(lost["cut_s"]), _time(CUT[kind])),
    ]
    return [f"| {what} | {NAMES[kind]} | {figure} | {aim} |" for what, figure, aim in rows]


def _peer(peer: dict[str, Any]) -> str:
    words = (
        *(peer["name"], NAMES[peer["kind"]], _spread(peer["until it may send"]), _time(peer["ms"] / 1000)),
        *(f"{peer['giving back']['p50']:.2f}", f"{peer['calls_s']:.1f} s", str(peer["invalid_nonces"])),
    )
    return f"| {' | '.join(words)} |"


def _spread(figures: dict[str, float]) -> str:
    return f"{figures['p50']:.2f} ({figures['p5']:.2f} to {figures['p95']:.2f})"


def _seconds(figures: dict[str, float]) -> str:
    return f"{_time(figures['p50'])} ({_time(figures['p5'])} to {_time(figures['p95'])})"


def _time(seconds: float) -> str:
    """Return a time in the unit in which it is read best."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} us"
