"""What came out of the demo's calls: counted as the fake Kraken has seen them, and shown in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.cli.output import write
from krakenonce.cli.tables import Column, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.cli.demo_crew import Crew
    from krakenonce.testing import FakeKraken


def count(fake: FakeKraken, crew: Crew, planned: int) -> dict[str, Any]:
    """Return the outcome of one way of calling, as the fake Kraken has counted it.

    ``planned`` are the calls that the workers had to make, and ``calls`` those that arrived from living processes. A
    call that was answered just before the kill, but not reported, is made again: so there may be a few more than
    planned. Of the ``calls``, ``accepted`` were answered with a result, and ``refused`` with ``EAPI:Invalid nonce``.
    ``in_progress`` are those that arrived after their sender had been killed: no process waited for the answer.
    ``failed`` has the calls that ended in an exception, by its name; ``seconds`` is the time from the first call to the
    last answer. ``keys_used`` is how many of Kraken's API keys were used.
    """
    answered = [each.error for each in fake.arrivals if not each.sender_gone]
    in_progress = [each.error for each in fake.arrivals if each.sender_gone]
    refused = answered.count("EAPI:Invalid nonce")
    return {
        "planned": planned,
        "calls": len(answered),
        "accepted": answered.count(None),
        "refused": refused,
        "in_progress": len(in_progress),
        "in_progress_refused": len(in_progress) - in_progress.count(None),
        "killed": crew.killed,
        "failed": {what: count for what, count in crew.reported.items() if what.startswith("failed")},
        "seconds": round(crew.seconds, 3),
        "refused_percent": round(100 * refused / max(len(answered), 1), 1),
        "keys_used": len({each.key_name for each in fake.arrivals if each.error is None}),
        "calls_per_second": round(len(answered) / max(crew.seconds, 1e-9), 1),
    }


def all_made(ours: dict[str, Any]) -> bool:
    """Whether all calls were made, and accepted."""
    return bool(ours["accepted"] == ours["calls"] >= ours["planned"] and not ours["failed"])


def show(results: Mapping[str, dict[str, Any]]) -> None:
    """Write what came out as a table, with a column for each way of calling."""
    ways = results.values()
    rows = {
        "calls": [str(each["calls"]) for each in ways],
        "accepted": [str(each["accepted"]) for each in ways],
        "refused (EAPI:Invalid nonce)": [str(each["refused"]) for each in ways],
        "refused %": [f"{each['refused_percent']:.1f}" for each in ways],
        "time (s)": [f"{each['seconds']:.2f}" for each in ways],
        "calls per second": [f"{each['calls_per_second']:.0f}" for each in ways],
    }
    write_table(
        [Column(""), *(Column(way, "number") for way in results)], [(name, *cells) for name, cells in rows.items()]
    )
    for name, each in results.items():
        write(
            f"{name}: in progress when a process was killed: {each['in_progress']}, "
            f"of these refused: {each['in_progress_refused']}"
        )
