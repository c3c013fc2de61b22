"""Checks of arguments: a wrong one raises ConfigError where it is passed, not a TypeError where it is used."""

from __future__ import annotations

from typing import Any

from krakenonce.errors import ConfigError

_YEARS = 1e9  # seconds; above this the system's own timeouts overflow


def check_seconds(name: str, value: object, *, zero: bool = False, endless: bool = False) -> None:
    """Raise ConfigError unless *value* is a number of seconds.

    Args:
        name: The argument's name.
        value: Its value.
        zero: Whether it may be 0.
        endless: Whether it may be of any length.
    """
    number = check_number(name, value)
    if number < 0 or (number == 0 and not zero) or (number > _YEARS and not endless):
        bound = f"at most {_YEARS:g}" if number > 0 else "0 or more" if zero else "more than 0"
        raise ConfigError(f"{name} cannot be {value} seconds: give {bound}, such as 30.0")


def check_number(name: str, value: object) -> float:
    """Return *value*. Raises ConfigError unless it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # NaN
        raise ConfigError(f"{name} must be a number of seconds, such as 30.0, not {_kind(value)}")
    return value


def check_text(name: str, value: object) -> None:
    """Raise ConfigError unless *value* is text. The message does not show it, because it may be a secret."""
    if not isinstance(value, str):
        hint = ": is the environment variable set?" if value is None else ""
        raise ConfigError(f"{name} must be text, not {_kind(value)}{hint}")


def check_serialization(value: object) -> None:
    """Raise ConfigError unless *value* says which calls wait for each other."""
    if value not in ("key", "global", "off"):
        raise ConfigError(f"serialization must be key, global or off, not {value!r}")


def check_manager(value: object) -> None:
    """Raise ConfigError unless *value* is a NonceManager, or None."""
    if value is not None and not _has(value, "next", "lane", "next_for"):
        also = (
            "; from a GlobalKrakenNonceManager pass its .manager"
            if _has(getattr(value, "manager", None), "next")
            else ""
        )
        raise ConfigError(f"manager must be a NonceManager, such as NonceManager('/path'), not {_kind(value)}{also}")


def check_nonces(value: Any) -> None:
    """Raise ConfigError unless *value* is a GlobalKrakenNonceManager, or None."""
    if value is not None and not _has(getattr(value, "manager", None), "next", "lane", "next_for"):
        raise ConfigError(
            f"nonces must be a GlobalKrakenNonceManager, such as GlobalKrakenNonceManager(NonceManager('/path')), "
            f"not {_kind(value)}"
        )


def _has(value: object, *methods: str) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__qualname__} itself"
    return "None" if value is None else "NaN" if isinstance(value, float) else f"a {type(value).__qualname__}"
