"""What is to be known of this machine: its boot, its clocks, whether this is a container."""

from __future__ import annotations

import os

from krakenonce.clock import SystemClock
from krakenonce.key.limits import stable_hash

_CONTAINERS = {"/.dockerenv": "Docker", "/run/.containerenv": "Podman", "/var/run/secrets/kubernetes.io": "Kubernetes"}


def details() -> dict[str, str]:
    """Return the boot id, and whether this is a container."""
    kinds = [kind for mark, kind in _CONTAINERS.items() if os.path.exists(mark)]
    return {"boot": SystemClock.boot_id() or "not known", "container": ", ".join(kinds) or "none that is known"}


def clock_number() -> int:
    """Return the number by which the states of rate limits know this clock."""
    return stable_hash(SystemClock.boot_id() or os.urandom(16).hex())


def since_boot() -> float:
    """Return the seconds since boot."""
    return SystemClock.boot_ns() / 1e9
