"""HTTP as the bots and the proxy need it: one request, one answer, over asyncio's streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

__all__ = ["BROKEN_OFF", "Message", "leave", "post", "read_message", "whole_in"]

BROKEN_OFF = (OSError, EOFError, TimeoutError, ValueError)  # no answer, or not a whole one


class Message(NamedTuple):
    """A request or an answer: its first line, its headers with names in small letters, and its body."""

    first: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first.split(" ")[1])

    def packed(self) -> bytes:
        """Return its bytes."""
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
        return "\r\n".join(lines).encode() + self.body


async def read_message(reader: StreamReader) -> Message:
    """Read a message. Raises one of ``BROKEN_OFF``."""
    head = _head(await reader.readuntil(b"\r\n\r\n"))
    return head._replace(body=await reader.readexactly(_length(head)))


def whole_in(data: bytes) -> Message | None:
    """Return the message that these bytes are; None: something of it is missing."""
    first, blank, body = data.partition(b"\r\n\r\n")
    head = _head(first)
    return head._replace(body=body) if blank and len(body) >= _length(head) else None


def _head(data: bytes) -> Message:
    first, *lines = data.decode("latin-1").rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(first, {name.strip().lower(): value.strip() for name, _, value in pairs}, b"")


def _length(head: Message) -> int:
    return int(head.headers.get("content-length", "0"))


async def post(port: int, request: Message) -> Message:
    """Send a request on a connection of its own and return the answer. Raises one of ``BROKEN_OFF``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.packed())
        return await read_message(reader)
    finally:
        await leave(writer)


async def leave(writer: StreamWriter) -> None:
    """Close a connection."""
    writer.close()
    await asyncio.sleep(0)
