"""The notation of the table: one line for each parameter, and shapes for the answers.

A line is the name of a parameter and its kind. ``!`` after the name: it is required. ``-`` before the name: the fake
Kraken does not simulate it. Kinds are the names in :data:`PATTERNS`, ``integer 1..500`` with the first and the last
value, ``{buy|sell}`` for one of these texts (``-`` before one that is not simulated), ``[post|fcib]`` for a list of
them, ``texts`` for a list of any texts, and ``object`` and ``objects`` for what has parameters of its own.

A shape is the name of a type (``text``, ``decimal``: a number written as text, ``int``, ``number``, ``switch``,
``bytes``, ``null``, ``any``), or ``{online|maintenance}`` for one of these texts; with ``?`` it may be null. A ``dict``
has the shape of each field, with ``?`` after the name of one that may be missing; its field ``*`` is for all other
names. A ``list`` with one shape is a list of any length, a ``tuple`` has one shape for each place, and :class:`OneOf`
has several shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = r"(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})"
_ID = r"[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}"

# What a parameter of each kind looks like. Digits are ASCII. Kraken's documents write no exponent, no space and no
# underscore in a number, and a sign only before a price that is relative to another one.
PATTERNS = {
    "text": r"(?s).+",
    "blank": r"(?s).*",  # a text that may be empty
    "decimal": _NUMBER,
    "price": rf"[+#-]?{_NUMBER}%?",
    "integer": r"-?[0-9]{1,20}",
    "leverage": r"none|[0-9]{1,3}(?::1)?",
    "switch": r"(?i:true|false)|[01]",  # Kraken's clients in Python send True and False
    "time": r"[0-9]{1,20}(?:\.[0-9]{0,9})?",  # seconds since 1970, or nanoseconds
    "moment": r"\+?[0-9]{1,12}(?:\.[0-9]{0,9})?",  # seconds since 1970, or from now on
    "bound": rf"[0-9]{{1,12}}(?:\.[0-9]{{0,9}})?|{_ID}",  # of a history: a time, or the id of an entry
    "rfc3339": r"(?i)[0-9]{4}-[0-9]{2}-[0-9]{2}[t ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:z|[+-][0-9:]{2,6})",
    "cursor": r"(?s).+",  # a switch, or the text that names the next page
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a method.

    Args:
        name: Its name.
        kind: The name of a pattern; ``choice``, ``choices``, ``texts``, ``object`` or ``objects``.
        is_required: Whether a call without it is refused.
        is_simulated: Whether the fake Kraken does what it says.
        choices: The texts that it may be, or that its list may have.
        unsimulated: Those of them that the fake Kraken does not simulate.
        allowed: The values of an integer; ``None`` for any.
        fields: The parameters of an object, or of each object of a list.
    """

    name: str
    kind: str
    is_required: bool = False
    is_simulated: bool = True
    choices: tuple[str, ...] = ()
    unsimulated: frozenset[str] = frozenset()
    allowed: range | None = None
    fields: tuple[Parameter, ...] = ()


class OneOf(tuple[Any, ...]):
    """Several shapes: an answer has one of them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Method:
    """A method of Kraken's Spot REST API.

    Args:
        name: Its name, such as ``AddOrder``.
        parameters: Its parameters by name; ``nonce`` and ``otp``, which each private method has, are not among them.
        answer: The shape of its result.
        permissions: A key needs all of one of these sets. Empty: it needs none.
        is_simulated: Whether the fake Kraken answers it.
    """

    name: str
    parameters: Mapping[str, Parameter]
    answer: Any
    permissions: tuple[frozenset[str], ...] = ()
    is_simulated: bool = True


def parameters(lines: str, **nested: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """Return the parameters of a notation.

    Args:
        lines: One line for each of them.
        **nested: The parameters of those that are objects.
    """
    found = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, _, kind = line.partition(" ")
        found.append(_parameter(name, kind.strip(), nested.get(name.strip("-!"), ())))
    return tuple(found)


def _parameter(name: str, kind: str, fields: tuple[Parameter, ...]) -> Parameter:
    choices, allowed = list[str](), None
    if kind[0] in "{[":
        choices = kind[1:-1].split("|")
        kind = "choice" if kind[0] == "{" else "choices"
    elif ".." in kind:
        kind, _, values = kind.partition(" ")
        least, _, most = values.partition("..")
        allowed = range(int(least), int(most) + 1)
    return Parameter(
        name.strip("-!"),
        kind,
        is_required="!" in name,
        is_simulated=name[0] != "-",
        choices=tuple(each.removeprefix("-") for each in choices),
        unsimulated=frozenset(each[1:] for each in choices if each[0] == "-"),
        allowed=allowed,
        fields=fields,
    )


def method(
    name: str,
    needs: str,
    takes: str | tuple[Parameter, ...],
    answer: Any,
    *,
    is_simulated: bool = True,
) -> Method:
    """Return a method.

    Args:
        name: Its name.
        needs: The permissions of a key: ``query-funds + add-funds`` needs both, ``query-funds / query-ledger`` needs
            one. Empty for none.
        takes: Its parameters, or their notation.
        answer: The shape of its result.
        is_simulated: Whether the fake Kraken answers it.
    """
    its = parameters(takes) if isinstance(takes, str) else takes
    permissions = tuple(frozenset(each.split(" + ")) for each in needs.split(" / ")) if needs else ()
    return Method(name, {each.name: each for each in its}, answer, permissions, is_simulated)
