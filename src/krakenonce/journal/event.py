"""One event, and the line that stands for it in a journal. No I/O; time, host and process are passed in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable


_AT = b'{"at":'  # how each line begins, so that its time is found without reading the rest
_LONGEST = 400  # characters of a text
_ENDS = (b"}\n", b"}")
_SCAN: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())[
    "scan_once"
]  # without white space around it, which takes as long
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so a line has no other line ends

What: TypeAlias = Literal[
    "invalid_nonce",
    "locked_out",
    "rate_limit",
    "invalid_key",
    "invalid_signature",
    "permission",
    "refused",
    "blocked",
    "held_back",
    "over_limit",
    "unknown",
    "found_out",
    "clock_step",
    "recovered",
    "floor_raised",
    "adopted",
    "slow_turn",
    "no_turn",
]


class Event(NamedTuple):
    """One thing that has happened, or the count of those that were not written down one by one.

    Args:
        at: Seconds since 1970, by this host's clock.
        what: Its kind. The first seven are Kraken's refusals: ``invalid_nonce``, ``locked_out``, ``rate_limit``,
            ``invalid_key``, ``invalid_signature``, ``permission``, and ``refused`` for all others. ``blocked``: refused
            by what is in front of Kraken. ``held_back``: not sent, because of a lockout; ``over_limit``: because of the
            rate limit. ``unknown``: it is not known whether a call was executed; ``found_out``: what became of it.
            ``clock_step``, ``recovered`` (missing or damaged state), ``floor_raised``, ``adopted``. ``slow_turn``: a
            turn that took long to get; ``no_turn``: it did not come in time.
        key: The fingerprint of the API key; empty: the event is of none, or of all.
        account: The account's name, if it is known.
        method: Kraken's name of the method.
        nonce: The nonce that was sent.
        before: The one that this process had taken before it with this key.
        in_a_row: How many nonces of this process and key Kraken has refused one after the other, this one included.
        seconds: How long the turn was held since the nonce was taken, or how long a turn was waited for.
        order: The order's ``cl_ord_id``, else its ``userref``.
        text: Kraken's error strings, or a few words.
        more: 0: one event. Else this line counts so many others of the same kind, up to its time.
        host: The name of the host.
        pid: The process id.
        program: The name of the program.
        nth: Of the events of its kind in a minute, the first, second or third. Not kept in a line.
    """

    at: float
    what: str
    key: str = ""
    account: str = ""
    method: str = ""
    nonce: int = 0
    before: int = 0
    in_a_row: int = 0
    seconds: float = 0.0
    order: str = ""
    text: str = ""
    more: int = 0
    host: str = ""
    pid: int = 0
    program: str = ""
    nth: int = 1

    @property
    def how_many(self) -> int:
        """How many events this one stands for: the sum over a journal is how many there were."""
        return self.more or 1


def short(text: object) -> str:
    """Return a text that is short and printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:_LONGEST])


def to_line(event: Event) -> bytes:
    """Return the line for an event, with its end. What is empty is left out."""
    exact = event._replace(at=round(event.at, 6), seconds=round(event.seconds, 3), nth=0)
    return f"{_ENCODE(as_dict(exact))}\n".encode()


def as_dict(event: Event) -> dict[str, Any]:
    """Return the fields of an event that are not empty; its time comes first."""
    return {"at": event.at, **{name: value for name, value in zip(_FIELDS, event, strict=True) if value}}


def from_line(line: bytes) -> Event | None:
    """Return the event of a line; None if it is no whole one, as the last line of a process that was killed."""
    if not (line.startswith(_AT) and line.endswith(_ENDS)):
        return None
    try:
        fields, end = _SCAN(line.decode(), 0)
        if end < len(line) - 1:  # another line behind one that has no end
            return None
        event = Event(**fields) if fields.keys() <= _KNOWN else _of_newer(fields)
    except (StopIteration, ValueError, TypeError, AttributeError, RecursionError):
        return None
    is_fine = tuple(map(type, event)) == _USUAL or all(map(isinstance, event, _TYPES))
    return event if is_fine else None


def at_of(line: bytes) -> float | None:
    """Return the time of a line without reading the rest of it; None if it does not begin as one of ours."""
    if not line.startswith(_AT):
        return None
    try:
        return float(line[len(_AT) : line.index(b",")])
    except ValueError:
        return None


def _of_newer(fields: dict[str, Any]) -> Event:
    """Return the event of a line that a newer version has written, which may know more of it."""
    return Event(**{name: value for name, value in fields.items() if name in _KNOWN})


_FIELDS = Event._fields
_KNOWN = frozenset(_FIELDS)
_TEXT, _NUMBER = (str,), (int, float)
_NUMBERS = {
    "at": _NUMBER,
    "seconds": _NUMBER,
    **dict.fromkeys(("nonce", "before", "in_a_row", "more", "pid", "nth"), (int,)),
}
_USUAL = tuple(map(type, Event(0.0, "")))
_TYPES = tuple(_NUMBERS.get(name, _TEXT) for name in _FIELDS)
