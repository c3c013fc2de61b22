"""What commands write: JSON with every digit, and one-line messages on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

from krakenonce.errors import KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


EVENTS = "krakenonce.journal"  # the logger of events
_shown: set[str] = set()
_PLAIN = 64  # decimal places up to which a Decimal is written without an exponent


def show_events() -> None:
    """Let warnings about events go to stderr, too: of a command that runs for long, and has no other answer."""
    _shown.add(EVENTS)


def is_shown(logger: str) -> bool:
    """Whether warnings of a logger go to stderr. Of one call's refusal its error tells already."""
    return logger != EVENTS or logger in _shown


def complain(message: str) -> None:
    """Write *message* as one line to stderr."""
    with contextlib.suppress(OSError):  # stderr is closed
        print(f"krakenonce: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return *text* without what a terminal would obey: it may be Kraken's, or what is taken for Kraken."""
    return "".join(char if char.isprintable() else "?" for char in text)


def write(line: str | bytes = "") -> None:
    """Write *line* to stdout at once; bytes are the content of a file, and are written as they are.

    Raises:
        BrokenPipeError: The reader has closed it.
        KrakenonceError: It cannot be written, for example to a full disk.
    """
    if sys.stdout is None:
        raise KrakenonceError("cannot write the output: there is no standard output")
    try:
        if isinstance(line, bytes):
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
        else:
            print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise KrakenonceError(f"cannot write the output: {error.strerror}") from error


@contextlib.contextmanager
def not_lost(text: Callable[[], str]) -> Iterator[None]:
    """Write *text* to stderr if the block cannot write a result that exists only here."""
    try:
        yield
    except BaseException:  # Ctrl-C, too: the reader may have stopped reading
        complain(f"the output could not be written to stdout: {text()}")
        raise


def to_json(value: object, margin: str = "\n") -> str:
    """Return *value* as indented JSON; a Decimal becomes a number with every digit it has."""
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return format(value, "f") if isinstance(exponent, int) and -_PLAIN <= exponent <= 0 else str(value)
    inner = margin + "  "
    if isinstance(value, dict) and value:
        items = (f"{json.dumps(str(name))}: {to_json(item, inner)}" for name, item in value.items())
        return "{" + inner + ("," + inner).join(items) + margin + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + inner + ("," + inner).join(to_json(item, inner) for item in value) + margin + "]"
    return json.dumps(value)
