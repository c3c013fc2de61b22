"""``krakenonce``, also ``python -m krakenonce``: the command line, if what it needs is installed."""

from __future__ import annotations

import sys

from krakenonce.errors import ConfigError
from krakenonce.extras import needed_by


def main() -> int | str:
    """Run the command that this process was started with.

    Returns:
        The argument of ``sys.exit()``: the exit code, or a line for stderr.
    """
    try:
        with needed_by("the command line", "cli"):
            import click  # noqa: F401
            import rich  # noqa: F401
    except ConfigError as error:
        return f"krakenonce: {error}"
    from krakenonce.cli.main import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
