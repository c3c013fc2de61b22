"""Where the state is if nobody says."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_directory() -> Path:
    """Return ``$KRAKENONCE_STATE_DIR``, else the platform's state directory of this user."""
    chosen = os.environ.get("KRAKENONCE_STATE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "krakenonce"
    state_home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state_home) if state_home.startswith("/") else Path.home() / ".local" / "state") / "krakenonce"
