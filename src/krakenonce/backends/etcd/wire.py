"""Requests to etcd's JSON gateway, and their answers: one at a time on one connection; never repeated."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from krakenonce.backends.etcd.stream import Stream

if TYPE_CHECKING:
    from krakenonce.backends.etcd.server import Server


Json = dict[str, Any]

NOT_FOUND = 5
_DELETE = "kv/deleterange"
_NO_SUCH_PAGE = 12
_UNSURE = (1, 2, 4, 10, 13, 14)  # gRPC's codes after which nobody knows whether a request was, or will be, executed


class Lost(Exception):
    """There is no answer. What was asked for may have been done, or be done later.

    Args:
        message: Why.
        is_down: Whether there was no connection, or something else than etcd at its end.
    """

    def __init__(self, message: str, *, is_down: bool = False) -> None:
        super().__init__(message)
        self.is_down = is_down


class Silence(Lost):
    """Nothing has arrived in time."""


class Refused(Exception):
    """The server has refused a request, and not executed it.

    Args:
        message: What it says, in one line.
        code: gRPC's code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Wire:
    """A connection to one server, which is opened once. One thread at a time uses it.

    Args:
        server: All servers; the one at ``server.place()`` is used.
        patience: Seconds until a server that does not answer counts as gone.
    """

    def __init__(self, server: Server, patience: float) -> None:
        self.server = server
        self._patience = patience
        self.place = server.place()
        self.is_made = False  # whether there is a state that this krakenonce knows
        self._token = ""
        self._stream = Stream()
        self._owed = 0  # answers that nobody has waited for
        self._date: str | None = None  # the last one
        self._seconds = 0  # what it means
        self._data = b""  # has arrived, and was not read
        self._messages = b""

    def open(self) -> None:
        """Connect. Raises Lost, or NonceStoreError for a wrong certificate file."""
        context = self.server.tls()
        try:
            self._stream.open(self.place, context, time.monotonic() + self._patience)
        except (OSError, UnicodeError) as error:  # a name may be none for DNS
            why, is_met = _reason(error), self._stream.is_met
            self.close()
            if is_met and context is not None and not hasattr(error, "verify_message"):
                why = f"{why}; write etcd:// if it speaks no TLS"
            raise Lost(why, is_down=not isinstance(error, TimeoutError)) from None
        except BaseException:
            self.close()
            raise

    def log_in(self, token: str) -> None:
        """Send the token with all requests from now on."""
        self._token = f"Authorization: {token}\r\n"

    def txn(self, if_all: list[Json], then: list[Json], otherwise: list[Json] | None = None) -> Json:
        """Do one of two lists of requests, as a whole. Errors: as for :meth:`post`."""
        return self.post(
            "kv/txn", {"compare": if_all, "success": then, **({"failure": otherwise} if otherwise else {})}
        )

    def read(self, *requests: Json) -> Json:
        """Answer requests that only read as a transaction does. One alone is answered by a server that is full, too."""
        if len(requests) > 1:
            return self.txn([], [*requests])
        answer = self.post("kv/range", requests[0]["request_range"])
        return {"header": answer["header"], "responses": [{"response_range": answer}]}

    def delete(self, request: Json) -> None:
        """Delete keys, also on a server that is full. Errors: as for :meth:`post`."""
        self.post(_DELETE, request["request_delete_range"])

    def delete_later(self, request: Json) -> None:
        """Do the same, and do not wait for the answer: the next request reads it first. Raises Lost."""
        done = False
        try:
            self._send(_DELETE, request["request_delete_range"], time.monotonic() + self._patience)
            self._owed += 1
            done = True
        except OSError as error:
            raise _lost(error) from None
        finally:
            if not done:
                self.close()

    def post(self, path: str, body: Json) -> Json:
        """Send a request and return what is answered.

        Raises:
            Lost: There is no answer; the connection is closed.
            Refused: The server refuses it.
        """
        done, deadline = False, time.monotonic() + self._patience
        try:
            status, headers = self._request(path, body, deadline)
            found = self._body(headers, deadline)
            done = headers.get("connection", "") != "close"
            return _read(status, found)
        except (OSError, ValueError) as error:
            raise _lost(error) from None
        finally:
            if not done:  # also after an interrupt: the answer may still arrive
                self.close()

    def drain(self) -> None:
        """Read the answers that nobody has waited for. Raises Lost."""
        done, deadline = False, time.monotonic() + self._patience
        try:
            self._pay(deadline)
            done = True
        except (OSError, ValueError) as error:
            raise _lost(error) from None
        finally:
            if not done:
                self.close()

    def begin(self, path: str, body: Json) -> None:
        """Send a request that is answered by many messages. Errors: as for :meth:`post`."""
        deadline = time.monotonic() + self._patience
        try:
            status, headers = self._request(path, body, deadline)
            if status != 200:
                _read(status, self._body(headers, deadline))
        except (OSError, ValueError) as error:
            raise _lost(error) from None

    def message(self, patience: float) -> Json:
        """Return the next message. Raises Silence if there is none within *patience* seconds, or Lost."""
        deadline = time.monotonic() + patience
        try:
            while b"\n" not in self._messages:
                if not (chunk := self._chunk(deadline)):
                    raise Lost("the server has ended its answer")
                self._messages += chunk
            line, _, self._messages = self._messages.partition(b"\n")
            return _result(json.loads(line))
        except (OSError, ValueError) as error:
            raise _lost(error) from None

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def _request(self, path: str, body: Json, deadline: float) -> tuple[int, dict[str, str]]:
        """Send a request; return the status and the headers of its answer."""
        self._send(path, body, deadline)
        self._pay(deadline)
        return self._head(deadline)

    def _pay(self, deadline: float) -> None:
        """Read what was not waited for. Raises Lost for an error, too: what was sent since is done all the same."""
        while self._owed:
            status, headers = self._head(deadline)
            try:
                _read(status, self._body(headers, deadline))
            except Refused as error:
                raise Lost(str(error)) from None
            self._owed -= 1

    def _send(self, path: str, body: Json, deadline: float) -> None:
        data = json.dumps(body, separators=(",", ":")).encode()
        name, port = self.place
        host = f"[{name}]" if ":" in name else name
        head = f"POST /v3/{path} HTTP/1.1\r\nHost: {host}:{port}\r\n{self._token}Content-Length: {len(data)}\r\n\r\n"
        self._stream.send(head.encode() + data, deadline)

    def _head(self, deadline: float) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._data:
            self._data += self._stream.receive(deadline)
        answer, _, self._data = self._data.partition(b"\r\n\r\n")
        first, *lines = answer.decode("latin-1").split("\r\n")
        parts = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip().lower() for name, _, value in parts}
        if (date := headers.get("date", "")) != self._date:
            self._date, self._seconds = date, round(parsedate_to_datetime(date).timestamp())
        self.server.clock.note(self._seconds)
        return int(first.split()[1]), headers

    def _body(self, headers: dict[str, str], deadline: float) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            size = int(headers.get("content-length", "0"))
            while len(self._data) < size:
                self._data += self._stream.receive(deadline)
            found, self._data = self._data[:size], self._data[size:]
            return found
        found = b""
        while chunk := self._chunk(deadline):
            found += chunk
        return found

    def _chunk(self, deadline: float) -> bytes:
        """Return a part of a body whose length is not known; nothing at its end. A time-out loses nothing."""
        while True:
            size, line, rest = self._data.partition(b"\r\n")
            if line and len(rest) >= int(size, 16) + 2:
                self._data = rest[int(size, 16) + 2 :]
                return rest[: int(size, 16)]
            self._data += self._stream.receive(deadline)


def _read(status: int, body: bytes) -> Json:
    """Return what an answer says. Raises Lost or Refused for an error."""
    if status == 404 and not body.startswith(b"{"):
        raise Refused("it is no etcd 3.4 or newer", _NO_SUCH_PAGE)
    found: Json = json.loads(body)
    return _result(found if status == 200 else {"error": found.get("message", ""), **found})  # 3.5.16 has no "error"


def _result(found: Json) -> Json:
    """Return what a message says, which is all of it, or the result in it."""
    error = found.get("error")
    if error is None:
        result: Json = found.get("result", found)
        return result
    if isinstance(error, dict):  # as a stream shows it
        found = {"message": error.get("message", ""), "code": error.get("grpc_code", 0)}
    message, code = " ".join(str(found.get("message", error)).split()), int(found.get("code", 0))
    raise Lost(message) if code in _UNSURE or "too many requests" in message else Refused(message, code)


def _lost(error: Exception) -> Lost:
    if isinstance(error, TimeoutError):
        return Silence(_reason(error))
    return Lost(_reason(error), is_down=isinstance(error, ValueError))


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    if isinstance(error, OSError):
        verify = getattr(error, "verify_message", "")  # of a certificate
        return verify or error.strerror or (str(error) or "the server has ended the connection")
    return "it does not answer as etcd does"
