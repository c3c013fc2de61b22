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
from collections import deque
from typing import TYPE_CHECKING, Any

from krakenonce.backends.postgres.server import library
from krakenonce.process import call_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import pq

    from krakenonce.backends.postgres.server import Server


Row = tuple[bytes | None, ...]
Value = str | int | None

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
        self._names: dict[str, bytes] = {}  # the statements that the server has prepared
        self._numbers = 0
        self._under_way: deque[tuple[str, bytes] | None] = deque()  # what was sent; the statement, if it is new
        self._owed = 0  # how many of the first of these nobody waits for
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

    def run(self, statement: str, *values: Value, endless: bool = False) -> list[Row]:
        """Run one statement and return its rows. Arguments and errors: see :meth:`run_all`."""
        return self.run_all((statement, *values), endless=endless)[0]

    def run_all(self, *steps: tuple[Value, ...], endless: bool = False) -> list[list[Row]]:
        """Send statements together, each in a transaction of its own, and return the rows of each.

        Args:
            steps: Each a statement with ``$1``, ``$2`` ... for the values, and the values.
            endless: Whether the answer may take for ever.

        Raises:
            SessionLost: There is no answer, and the session is closed.
            Refused: The server refuses one of them; the others were run.
        """

        def send(pg: pq.PGconn) -> int:
            pg.enter_pipeline_mode()
            for step in steps:
                self._send(pg, *step)
            return len(steps)

        return self._do(send, None if endless else ANSWER)

    def later(self, statement: str, *values: Value) -> None:
        """Send a statement, and do not wait: the next call looks whether it has returned *true*.

        Raises:
            SessionLost: It cannot be sent, and the session is closed.
        """

        def send(pg: pq.PGconn) -> int:
            pg.enter_pipeline_mode()
            self._send(pg, statement, *values)
            self._owed += 1
            return 0

        self._do(send, ANSWER)

    def script(self, statements: str) -> list[list[Row]]:
        """Run several statements without values and return the rows of each. Errors: as for :meth:`run_all`."""

        def send(pg: pq.PGconn) -> int:
            pg.exit_pipeline_mode()
            pg.send_query(statements.encode())
            return 0

        return self._do(send, ANSWER, is_script=True)

    def is_quiet(self) -> bool:
        """Whether the server has said nothing since its last answer: that it has ended the session, for example."""
        poll = _select.poll()
        poll.register(self.pg.socket, _IN)
        return self._owed > 0 or not poll.poll(0)

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
        pg.nonblocking = 1

    def _note(self, notice: pq.abc.PGresult) -> None:
        from psycopg.pq import DiagnosticField

        if notice.error_field(DiagnosticField.SQLSTATE) == b"01000":
            self._warned.append(_one_line((notice.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode()))

    def _do(
        self, send: Callable[[pq.PGconn], int], patience: float | None, *, is_script: bool = False
    ) -> list[list[Row]]:
        from psycopg import Error

        pg, done = self.pg, False
        deadline = None if patience is None else time.monotonic() + patience
        try:
            if self._owed and is_script:
                self._pay(pg, deadline)
            self._warned.clear()
            count = send(pg)
            while pg.flush():
                _wait(pg.socket, _OUT, deadline)
            if self._owed and count:
                self._pay(pg, deadline)
            found = list(self._all_of_script(pg, deadline)) if is_script else self._answers(pg, count, deadline)
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

    def _send(self, pg: pq.PGconn, statement: Value, *values: Value) -> None:
        """Send one statement, which the server knows by a number from its second time on."""
        text = str(statement)
        name = self._names.get(text)
        if name is None:
            self._numbers += 1
            name = b"%d" % self._numbers
            pg.send_prepare(name, text.encode())
            self._under_way.append((text, name))
        else:
            self._under_way.append(None)
        pg.send_query_prepared(name, [None if value is None else str(value).encode() for value in values])
        pg.pipeline_sync()

    def _pay(self, pg: pq.PGconn, deadline: float | None) -> None:
        """Read what was not waited for. Raises OSError if it was refused, or has returned something else than true."""
        while self._owed:
            try:
                right = self._answers(pg, 1, deadline) == [[(b"t",)]]
            except Refused as error:
                raise OSError(str(error)) from None
            self._owed -= 1
            if not right:
                raise OSError("the turn was not held any more")

    def _answers(self, pg: pq.PGconn, count: int, deadline: float | None) -> list[list[Row]]:
        """Return the rows of so many statements. Raises Refused for the first one that was refused."""
        from psycopg.pq import ExecStatus

        found: list[list[Row]] = []
        refused: Refused | None = None
        rows: list[Row] = []
        while len(found) < count:
            result = _next_result(pg, deadline)
            if result is None:  # the end of one statement
                if not self._is_open(pg):
                    raise OSError(pg.get_error_message())
            elif result.status == ExecStatus.PIPELINE_SYNC:
                found.append(rows)
                rows = []
                self._under_way.popleft()
            elif result.status != ExecStatus.PIPELINE_ABORTED:  # what could not be prepared is not run
                try:
                    rows = _rows(result)
                except Refused as error:
                    refused = refused or error
                else:
                    self._names.update([new] if (new := self._under_way[0]) else ())
        if refused is not None:
            raise refused
        return found

    def _all_of_script(self, pg: pq.PGconn, deadline: float | None) -> Iterator[list[Row]]:
        refused: Refused | None = None
        while (result := _next_result(pg, deadline)) is not None:
            try:
                yield _rows(result)
            except Refused as error:
                refused = error
        if refused is not None:
            raise refused

    @staticmethod
    def _is_open(pg: pq.PGconn) -> bool:
        from psycopg.pq import ConnStatus

        return bool(pg.status == ConnStatus.OK)


def _next_result(pg: pq.PGconn, deadline: float | None) -> pq.abc.PGresult | None:
    while pg.is_busy():
        _wait(pg.socket, _IN, deadline)
        pg.consume_input()
    return pg.get_result()


def _rows(result: pq.abc.PGresult) -> list[Row]:
    """Return the rows of a result. Raises Refused if it is an error."""
    from psycopg.pq import DiagnosticField, ExecStatus

    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        columns = range(result.nfields)
        return [tuple(result.get_value(row, at) for at in columns) for row in range(result.ntuples)]
    code = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    text = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    raise Refused(_one_line(text or result.get_error_message()), code)


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
