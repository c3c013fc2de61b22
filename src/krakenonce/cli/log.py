"""The command log: what has happened, from the journal of a state."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import datetime
from functools import lru_cache
from heapq import merge
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from krakenonce.backends import open_store
from krakenonce.backends.opening import find_backend
from krakenonce.cli.options import state_option
from krakenonce.cli.output import complain, write
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.journal.copies import events_of_others
from krakenonce.journal.event import as_dict
from krakenonce.journal.reading import Reader
from krakenonce.journal.recorder import directory_of, host_name
from krakenonce.journal.said import said

if TYPE_CHECKING:
    from krakenonce.journal.event import Event


_ENCODE = json.JSONEncoder().encode
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def seconds_since(_context: click.Context, _option: click.Parameter, value: str | None) -> float:
    """Return the seconds since 1970 that a time means: so long ago, as 90m, or a moment; 0.0: since ever."""
    if value is None:
        return 0.0
    if ago := _AGO.fullmatch(value.strip()):
        return time.time() - float(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(value.strip()).timestamp()  # without an offset it is local time
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(f"{value!r} is no time. Write 90m, 1h, 2d or 2026-03-01T04:30.") from None


@click.command("log")
@click.option(
    "--since",
    metavar="TIME",
    callback=seconds_since,
    help="Only what has happened since then: so long ago, as 90m, 1h or 2d, or a moment, as 2026-03-01T04:30.",
)
@click.option("--account", default="", metavar="NAME", help="Only this account, or the key with this fingerprint.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object on each line.")
@click.option("--follow", is_flag=True, help="Go on printing what happens, until Ctrl-C.")
@state_option
def log(since: float, account: str, as_json: bool, follow: bool, state: str | None) -> None:
    """Show what has happened: refusals, unknown outcomes, clock steps and so on, the newest last. Changes nothing.

    Each process writes it down on its own host, beside the state. Of each kind of event these are the first three in a
    minute, and how many more there were. With a state that hosts share, the first of each kind in a minute of the other
    hosts are shown, too; after --follow, those of this host alone.
    """
    store = find_backend(None) if state is None else open_store(state)
    place = directory_of(store)
    if place is None:
        raise ConfigError(f"{store!r} has no journal that another process could read")
    reader = Reader(place)
    try:
        others = sorted(events_of_others(store, host_name(), since, account))
    except NonceStoreError as error:  # perhaps that is what somebody wants to know more of
        complain(f"only the events of this host are shown: {error}")
        others = []
    line = _json_of if as_json else _line_of
    if follow:
        for event in chain(others, reader.follow(since, account)):
            write(line(event))
        return
    is_empty = True
    lines = []
    for event in merge(reader.events(since, account), others, key=attrgetter("at")):
        is_empty = False
        lines.append(line(event))
        if len(lines) >= _AT_ONCE:
            write("\n".join(lines))
            lines.clear()
    if lines:
        write("\n".join(lines))
    if is_empty and not as_json and sys.stderr is not None:
        complain(f"nothing was noted in {place}" + (" of this account or since then" if since or account else ""))


def _json_of(event: Event) -> str:
    fields = as_dict(event)
    fields.pop("nth", None)
    return _ENCODE(fields)


def _line_of(event: Event) -> str:
    minute, seconds = divmod(int(event.at), 60)
    before, after = _minute(minute)
    return f"{before}{seconds:02}{after} {said(event)}"


@lru_cache(16)
def _minute(minute: int) -> tuple[str, str]:
    """Return what is before and after the seconds of a local time."""
    moment = datetime.fromtimestamp(minute * 60).astimezone()
    offset = f"{moment:%z}"
    return f"{moment:%Y-%m-%d %H:%M}:", f"{offset[:3]}:{offset[3:5]}"


_AT_ONCE = 1000  # lines that are written at a time
