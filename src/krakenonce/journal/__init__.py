"""What has happened that somebody may ask about later: refusals, unknown outcomes, steps of the clock, and so on."""

from krakenonce.journal.event import Event
from krakenonce.journal.hooks import get_on_event_hooks, set_on_event_hooks
from krakenonce.journal.reading import Reader

__all__ = ["Event", "Reader", "get_on_event_hooks", "set_on_event_hooks"]
