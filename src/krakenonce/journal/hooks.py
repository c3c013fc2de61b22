"""Functions that are called with each event: by default one that logs it."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TypeAlias

from krakenonce.journal.said import said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.journal.event import Event


Hook: TypeAlias = "Callable[[Event], object]"

logger = logging.getLogger("krakenonce.journal")

_NO_WARNING = ("found_out", "floor_raised", "adopted", "over_limit")
_LOGGED_BEFORE = ("clock_step", "recovered")  # by what has found it, at once


def set_on_event_hooks(hooks: Iterable[Hook] | None) -> None:
    """Set the functions that are called with each event of this process that is written to a journal.

    Of each kind of event these are the first three in a minute, and one with the count of the rest. A hook is called in
    the thread of the call, often while that has the key's turn: it should be quick, and not use krakenonce. What it
    raises is logged and goes no further.

    Args:
        hooks: The functions; none: nothing is called and nothing logged. None: the default, which logs.
    """
    global _hooks
    _hooks = None if hooks is None else tuple(hooks)


def get_on_event_hooks() -> tuple[Hook, ...]:
    """Return the functions that are called with each event."""
    return (log_event,) if _hooks is None else _hooks


def call_hooks(event: Event) -> None:
    """Call the hooks with an event."""
    for hook in get_on_event_hooks():
        try:
            hook(event)
        except Exception:
            logger.exception("a hook for events has failed; the call goes on")


def log_event(event: Event) -> None:
    """Log the first event of a kind in each minute, and the count of the rest.

    With structlog, if the program has configured it; else with the logger ``krakenonce.journal``.
    """
    level = logging.INFO if event.what in _NO_WARNING else logging.WARNING
    if event.nth > 1 or event.what in _LOGGED_BEFORE:
        level = logging.DEBUG
    structlog = sys.modules.get("structlog")  # one that is not configured would print to stdout
    if structlog is not None and structlog.is_configured():
        fields = {name: value for name, value in event._asdict().items() if value and name not in ("at", "nth")}
        structlog.get_logger("krakenonce.journal").log(level, f"krakenonce.{fields.pop('what')}", **fields)
    else:
        logger.log(level, "%s", said(event))


_hooks: tuple[Hook, ...] | None = None
