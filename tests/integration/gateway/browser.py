"""A headless Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import re
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["CHROMIUM", "Page", "opened"]

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")


class Page:
    """One page of a browser.

    Args:
        socket: The DevTools connection to it.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def command(self, method: str, **params: Any) -> Any:
        """Send one command of the protocol and return its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def value(self, expression: str) -> Any:
        """Return what a JavaScript expression is on the page; waits for a promise."""
        answer = await self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def comes_true(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        look = f"const look = () => ({expression}) ? done(1) : setTimeout(look, 20); look()"
        async with asyncio.timeout(30):
            await self.value(f"new Promise(done => {{ {look} }})")

    async def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=9)

    async def picture(self) -> bytes:
        """Return the page as a PNG."""
        return base64.b64decode((await self.command("Page.captureScreenshot", captureBeyondViewport=True))["data"])


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    """Show a page in a browser of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = (
            f"--user-data-dir={profile}",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--remote-debugging-port=0",
            *_QUIET,
        )
        browser = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            *flags,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            assert browser.stderr is not None
            async for line in browser.stderr:
                if found := re.search(rb"ws://(\S+?)/", line):
                    break
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://{found[1].decode()}/json") as answer:  # type: ignore[index] # it says so
                    (page,) = [each for each in await answer.json() if each["type"] == "page"]
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    shown = Page(socket)
                    await shown.command("Page.navigate", url=url)
                    yield shown
        finally:
            browser.terminate()
            await browser.communicate()
