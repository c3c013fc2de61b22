"""Whose turn it is."""

from .lane import Lane, Lanes
from .naming import GLOBAL, fingerprint

__all__ = ["GLOBAL", "Lane", "Lanes", "fingerprint"]
