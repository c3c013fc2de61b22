"""Tells PyInstaller which files a program needs in addition to krakenonce's modules."""

from __future__ import annotations

from pathlib import Path


def hook_dirs() -> list[str]:
    """Return where the hooks are; PyInstaller finds this function by its entry point."""
    return [str(Path(__file__).parent)]
