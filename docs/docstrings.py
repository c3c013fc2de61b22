"""Shows docstrings to readers of the site: Sphinx's roles as names, procedures as the methods that they are."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Docstrings"]

_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_GIVEN = ("calls", "there")  # a procedure's first argument, which the client or the manager gives


class Docstrings(griffe.Extension):
    """What mkdocstrings changes in what it has read of the source."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Write ``:class:`Kraken``` as `Kraken`."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Show a procedure as a method: without what the method gives it, and with what it returns in the end."""
        first = next(iter(func.parameters), None)
        if first is None or first.name not in _GIVEN or first.kind is not griffe.ParameterKind.positional_only:
            return
        del func.parameters[first.name]
        if func.docstring is not None:
            func.docstring.value = re.sub(rf"(?m)^ +{first.name}: .*\n", "", func.docstring.value)
        if isinstance(func.returns, griffe.ExprSubscript):  # Steps[result]
            within = func.returns.slice
            func.returns = within.elements[-1] if isinstance(within, griffe.ExprTuple) else within
