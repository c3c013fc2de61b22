"""Tables on stdout: on a narrow terminal reasons are shortened first, then names; numbers and ids never."""

from __future__ import annotations

import math
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import click

from krakenonce.cli.output import printable, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


Kind: TypeAlias = Literal["name", "number", "id", "reason"]
Colour: TypeAlias = Literal["red", "yellow"]

_LINE, _RULE = "\N{BOX DRAWINGS LIGHT VERTICAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
_CUT = "\N{HORIZONTAL ELLIPSIS}"
_SHORTENED: tuple[Kind, ...] = ("reason", "name")  # in this order


class Column(NamedTuple):
    """A column of a table.

    Args:
        title: What stands above it.
        kind: ``number`` is aligned right, all others left. Only ``reason`` and ``name`` may be shortened.
    """

    title: str
    kind: Kind = "name"


class _Frame(NamedTuple):
    """What stands between the cells, and how short a cell may become."""

    before: str
    between: str
    after: str
    least: dict[Kind, int]


_PLAIN = _Frame("", "  ", "", {"reason": 1, "name": 6})
_LINES = _Frame(f"{_LINE} ", f" {_LINE} ", f" {_LINE}", {"reason": 12, "name": 8})


def write_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    colour: Callable[[Sequence[str]], Colour | None] = lambda _: None,
) -> None:
    """Write a table: on a terminal as wide as that and with lines, if they fit; else whole, with spaces.

    Args:
        columns: The columns.
        rows: The cells of each row.
        colour: Returns the colour of a row, which is used on a terminal only.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not _is_terminal():
        widths = [max(map(len, texts)) for texts in zip([each.title for each in columns], *cells, strict=True)]
        write("\n".join(_row(row, columns, widths, _PLAIN) for row in [[each.title for each in columns], *cells]))
        return
    frame, widths = _fitting(columns, cells)
    titles = [_wrapped(each, width) for each, width in zip(columns, widths, strict=True)]
    height = max(map(len, titles))
    heads = zip(*([""] * (height - len(lines)) + lines for lines in titles), strict=True)
    lines = [_row(head, columns, widths, frame) for head in heads]
    lines.append(_RULE * _total(widths, frame))
    lines += [_coloured(_row(row, columns, widths, frame), colour(row)) for row in cells]
    write("\n".join(lines))


def write_text(text: str) -> None:
    """Write a line of text; on a terminal it goes on in the next line between words, so that no id is torn."""
    text = printable(text)
    if _is_terminal():
        text = textwrap.fill(text, max(_width(), 20), break_long_words=False, break_on_hyphens=False)
    write(text)


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")


def _width() -> int:
    return shutil.get_terminal_size().columns


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> tuple[_Frame, list[int]]:
    """Return the frame and the widths with which the table fits the terminal, or comes closest to that."""
    contents = [max((len(row[index]) for row in cells), default=0) for index in range(len(columns))]
    whole = [max(width, len(each.title)) for width, each in zip(contents, columns, strict=True)]
    words = [max(width, *map(len, [*each.title.split(), ""])) for width, each in zip(contents, columns, strict=True)]
    widths = whole
    if _total(widths, _LINES) <= _width():
        return _LINES, widths
    for frame in (_LINES, _PLAIN):
        widths = [*words]
        over = _total(widths, frame) - _width()
        for kind in _SHORTENED:
            for index, each in enumerate(columns):
                if each.kind == kind:
                    less = min(max(over, 0), max(widths[index] - frame.least[kind], 0))
                    widths[index], over = widths[index] - less, over - less
        if over <= 0:
            return frame, widths
    return _PLAIN, widths


def _total(widths: Sequence[int], frame: _Frame) -> int:
    return sum(widths) + len(frame.before) + len(frame.after) + len(frame.between) * (len(widths) - 1)


def _wrapped(column: Column, width: int) -> list[str]:
    lines = textwrap.wrap(column.title, width, break_long_words=False) or [""]
    return [_shortened(line, width) for line in lines]


def _row(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int], frame: _Frame) -> str:
    cells = []
    for cell, column, width in zip(row, columns, widths, strict=True):
        text = _shortened(cell, width) if column.kind in _SHORTENED else cell
        cells.append(text.rjust(width) if column.kind == "number" else text.ljust(width))
    return f"{frame.before}{frame.between.join(cells)}{frame.after}".rstrip()


def _shortened(text: str, width: float = math.inf) -> str:
    return text if len(text) <= width else text[: int(width) - 1] + _CUT


def _coloured(line: str, colour: Colour | None) -> str:
    plain = colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return line if plain else click.style(line, fg=colour)
