"""A package that is not installed: one error says which one, and which extra of krakenonce installs it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needed_by(what: str, extra: str) -> Iterator[None]:
    """Raise ConfigError if a package that is imported in this block is not installed.

    Args:
        what: What needs the package, for the message.
        extra: The extra that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what} needs {error.name}: pip install 'krakenonce[{extra}]'") from None
