"""Whose turn it is."""

from .lane import Lane, find_lane
from .naming import GLOBAL, fingerprint

__all__ = ["GLOBAL", "Lane", "find_lane", "fingerprint"]
