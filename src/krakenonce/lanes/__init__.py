"""Whose turn it is."""

from krakenonce.lanes.lane import Lane, find_lane
from krakenonce.lanes.naming import GLOBAL, fingerprint

__all__ = ["GLOBAL", "Lane", "find_lane", "fingerprint"]
