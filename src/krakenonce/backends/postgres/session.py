"""One connection to PostgreSQL: statements and their answers, each with a time limit; never cancelled, never repeated.

libpq is used directly, by psycopg's ``pq``. psycopg's own connections wait without a limit, cancel what Ctrl-C
interrupts (the server may have carried it out), and let other greenlets run while they wait.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import time
from typing import TYPE_CHECKING, Any

from krakenonce.backends.postgres.server import library
from krakenonce.process import call_in_children

if TYPE_CHECKING:
    from psycopg import pq

    from krakenonce.backends.postgres.server import Server


Row = tuple[bytes | None, ...]

ANSWER = 10.0  # seconds until a server that does not answer counts as gone
_CONNECT = 15.0  # seconds, over all addresses of a server


class SessionLost(Exception):
    """The connection is gone, and with it all that the session held. What it was doing may have been done."""


class Refused(Exception):
    """The server has refused a statement; the session goes on.

    Args:
        message: What it says, in one line.
        code: Its SQLSTATE.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Session:
    """A connection that is open from the beginning. One thread at a time uses it.

    Args:
        server: Where to connect.

    Raises:
        SessionLost: There is no connection; the message says why.
    """

    def __init__(self, server: Server) -> None:
        self._inode = 0
        self._pg: pq.PGconn | None = library().connect_start(server.conninfo)
        call_in_children(self)  # at once: a child that is forked now must not keep the connection
        self.is_made = False  # whether the tables were there when it began, or were made since
        self._warned: list[str] = []
        try:
            self._connect(self._pg)
        except BaseException:
            self.close()
            raise

    @property
    def pg(self) -> pq.PGconn:
        """The connection of libpq. Raises SessionLost if it is closed."""
        if self._pg is None:
            raise SessionLost("the connection is closed")
        return self._pg

    def run(self, statement: str, *values: str | int | None, endless: bool = False) -> list[Row]:
        """Run one statement and return its rows.

        Args:
            statement: With ``$1``, ``$2`` ... for the values.
            values: The values, as text.
            endless: Whether the answer may take for ever.

        Raises:
            SessionLost: There is no answer, and the session is closed.
            Refused: The server refuses it.
        """
        data = [None if value is None else str(value).encode() for value in values]
        return self._do(lambda pg: pg.send_query_params(statement.encode(), data), None if endless else ANSWER)[-1]

    def script(self, statements: str) -> list[list[Row]]:
        """Run several statements without values and return the rows of each. Errors: as for :meth:`run`."""
        return self._do(lambda pg: pg.send_query(statements.encode()), ANSWER)

    def close(self) -> None:
        """End the session. In no other process than its own: see :meth:`abandon`."""
        pg, self._pg = self._pg, None
        if pg is not None:
            pg.finish()

    def abandon(self) -> None:
        """In a forked child: close the descriptor, so that the session ends with the parent, and send nothing."""
        pg, self._pg = self._pg, None
        if pg is not None:
            with contextlib.suppress(Exception):  # the connection was closed, or other code has closed the descriptor
                fd = pg.socket
                if os.fstat(fd).st_ino == self._inode:
                    os.close(fd)

    _after_fork = abandon

    def _connect(self, pg: pq.PGconn) -> None:
        from psycopg import Error
        from psycopg.pq import ConnStatus, PollingStatus

        deadline = time.monotonic() + _CONNECT
        step = PollingStatus.WRITING
        try:
            while pg.status != ConnStatus.BAD and step != PollingStatus.OK:
                self._inode = os.fstat(pg.socket).st_ino
                _wait(pg.socket, _IN if step == PollingStatus.READING else _OUT, deadline)
                step = pg.connect_poll()
                if step == PollingStatus.FAILED:
                    break
        except (Error, OSError) as error:
            raise SessionLost(_one_line(str(error))) from None
        if pg.status != ConnStatus.OK:
            raise SessionLost(_one_line(pg.get_error_message()))
        pg.notice_handler = self._note

    def _note(self, notice: pq.abc.PGresult) -> None:
        from psycopg.pq import DiagnosticField

        if notice.error_field(DiagnosticField.SQLSTATE) == b"01000":
            self._warned.append(_one_line((notice.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode()))

    def _do(self, send: Any, patience: float | None) -> list[list[Row]]:
        from psycopg import Error

        pg, done = self.pg, False
        self._warned.clear()
        try:
            send(pg)
            found = self._answers(pg, patience)
            done = True
        except Refused:
            done = self._is_open(pg)
            if not done:
                raise SessionLost("the server has ended the connection") from None
            raise
        except (Error, OSError) as error:
            raise SessionLost(_one_line(str(error))) from None
        finally:
            if not done:  # also after an interrupt: whether it was done is not known, so the session must not go on
                self.close()
        if self._warned:  # promise 1: it is not where it has to be, although the server says that it is done
            self.close()
            raise SessionLost(self._warned[0])
        return found

    @staticmethod
    def _is_open(pg: pq.PGconn) -> bool:
        from psycopg.pq import ConnStatus

        return bool(pg.status == ConnStatus.OK)

    @staticmethod
    def _answers(pg: pq.PGconn, patience: float | None) -> list[list[Row]]:
        from psycopg.pq import DiagnosticField, ExecStatus

        deadline = None if patience is None else time.monotonic() + patience
        found: list[list[Row]] = []
        refused: Refused | None = None
        while True:
            while pg.is_busy():
                _wait(pg.socket, _IN, deadline)
                pg.consume_input()
            result = pg.get_result()
            if result is None:
                break
            if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                columns = range(result.nfields)
                found.append([tuple(result.get_value(row, at) for at in columns) for row in range(result.ntuples)])
            else:
                code = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
                text = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
                refused = Refused(_one_line(text or result.get_error_message()), code)
        if refused is not None:
            raise refused
        return found


def _wait(fd: int, what: int, deadline: float | None) -> None:
    """Wait until the server has sent something, or takes something. Raises SessionLost after the deadline."""
    poll = _select.poll()
    poll.register(fd, what)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left):
        raise OSError("the server does not answer")


def _one_line(message: str) -> str:
    return "; ".join(line.strip() for line in message.splitlines() if line.strip()) or "the connection is lost"


def _second_copy() -> Any:
    """Return the module ``select`` as it was before gevent or eventlet changed it: a turn must not end in a wait."""
    spec = importlib.util.find_spec("select")
    if spec is None or spec.loader is None:
        return select
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_select = _second_copy()
_IN, _OUT = select.POLLIN, select.POLLOUT
