"""One connection: commands and their answers, each with a time limit; never repeated, never opened again by itself."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.process import call_in_children

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.backends.redis.server import Address, Server
    from krakenonce.backends.redis.wire import Wire


ANSWER = 10.0  # seconds until a server that does not answer counts as gone
_CONNECT = 5.0  # seconds for each step of connecting


class SessionLost(Exception):
    """The connection is gone. What it was doing may have been done.

    Args:
        message: What happened, in one line.
        is_login: Whether the server refuses the name or the password.
    """

    def __init__(self, message: str, *, is_login: bool = False) -> None:
        super().__init__(message)
        self.is_login = is_login


class Refused(Exception):
    """The server has refused a command; the session goes on.

    Args:
        message: What it says, in one line.
        code: The first word of its error.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Script(NamedTuple):
    """A script that the server runs as one step.

    Args:
        text: In Lua.
        sha: What the server calls it.
    """

    text: str
    sha: str


def script(text: str) -> Script:
    """Return a script."""
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Session:
    """A connection that is open from the beginning. One thread at a time uses it.

    Args:
        address: Where to connect.
        server: How to encrypt.
        user: Who logs in; None: the default user.
        password: The password; None: nobody logs in.
        database: The number of the database.

    Raises:
        SessionLost: There is no connection; the message says why.
    """

    def __init__(
        self, address: Address, server: Server, user: str | None, password: str | None, database: int = 0
    ) -> None:
        from krakenonce.backends.redis import wire

        new = wire.Wire(address, server, user, password, database, min(_CONNECT, ANSWER))
        self._wire: Wire | None = new
        self._inode = 0  # of its socket, once it is open
        self._unread = 0  # answers that nobody has waited for
        self.pid = os.getpid()
        self.is_made = False  # whether the version of the state was checked
        call_in_children(self)
        try:
            self._do(lambda wire: wire.connection.connect())
            if (raw := new.raw) is not None:
                self._inode = os.fstat(raw.fileno()).st_ino
        except SessionLost as error:
            raise SessionLost(f"{error}{_hint(error, new, server)}", is_login=error.is_login) from None
        except BaseException:
            self.close()
            raise

    def run(self, *command: str | int | bytes, patience: float = 0.0) -> Any:
        """Send one command and return its answer.

        Args:
            command: The command's words.
            patience: Seconds that it may take, in addition to the usual ones.

        Raises:
            SessionLost: There is no answer, and the session is closed.
            Refused: The server refuses it.
        """
        (answer,) = self.several([command], patience=patience)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def several(self, commands: list[tuple[str | int | bytes, ...]], *, patience: float = 0.0) -> list[Any]:
        """Send several commands at once and return their answers; what is refused is returned as the error."""
        return self._do(lambda wire: self._exchange(wire, commands, patience))  # type: ignore[no-any-return]

    def script(self, what: Script, keys: list[str], *values: str | int | bytes) -> Any:
        """Run a script as one step, and return what it returns. Errors: as for :meth:`run`."""
        words = (len(keys), *keys, *values)
        try:
            return self.run("EVALSHA", what.sha, *words)
        except Refused as error:
            if error.code != "NOSCRIPT":
                raise
            return self.run("EVAL", what.text, *words)

    def post(self, what: Script, keys: list[str], *values: str | int) -> None:
        """Send a script, and let a later call wait for its answer. Raises SessionLost."""
        packed = self._packed([("EVAL", what.text, len(keys), *keys, *values)])  # whether it is there is not known
        self._do(lambda wire: wire.connection.send_packed_command(packed))
        self._unread += 1

    def drain(self) -> None:
        """Wait for the answers to all that was posted. Raises SessionLost."""
        self.several([])

    def close(self) -> None:
        """End the session. In no other process than its own: see :meth:`abandon`."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.connection.disconnect()

    def abandon(self) -> None:
        """In a forked child: close the descriptor, and send nothing."""
        wire, self._wire = self._wire, None
        if wire is not None and wire.raw is not None:
            with contextlib.suppress(OSError):  # it was closed, or other code has closed the descriptor
                fd = wire.raw.detach()
                if self._inode in (0, os.fstat(fd).st_ino):
                    os.close(fd)

    _after_fork = abandon

    def _packed(self, commands: Iterable[tuple[str | int | bytes, ...]]) -> Any:
        if self._wire is None:
            raise SessionLost("the connection is closed")
        return self._wire.connection.pack_commands(commands)

    def _exchange(self, wire: Any, commands: list[tuple[str | int | bytes, ...]], patience: float) -> list[Any]:
        from redis.exceptions import ResponseError

        answers: list[Any] = []
        wire.raw.settimeout(ANSWER + patience)
        wire.connection.send_packed_command(self._packed(commands))
        for _ in range(self._unread + len(commands)):
            try:
                answers.append(wire.connection.read_response(disable_decoding=True))
            except ResponseError as error:
                answers.append(_refused(error))
        behind = len(answers) - len(commands)
        self._unread = 0
        return answers[behind:]

    def _do(self, step: Any) -> Any:
        from redis import exceptions

        if self._wire is None:
            raise SessionLost("the connection is closed")
        done = False
        try:
            result = step(self._wire)
            done = True
        except exceptions.AuthenticationError as error:
            raise SessionLost(_one_line(str(error)), is_login=True) from None
        except (exceptions.TimeoutError, TimeoutError):
            raise SessionLost("the server does not answer") from None
        except (exceptions.RedisError, OSError) as error:
            raise SessionLost(_one_line(str(error))) from None
        finally:
            if not done:  # also after an interrupt: whether it was done is not known, so the session must not go on
                self.close()
        return result


def _hint(error: SessionLost, wire: Wire, server: Server) -> str:
    """Return which scheme is meant if only one side of a connection that has failed may speak TLS, else nothing."""
    why = str(error)
    if wire.raw is None or "certificate" in why.lower():
        return ""
    if server.tls is not None:
        return "" if wire.is_ready else f"; write {server.other_scheme()}:// if it speaks no TLS"
    # A server that wants TLS closes the connection, or sends an alert, which is no answer of this protocol.
    is_cut = any(word in why for word in ("closed", "while reading", "reset", "Protocol Error"))
    return f"; write {server.other_scheme()}:// if it wants TLS" if is_cut else ""


def _refused(error: Exception) -> Refused:
    """Return the server's error. The package takes away the first word of those that it knows."""
    text = _one_line(str(error))
    code = _CODES.get(type(error).__name__) or text.partition(" ")[0]
    return Refused(text.removeprefix(f"{code} "), code)


_CODES = {
    "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
}


def _one_line(message: str) -> str:
    return (
        "; ".join(line.strip() for line in message.splitlines() if line.strip()).rstrip(".") or "the connection is lost"
    )
