"""Compare an answer with the shape that Kraken documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from krakenonce.testing.documented.notation import OneOf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")

_TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "decimal": lambda value: isinstance(value, str) and _DECIMAL.fullmatch(value) is not None,
    "int": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "switch": lambda value: isinstance(value, bool),
    "bytes": lambda value: isinstance(value, bytes),
    "null": lambda value: value is None,
    "any": lambda _: True,
}


def differences(answer: Any, shape: Any, where: str = "result") -> Iterator[str]:
    """Yield in words what is not as documented; nothing if all is.

    Args:
        answer: The answer, or a part of it.
        shape: Its shape, see :mod:`krakenonce.testing.documented.notation`.
        where: The name of this part.
    """
    match shape:
        case OneOf():
            yield from min((list(differences(answer, each, where)) for each in shape), key=len)
        case dict():
            yield from _of_object(answer, shape, where)
        case list():
            yield from _of_rows(answer, shape * len(answer) if isinstance(answer, list) else [], where)
        case tuple():
            yield from _of_rows(answer, list(shape), where)
        case str() if not _is(answer, shape):
            yield f"{where} is {answer!r}, not {shape}"


def _is(value: Any, shape: str) -> bool:
    if shape.endswith("?"):
        return value is None or _is(value, shape[:-1])
    if shape[0] == "{":
        return isinstance(value, str) and value in shape[1:-1].split("|")
    return _TYPES[shape](value)


def _of_object(answer: Any, shape: dict[str, Any], where: str) -> Iterator[str]:
    if not isinstance(answer, dict):
        yield f"{where} is {answer!r}, not an object"
        return
    for name, field in shape.items():
        known = name.removesuffix("?")
        if known in answer and known != "*":
            yield from differences(answer[known], field, f"{where}.{known}")
        elif name[-1] not in "?*":
            yield f"{where}.{name} is missing"
    others = [name for name in answer if name not in shape and f"{name}?" not in shape]
    for name in others:
        if "*" in shape:
            yield from differences(answer[name], shape["*"], f"{where}.{name}")
        else:
            yield f"{where}.{name} is not documented"


def _of_rows(answer: Any, shapes: list[Any], where: str) -> Iterator[str]:
    if not isinstance(answer, list) or len(answer) != len(shapes):
        yield f"{where} is {answer!r}, not a list" + (f" of {len(shapes)}" if shapes else "")
        return
    for place, (value, shape) in enumerate(zip(answer, shapes, strict=True)):
        yield from differences(value, shape, f"{where}[{place}]")
