"""A small synchronous client for Kraken's Spot REST API: one number and one turn for each private call.

A call holds its key's lane from taking the number until the answer is read, so numbers reach Kraken in the
order in which they were handed out. Nothing here or below sends a call twice: Kraken may have executed the
first one.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from krakenonce._version import __version__
from krakenonce.errors import ConfigError, OutcomeUnknown, RequestNotSent
from krakenonce.kraken.wire import FORM, JSON, decode_secret, encode_form, encode_json, nonce_of, sign

if TYPE_CHECKING:
    from types import TracebackType

    from krakenonce.manager import NonceManager

__all__ = ["Kraken"]

_SHOWN = 80  # characters of an answer that is not Kraken's JSON, shown in the message


class Kraken:
    """A client with krakenex's method names and answers.

    Args:
        key: The API key; empty for public calls only.
        secret: Its secret, base64 as Kraken shows it.
        manager: Where numbers and turns come from; ``None`` makes a ``NonceManager()`` when needed.
        scope: The counter the numbers are taken from.
        base_url: Where Kraken is: scheme, host and port.
        timeout: Seconds to wait for the connection, and again for each piece of the answer.

    Raises:
        ConfigError: *base_url* is not an http or https address.
    """

    def __init__(
        self,
        key: str = "",
        secret: str = "",
        *,
        manager: NonceManager | None = None,
        scope: str = "global",
        base_url: str = "https://api.kraken.com",
        timeout: float = 30.0,
    ) -> None:
        try:
            address = urlsplit(base_url)
            host = address.hostname if address.scheme in ("http", "https") else None
        except ValueError:
            host = None
        if not host:
            raise ConfigError(f"The base URL {base_url!r} is not like https://api.kraken.com.")
        self.key = key
        self._secret = secret
        self._manager = manager
        self._made_manager: NonceManager | None = None
        self._making_manager = threading.Lock()
        self._scope = scope
        self._base_url = base_url.rstrip("/")
        self._host = host
        self._timeout = timeout
        self._pool, self._pool_owner = _new_pool(), os.getpid()

    def __repr__(self) -> str:
        from krakenonce.lanes.naming import fingerprint

        return f"Kraken(key={fingerprint(self.key) if self.key else ''!r}, base_url={self._base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and the manager if it was made here; a later call opens new ones."""
        pools = self._pool.pools
        for key in pools.keys():  # noqa: SIM118 - not a dict, and iterating over it is refused
            pools[key].close()
        self._pool.clear()
        with self._making_manager:
            if self._made_manager is not None:
                self._made_manager.close()
                self._manager = self._made_manager = None

    def query_public(
        self, method: str, data: Mapping[str, object] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call a public method such as ``Time``.

        Args:
            method: Kraken's name for it.
            data: Its parameters.
            timeout: Seconds, for this call only.

        Returns:
            Kraken's answer as it is: ``{"error": [...], "result": ...}``, with fractions as Decimal.

        Raises:
            RequestNotSent: No connection.
            OutcomeUnknown: No answer, or none that Kraken's API gives.
        """
        path = f"/0/public/{method}" + (f"?{encode_form(data)}" if data else "")
        return self._send("GET", path, None, {}, timeout)

    def query_private(
        self, method: str, data: Mapping[str, object] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call a private method such as ``Balance`` with the key's next number, in the key's turn.

        Args:
            method: Kraken's name for it.
            data: Its parameters; not changed. Nested ones are sent as JSON. A ``nonce`` in it is used as it
                is: the caller has then taken the number and the turn.
            timeout: Seconds, for this call only; the wait for the turn is not counted.

        Returns:
            Kraken's answer as it is: ``{"error": [...], "result": ...}``, with fractions as Decimal.

        Raises:
            ConfigError: No usable key, secret or parameters; nothing was sent.
            RequestNotSent: No connection; nothing was sent.
            OutcomeUnknown: Sent, but no answer, or none that Kraken's API gives: it may have been executed.
            NonceError: No number to be had; nothing was sent.
        """
        secret = self._checked_secret()
        fields = dict(data or {})
        if "nonce" in fields:
            return self._send_private(method, fields, secret, timeout)
        manager = self._ready_manager()
        with manager.lane(self.key):
            return self._send_private(method, {"nonce": manager.next(self._scope), **fields}, secret, timeout)

    def _checked_secret(self) -> bytes:
        if not self.key or not self._secret:
            raise ConfigError("A private call needs an API key and its secret.")
        # A line break inside would make the HTTP library name the whole key in its complaint.
        if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
            raise ConfigError("The API key holds a character that no key has, such as a blank or a line break.")
        return decode_secret(self._secret)

    def _ready_manager(self) -> NonceManager:
        with self._making_manager:
            if self._manager is None:
                from krakenonce.manager import NonceManager

                self._manager = self._made_manager = NonceManager()
            return self._manager

    def _send_private(
        self, method: str, fields: dict[str, object], secret: bytes, timeout: float | None
    ) -> dict[str, Any]:
        nested = any(isinstance(value, Mapping | list | tuple) for value in fields.values())
        body = (encode_json(fields) if nested else encode_form(fields)).encode()
        content_type = JSON if nested else FORM
        nonce = nonce_of(body, content_type)
        if nonce is None:
            raise ConfigError("The nonce must be a whole number of at most 20 digits.")
        path = f"/0/private/{method}"
        headers = {
            "API-Key": self.key,
            "API-Sign": sign(path, nonce, body, secret),
            "Content-Type": content_type,
        }
        return self._send("POST", path, body, headers, timeout)

    def _send(
        self, verb: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float | None
    ) -> dict[str, Any]:
        call = f"{path.partition('?')[0]} at {self._host}"
        _progress.sent = False
        try:
            # No retries and no redirects: a repeated POST is a second order.
            response = self._own_pool().request(
                verb,
                self._base_url + path,
                body=body,
                headers={"User-Agent": f"krakenonce/{__version__}", **headers},
                timeout=self._timeout if timeout is None else timeout,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            if not _progress.sent:
                raise RequestNotSent(
                    f"{call}: no connection ({_reason(error)}), nothing was sent. The call may be repeated."
                ) from error
            raise OutcomeUnknown(f"{call}: sent, but no answer came. Ask Kraken before repeating it.") from error
        answer = _decoded(response.data)
        if response.status != 200 or answer is None:
            shown = " ".join(response.data.decode("utf-8", "replace").split())
            # An error page may quote the request.
            shown = shown.replace(self.key, "(key)")[:_SHOWN] if self.key else shown[:_SHOWN]
            raise OutcomeUnknown(f"{call}: HTTP status {response.status} and no answer of Kraken's API: {shown!r}")
        return answer

    def _own_pool(self) -> urllib3.PoolManager:
        # Parent and child would read each other's answers from connections opened before a fork.
        if self._pool_owner != os.getpid():
            self._pool, self._pool_owner = _new_pool(), os.getpid()
        return self._pool


def _reason(error: BaseException) -> str:
    """What the system said, without anything of the request."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _decoded(data: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


class _Progress(threading.local):
    sent = False  # whether the call that this thread makes may have left this machine


_progress = _Progress()


class _Connection(HTTPConnection):
    """Notes that sending begins, after the connection (and for https its handshake) is there."""

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _progress.sent = True
        super().send(data)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _new_pool() -> urllib3.PoolManager:
    pool = urllib3.PoolManager()
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pool
