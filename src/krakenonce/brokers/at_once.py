"""How many accounts are called at the same time: as many as this process may open files for."""

from __future__ import annotations

import os
import resource

_PER_CALL = 3  # files: a connection, and the two of the lane
_STATE = 160  # files: nonces, the rate limits of 64 keys and 32 lanes, which stay open, and some to spare
_SHARE = 4  # of the files that the process may open, the part that lanes and rate limits keep open if that is more


def at_once(most: int) -> int:
    """Return how many calls may be made at the same time, beside the files that are open now.

    Args:
        most: More than this are never made at the same time.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return most
    state = max(_STATE, files // _SHARE)
    try:
        files -= len(os.listdir("/dev/fd"))
    except OSError:  # hidden, as /proc may be in a container
        files -= state
    return max(1, min(most, (files - state) // _PER_CALL))
