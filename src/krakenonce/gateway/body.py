"""A request's body with another nonce in it, and every other byte as it was. No I/O."""

from __future__ import annotations

from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined] # it is there, and in its __init__ for subclasses
from urllib.parse import unquote_plus

from krakenonce.errors import ConfigError
from krakenonce.kraken.wire import is_json

__all__ = ["has_one_nonce", "with_nonce"]

_DECODER = JSONDecoder(parse_int=str)  # numbers are passed over, however long
_BLANKS = " \t\n\r"


def has_one_nonce(body: bytes, content_type: str) -> bool:
    """Return whether :func:`with_nonce` can do its work; a reader that takes the last of two would not see it."""
    return _replaced(body, content_type, 0) is not None


def with_nonce(body: bytes, content_type: str, nonce: int) -> bytes:
    """Return *body* with *nonce* in the place of the one it has.

    Args:
        body: A form or JSON body with exactly one nonce.
        content_type: The ``Content-Type`` header; anything but JSON is read as a form.
        nonce: The number to put there; JSON text stays text, a JSON number a number.

    Raises:
        ConfigError: There is no nonce, there are two, or the body is not what the content type says.
    """
    replaced = _replaced(body, content_type, nonce)
    if replaced is None:
        raise ConfigError("the body must have exactly one nonce")
    return replaced


def _replaced(body: bytes, content_type: str, nonce: int) -> bytes | None:
    return _in_json(body, nonce) if is_json(content_type) else _in_form(body, nonce)


def _in_form(body: bytes, nonce: int) -> bytes | None:
    fields = body.split(b"&")
    found = [
        index
        for index, field in enumerate(fields)
        if unquote_plus(field.partition(b"=")[0].decode("utf-8", "replace")) == "nonce"
    ]
    if len(found) != 1:
        return None
    fields[found[0]] = b"nonce=%d" % nonce
    return b"&".join(fields)


def _in_json(body: bytes, nonce: int) -> bytes | None:
    try:
        text = body.decode()
        spans = _nonces_in(text)
    except (ValueError, StopIteration, IndexError, RecursionError):
        return None
    if len(spans) != 1:
        return None
    start, end = spans[0]
    number = f'"{nonce}"' if text[start] == '"' else str(nonce)
    return (text[:start] + number + text[end:]).encode()


def _nonces_in(text: str) -> list[tuple[int, int]]:
    """Where the values of the outermost object's nonces are. Raises what the decoder raises."""
    spans = []
    at = _skip(text, 0, "{")
    while text[at] != "}":
        name, at = scanstring(text, _skip(text, at, '"'))
        start = _skip(text, _skip(text, at, ":"))
        _, at = _DECODER.raw_decode(text, start)
        if name == "nonce":
            spans.append((start, at))
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
            if text[at] == "}":
                raise JSONDecodeError("a comma too many", text, at)
        elif text[at] != "}":
            raise JSONDecodeError("no comma", text, at)
    if text[at + 1 :].strip(_BLANKS):
        raise JSONDecodeError("more than one object", text, at)
    return spans


def _skip(text: str, at: int, wanted: str = "") -> int:
    """Return the place after blanks, and after *wanted* if it is given."""
    while text[at] in _BLANKS:
        at += 1
    if wanted and text[at] != wanted:
        raise JSONDecodeError(f"no {wanted}", text, at)
    return at + len(wanted)
