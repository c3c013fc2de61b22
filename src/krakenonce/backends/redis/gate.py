"""The turn between hosts: a token at the server, with a lease that its holder's process renews.

The server keeps the queue, in the order of asking. A nonce in the turn is taken in one step with the look whether the
token is still there. So a holder who was silent for too long gets no nonce, and neither the connection nor a clock has
to be trusted for that. Who waits sleeps until it is given the turn, and looks from time to time whether it is free. The
bell that wakes it brings the nonce, too, which it uses if it has asked so shortly before that the turn cannot be lost.
"""

from __future__ import annotations

import os
import time
import weakref
from typing import TYPE_CHECKING, Any

from krakenonce.backends.heartbeat import heart_of, host, my_name
from krakenonce.backends.redis.hello import cannot, connect, make
from krakenonce.backends.redis.link import ELSEWHERE
from krakenonce.backends.redis.scripts import (
    BEAT,
    BELL,
    CLAIM,
    CONFIRM,
    COUNTERS,
    GIVE_BACK,
    NONCES,
    QUEUE,
    TAKE,
    TURN,
)
from krakenonce.backends.redis.session import Refused, Session, SessionLost
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.redis.limits import RedisLimits
    from krakenonce.backends.redis.link import Link

    Values = Callable[[str], tuple[str, int, int, int]]


_KEPT_OPEN = 30  # sessions of turns that this process does not have
_FRESH = 1.0  # seconds for which a nonce that came with the turn may be used without asking the server again
_CLAIMED = CLAIM / 2000  # seconds after the last question in which the turn that comes with the bell cannot be lost
_NOBODY = (b"", b"")
_LOOK = 0.5  # seconds after which a waiting caller looks whether the turn is free


class RedisGate(Section):
    """At most one token has the gate.

    Args:
        link: For questions about the holder, and where to connect.
        name: The lane's name.
        pause: Seconds without a sign of life after which the holder loses the turn.
        values: Returns what the script that issues a nonce of a counter needs.
        limits: The rate limits, of which those of this name come along with the turn.
    """

    def __init__(self, link: Link, name: str, pause: float, values: Values, limits: RedisLimits) -> None:
        self.link = link
        self.pause = pause
        self.values = values
        self.limits = limits
        self.scope: str | None = None
        self._came: tuple[str, list[bytes], float] | None = None  # the nonce that came with the turn, and until when
        self._wished: tuple[str, list[int]] | None = None  # whose nonce and which pages the server was asked for last
        self.name = name
        self.held = False
        self.token = ""
        self.key = TURN + name
        self._keys = [self.key, QUEUE + name, NONCES, COUNTERS + name]
        self._session: Session | None = None
        self._given_back: list[str] = []  # tokens of which the server has not confirmed yet that they are given back
        self._is_posted = False  # whether it was told so on this connection
        super().__init__(NonceStoreError, "a turn was asked for")

    @property
    def lease(self) -> int:
        """Milliseconds without a sign of life after which the holder loses the turn."""
        return round(self.pause * 1000)

    def try_acquire(self) -> bool:
        """Take the gate if it is free and nobody waits for it."""
        return self._take(self._try)

    def acquire(self) -> None:
        """Wait in the server's queue until this process has the gate."""
        self._take(self._wait)

    def release(self) -> None:
        """Let the next one in, unless the turn was lost. The heartbeat sees to it that the server has heard it."""
        if not self.held:
            return
        with self.lock:
            self._given_back.append(self.token)
            self._is_posted = False
            try:
                if self._session is not None and len(_open) <= _KEPT_OPEN:
                    self._session.post(GIVE_BACK, self._keys, self.token)
                    self._is_posted = True
                elif self._session is not None:
                    self._settle(self._session)
                    self._drop()
            except (SessionLost, Refused):
                self._drop()
            finally:
                self._came = None
                self.limits.forget(self.name)
                self.held = False  # last: after an interrupt this is called again

    def taken(self, scope: str) -> list[bytes] | None:
        """Return the nonce that came with the turn, once; None: there is none, or it has to be asked for again."""
        came, self._came = self._came, None
        if came is None or came[0] != scope or not self.held:
            return None
        return came[1] if time.monotonic() < came[2] else None

    def run(self, step: Callable[[Session], Any]) -> Any:
        """Call *step* with the gate's session; once more with a new one if the connection was lost.

        Raises:
            Refused: The server refuses it.
            NonceStoreError: There is no connection.
        """
        self.refuse_interrupter()
        with self.lock:
            return self._run(step)

    def beat(self) -> None:
        """Say that this process lives, or once more that the turn was given back, unless the session is in use."""
        if (self.held or self._given_back) and self.lock.acquire(blocking=False):
            try:  # with a new connection if need be: the turn lasts longer than one
                if self.held:
                    self._run(lambda session: session.script(BEAT, [self.key], self.token, self.lease))
                else:
                    self._run(lambda session: session.drain())
            except (Refused, NonceStoreError):
                self._drop()
            finally:
                self.lock.release()

    def holder(self) -> str:
        """Return who holds the gate and for how long, in words."""
        try:
            (who, since), (seconds, micro) = self.link.several([("HMGET", self.key, "who", "since"), ("TIME",)])
            if who is None:
                return "nobody holds it"
            _, pid, where = who.decode().split()
            lasted = int(seconds) + int(micro) / 1e6 - int(since) / 1000
        except (NonceStoreError, ValueError):
            return "its holder is not known"
        place = "" if where == host() else f" on host {where}"
        return f"process {pid}{place} has held it for {max(lasted, 0.0):.1f} s"

    def close(self) -> None:
        """End the session, if the gate is neither held nor waited for."""
        if not self.held and self.lock.acquire(blocking=False):
            try:
                if self._session is not None and not self.held:
                    self._settle(self._session)
                    self._drop()
            except (SessionLost, Refused):
                self._drop()
            finally:
                self.lock.release()

    def abandon(self) -> None:
        """In a forked child: the turn and the session are the parent's."""
        self.held, self.token, self._given_back = False, "", []
        session, self._session = self._session, None
        _open.discard(self)
        if session is None:
            return
        if session.pid == os.getpid():
            session.close()
        else:
            session.abandon()

    def _take(self, take: Callable[[str], bool]) -> bool:
        self.refuse_interrupter()
        with self.lock:
            token, self._came = os.urandom(8).hex(), None
            try:
                self.held = take(token)
            except BaseException as error:
                self._drop()
                self._given_back.append(token)  # the server may have given it the turn all the same
                heart_of(self.pause).watch(self)
                if isinstance(error, Refused):
                    raise cannot(self.link.server, "take a turn in", error) from None
                raise
            if self.held:
                self.token = token
                heart_of(self.pause).watch(self)
            return self.held

    def _try(self, token: str) -> bool:
        return bool(self._ask(token, wait=False, silent=_NOBODY)[0])

    def _wait(self, token: str) -> bool:
        """Wait in the queue.

        A lease hangs on the server's clock. If that was set back, a holder that has not said that it lives for its
        lease, by this process's own clock, is taken for dead.
        """
        seen, since, silent = _NOBODY, 0.0, _NOBODY
        while True:
            asked = time.monotonic()
            mine, *about = self._ask(token, wait=True, silent=silent)
            if mine:
                return True
            holder, beat, lease, left = about
            now = time.monotonic()
            if seen != (holder, beat):
                seen, since = (holder, beat), now
            until = since + int(lease or 0) / 1000
            silent = seen if now > until else _NOBODY
            patience = max(0.001, min(_LOOK, left / 1000 if left >= 0 else _LOOK, max(0.0, until - now) + 0.005))
            if self._listen(token, patience, asked + _CLAIMED):
                return True

    def _listen(self, token: str, seconds: float, until: float) -> bool:
        """Wait for the bell; return whether the turn and its nonce came with it in time, and need not be asked for."""
        if self._session is None:
            return False
        try:
            rung = self._session.run("BLPOP", BELL + token, f"{seconds:.3f}", patience=seconds)
            if rung and rung[1] and self._wished is not None and time.monotonic() < until:
                scope, wanted = self._wished
                nonce, *found = _read_bell(rung[1], len(wanted))
                self._came = scope, [b"nonce", nonce], until
                self.limits.see(self.name, self.limits.seen(wanted, found))
                self._session.post(CONFIRM, self._keys, token, self.lease)
                return True
        except SessionLost:
            self._drop()  # and ask again with a new one
        except Refused as error:
            if error.code not in (*ELSEWHERE, "UNBLOCKED"):  # a server that becomes a replica ends such waits
                raise
            self._drop()
        return False

    def _ask(self, token: str, *, wait: bool, silent: tuple[bytes, bytes]) -> list[Any]:
        values = (token, my_name(), self.lease, int(wait), *silent)
        scope, wanted = self.scope, self.limits.wanted(self.name)

        def ask(session: Session) -> list[Any]:
            since = time.monotonic()
            if scope is None:
                self._wished = None
                return session.script(TAKE, self._keys, *values)[0]  # type: ignore[no-any-return]
            make(session, self.link.server)
            self._wished = scope, wanted
            wishes = self.limits.look(wanted), *self.values(scope)
            about, *with_it = session.script(TAKE, self._keys, *values, *wishes)
            if with_it:
                nonce, limits = with_it
                self.limits.see(self.name, self.limits.seen(wanted, limits))
                if nonce[0] == b"nonce":
                    self._came = scope, nonce, since + min(_FRESH, self.pause / 2)
            return about  # type: ignore[no-any-return]

        try:
            return self._run(ask)  # type: ignore[no-any-return]
        except Refused:
            if scope is None:
                raise
            scope = None  # what is wrong with the nonce is for the one who asks for it
            return self._run(ask)  # type: ignore[no-any-return]

    def _run(self, step: Callable[[Session], Any]) -> Any:
        for is_last in (self._session is None, True):
            try:
                session = self._session or self._connect()
                if not self._is_posted:
                    self._settle(session)
                answer = step(session)  # it comes after those to what was posted, which nobody waits for
                self._given_back.clear()
                return answer
            except SessionLost as error:
                self._drop()
                if is_last:
                    raise cannot(self.link.server, "use", error) from None
            except Refused as error:
                if error.code not in ELSEWHERE or is_last:
                    raise
                self._drop()
        raise AssertionError("unreachable")

    def _settle(self, session: Session) -> None:
        """See to it that the server knows what was given back."""
        if self._is_posted:
            session.drain()
        else:
            for token in self._given_back:
                session.script(GIVE_BACK, self._keys, token)
        self._given_back.clear()

    def _connect(self) -> Session:
        session = self._session = connect(self.link.server)
        _open.add(self)
        return session

    def _drop(self) -> None:
        self._is_posted = False
        _open.discard(self)
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _after_fork(self) -> None:
        super()._after_fork()
        self.abandon()


def _read_bell(said: bytes, pages: int) -> list[bytes]:
    """Return the nonce, what was found of the rate counters, and so many pages: what came with the bell."""
    about, _, data = said.partition(b"|")
    words = about.split(b" ")
    for size in map(int, words[-pages:]):
        words.append(data[:size])
        data = data[size:]
    return [*words[:5], *words[5 + pages :]]


def gate_of(link: Link, name: str, pause: float, values: Values, limits: RedisLimits) -> RedisGate:
    """Return the gate of a server: one object for all of this process. It connects as the last who has asked for it."""
    gate = _gates.get((link.server.name, name))
    if gate is None:
        gate = RedisGate(link, name, pause, values, limits)
        gate = _gates.setdefault((link.server.name, name), gate)
    gate.link, gate.pause, gate.values, gate.limits = link, pause, values, limits
    return gate


def close_gates(link: Link) -> None:
    """End the sessions of this server's gates that are not in use."""
    for gate in list(_open):
        if gate.link.server.name == link.server.name:
            gate.close()


_gates: weakref.WeakValueDictionary[tuple[str, str], RedisGate] = weakref.WeakValueDictionary()
_open: weakref.WeakSet[RedisGate] = weakref.WeakSet()  # those that have a session
