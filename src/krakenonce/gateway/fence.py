"""Sends no signed request twice: a repeat gets what became of the first, as Kraken itself would not execute it again.

A request whose answer was received is refused as Kraken refuses it: ``EAPI:Invalid nonce``. All other repeats get the
first one's answer; while that is not known, they wait, and then they get an unknown outcome. They never get an error in
Kraken's form, because there are clients that take any such error for a reason to send the order anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from krakenonce.errors import KrakenonceError, NonceStoreError, OutcomeUnknown
from krakenonce.gateway import finding_out
from krakenonce.gateway.headers import REPEAT
from krakenonce.gateway.making import AnotherKey
from krakenonce.gateway.replies import Refused, Reply, unknown
from krakenonce.gateway.sending import Sending, digest_of, digests_of, mark_of, reply_of, txids_in
from krakenonce.gateway.sent_record import RecordFull, Status
from krakenonce.gateway.sent_records import SentRecords
from krakenonce.gateway.waiting import Closed, NotBegun
from krakenonce.kraken.http_status import closed_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.backends import Backend
    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.asked import Asked
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys
    from krakenonce.gateway.making import Turn
    from krakenonce.gateway.sent_record import Entry
    from krakenonce.gateway.state_steps import StateSteps
    from krakenonce.gateway.upstream import KrakenKey


logger = logging.getLogger("krakenonce")

LOOKED_FOR = 60.0  # seconds for which an order is looked for
_NOT_AGAIN = 15.0  # seconds after that in which it is not looked for again, however often it is repeated
# Seconds in which it may be seen, by this gateway or another one, that a sender that repeats its request has closed the
# connection before, or that it has not read the answer. A busy machine is late by tenths of a second.
_GRACE = 1.0
_SAME_ORDER = 2 * LOOKED_FOR  # seconds within which an equal order with the same cl_ord_id is a repeat, unless answered


class _Repeat(Exception):
    """Another gateway has sent this request in the meantime."""


class Fence:
    """Makes the calls that change something.

    Args:
        store: The state.
        local_keys: The local keys, whose orders are told apart.
        activity: Where calls are counted.
        steps: Takes the steps of the state.
    """

    def __init__(self, store: Backend, local_keys: LocalKeys, activity: Activity, steps: StateSteps) -> None:
        self.records = SentRecords(store, local_keys, steps)
        self._activity = activity
        self._sendings: dict[tuple[str, bytes], Sending] = {}
        self._searches: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def close(self) -> None:
        """Send nothing more, and stop looking for orders: who waits for one is told that the outcome is unknown."""
        self._is_closed = True
        for search in self._searches:
            search.cancel()

    async def make(
        self,
        asked: Asked,
        local: LocalKey,
        account: KrakenAccount,
        call: ClientCall,
        signature: str,
        headers: dict[str, str],
    ) -> Reply:
        """Make a call, unless it was made before; return Kraken's answer to it, or what is known.

        Args:
            asked: Is told what becomes of it, if its client does not wait for that.
            local: The local key with which it was signed.
            account: The account with one of whose keys it is sent.
            call: The call.
            signature: Its ``API-Sign``, which was checked.
            headers: The headers that are passed on.

        Raises:
            Refused: It was made before and answered.
            KrakenonceError, NotBegun: It was not sent.
        """
        digests = digests_of(call, signature)
        while True:
            sending = Sending(local, account, call, digests)
            try:
                earlier = await self._earlier(sending)
            except NonceStoreError as error:
                if not sending.may_always_be_made:
                    why = f"It cannot be told now whether this request was sent before: {error}."
                    return unknown(f"{why} {sending.what_to_do()}")
                earlier = None
            if earlier is None:
                try:
                    return await self._first(asked, sending, headers)
                except _Repeat:
                    continue
            if digests[0] not in earlier.digests:
                await self._join(earlier, digests[0])
            asked.reply = sending.unknown()
            reply = await earlier.wait(2 * account.order_timeout)
            if reply is not None:
                age = max(0.0, account.time.now() - earlier.sent_at)
                received = None if reply.reason else partial(self._received, earlier, digest=digests[0])
                return reply._replace(headers={**reply.headers, REPEAT: f"{age:.3f}"}, received=received)

    async def may_have_sent(self, headers: Mapping[str, str]) -> bool:
        """Whether a request was perhaps sent, and it is not known that its answer was received.

        Args:
            headers: The client's headers, which need not be valid.
        """
        name = headers.get("API-Key", "")
        try:
            digest = digest_of(headers.get("API-Sign", ""))
            if (sending := self._sendings.get((name, digest))) is not None:
                return sending.is_sent
            found = await self.records.find_of(name, digest, lambda entry: entry.status is not Status.DELIVERED)
            return found is not None
        except ValueError:
            return False
        except NonceStoreError:
            return True

    async def _earlier(self, sending: Sending) -> Sending | None:
        """Return the call that this one repeats. Raises Refused if Kraken itself would refuse the repeat."""
        earlier = self._in_progress(sending)
        if earlier is not None and earlier.digests[0] == sending.digests[0]:
            if not await earlier.is_left(_GRACE):
                raise _repeated("the same request is being made, and its sender still waits for the answer")
            earlier = self._in_progress(sending)  # it may be answered by now
        if earlier is not None:
            return earlier
        find = partial(self.records.find, sending.local, sending.digests, partial(_is_of, sending))
        entry = await find()
        if entry is not None and entry.status is Status.DELIVERED and sending.key.time.now() - entry.at < LOOKED_FOR:
            await asyncio.sleep(_GRACE)
            entry = await find()
        if self._in_progress(sending) is not None:  # it has come meanwhile
            return await self._earlier(sending)
        if entry is None:
            return None
        if entry.status is Status.DELIVERED:
            raise _repeated("the same request was made before, and its answer was received")
        return await self._resumed(sending, entry)

    def _in_progress(self, sending: Sending) -> Sending | None:
        return next((found for name in _names(sending) if (found := self._sendings.get(name))), None)

    async def _join(self, earlier: Sending, digest: bytes) -> None:
        """Let the bytes of an equal order count as sent when *earlier* was: they are not sent once it is answered."""
        if digest in earlier.joined:
            return
        earlier.joined.append(digest)
        if earlier.is_sent:
            await self._enter_joined(earlier, [digest])

    async def _enter_joined(self, earlier: Sending, digests: list[bytes]) -> None:
        try:
            await self.records.enter(earlier.local, digests, earlier.at, lambda _: True)
        except KrakenonceError as error:
            logger.error("an equal order of local key %s was not entered: %s", earlier.local.name, error)

    async def _resumed(self, sending: Sending, entry: Entry) -> Sending:
        """Return a call that was sent before this process, or by another one, with what is known about it."""
        earlier = Sending(sending.local, sending.account, sending.call, [entry.digest])
        earlier.key = await self._sender(sending, entry)
        earlier.is_sent = True
        earlier.left.set()
        if len(sending.digests) == 1:
            earlier.at = entry.at + 1  # the record has whole seconds, and no deadline may be taken for an earlier one
            earlier.call = earlier.traced()
        else:  # an equal order may have been sent in its place, with another deadline or none
            params = {name: value for name, value in sending.call.params.items() if name != "deadline"}
            earlier.call = sending.call._replace(params=params)
        earlier.at = entry.at
        notes = await self.records.notes_of(earlier.local, entry.at) if entry.status is Status.KEPT else []
        if (another := self._in_progress(sending)) is not None:  # it has been resumed meanwhile
            return another
        if (kept := finding_out.kept(notes, entry)) is not None:
            earlier.answer.set_result(kept)
            return earlier
        self._register(earlier)
        self._search(earlier, at_once=True)
        return earlier

    async def _sender(self, sending: Sending, entry: Entry) -> KrakenKey:
        """Return the key with which an order in the record was sent: the first, if the account had no other then."""
        keys = sending.account.keys
        if len(keys) == 1 or not sending.is_order:
            return keys[0]
        marks = {mark_of(sending.digests, key): key for key in keys}
        found = await self.records.find(sending.local, list(marks), lambda mark: mark.at == entry.at)
        return keys[0] if found is None else marks[found.digest]

    async def _first(self, asked: Asked, sending: Sending, headers: dict[str, str]) -> Reply:
        account, original = sending.account, sending.call
        began = time.monotonic()

        async def send(turn: Turn) -> None:  # continues to its end in the turn, even if the client has disconnected
            await make(turn)
            asked.reply = (sending.answer.result() if sending.answer.done() else None) or sending.unknown()

        async def make(turn: Turn) -> None:
            self._refuse_if_closed()
            await self._enter(sending, turn.key)
            within = account.order_timeout if sending.is_order else None
            sending.call = original  # with another key it is traced anew
            try:
                call = sending.call = sending.traced()
                asked.params = call.params
                done = await account.forward(turn, call, headers, within)
                self._activity.forwarded(sending.local.name, sending.local.account, call.method, done)
                if done.refusal is not None:
                    asked.reply = reply_of(done, max(0.0, time.monotonic() - began - done.seconds))
                turn.pass_over(done.refusal)
                sending.came(done, max(0.0, time.monotonic() - began - done.seconds))
            except OutcomeUnknown:
                sending.fallback = sending.unknown()
            except (KrakenonceError, AnotherKey):
                await self._forget(sending)
                raise
            except BaseException:  # wherever that has struck
                self._search(sending, at_once=True)
                raise
            await self._find_out(sending)

        self._register(sending)
        try:
            await account.make(original, send, self._refuse_if_closed, asked)
            # An address that wants no calls is not asked.
            reply = await sending.wait(0.0 if closed_for(account.host) else account.order_timeout)
        except BaseException:
            self._caller_has_gone(sending)
            raise
        if reply is None or reply.reason:
            sending.left.set()
            return reply or sending.unknown()
        return reply._replace(received=partial(self._received, sending))

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise Closed

    async def _enter(self, sending: Sending, key: KrakenKey) -> None:
        """Enter a call into the record, before it is sent. Raises _Repeat if another gateway has done so."""
        sending.key, sending.at, sending.steady = key, key.time.now(), key.time.steady()
        digests = [*sending.digests, *sending.joined]
        counts = partial(_is_of, sending)
        sending.is_entering = True  # from now on it goes on, whether its sender waits for the answer or not
        try:
            if await self.records.enter(sending.local, digests, sending.at, counts, sending.marks) is not None:
                raise _Repeat
        except BaseException as error:
            if not (sending.may_always_be_made and isinstance(error, RecordFull | NonceStoreError)):
                sending.is_entering = False
                if not sending.has_caller:
                    self._caller_has_gone(sending)
                raise
        sending.is_sent, sending.is_entering = True, False
        if late := [each for each in sending.joined if each not in digests]:  # they came meanwhile
            await self._enter_joined(sending, late)

    async def _find_out(self, sending: Sending) -> None:
        """Find out, in the turn in which the call was sent, what became of it; if that is not known, go on looking."""
        finding_out.note_if_unknown(sending)
        if sending.fallback is not None and not sending.fallback.reason:
            await self._answered(sending, sending.fallback)
        elif not sending.is_order:
            self._give_up(sending)
        elif not await self._look(sending, is_first=True):
            sending.refusal = None  # a nonce that is refused later says nothing about this one
            self._search(sending)

    async def _look(self, sending: Sending, *, is_first: bool) -> bool:
        """Look for an order once, in the turn; return whether it is known what became of it."""
        if not sending.is_order:
            return False
        with contextlib.suppress(KrakenonceError):
            notes = await self.records.notes(finding_out.window(sending))
            others = finding_out.others(sending, notes, self._sendings.values())
            rivals = finding_out.rivals(sending, self._sendings.values())
            reply = await finding_out.look(sending, others, rivals, is_first=is_first)
            if reply is not None and not sending.answer.done():  # done: the gateway stops
                await self._answered(sending, reply)
        return sending.answer.done()

    def _search(self, sending: Sending, *, at_once: bool = False) -> None:
        search = asyncio.create_task(self._go_on_looking(sending, at_once=at_once))
        self._searches.add(search)
        search.add_done_callback(self._searches.discard)

    async def _look_again(self, sending: Sending, is_first: bool, _: int) -> bool:
        """Look whether another gateway has settled a call in the meantime; if not, look for it at Kraken."""
        entry = await self.records.find(sending.local, sending.digests[:1], lambda _: True)
        if sending.steady is None if entry is None else entry.status is not Status.SENT:
            sending.answer.set_result(None)  # who waits looks into the record again
            self._unregister(sending)
            return True
        return await self._look(sending, is_first=is_first)

    async def _go_on_looking(self, sending: Sending, *, at_once: bool) -> None:
        is_first = at_once
        try:
            async for _ in finding_out.pauses(sending, LOOKED_FOR if sending.is_order else 0.0, at_once=at_once):
                with contextlib.suppress(NotBegun, KrakenonceError):
                    async with sending.key.searching:  # a cancel waits for one search at most
                        look = partial(self._look_again, sending, is_first)
                        place = sending.account.keys.index(sending.key)
                        if await sending.account.queue.run(look, [place], urgent=True):
                            return
                is_first = False
        finally:
            if not sending.answer.done():
                sending.answer.set_result(sending.unknown())
        await asyncio.sleep(_NOT_AGAIN)  # repeats are told so at once, and Kraken is not asked for each of them
        self._unregister(sending)

    async def _answered(self, sending: Sending, reply: Reply) -> None:
        """Take what is known in the end. It is noted in the turn, before another gateway looks for a repeat's first.

        Nor must another gateway take the order for one of its own.
        """
        sending.answer.set_result(reply)
        finding_out.note_if_found(sending, reply)
        if not sending.has_caller:
            self._received(sending, False)
        elif txids_in(reply):
            self.records.settle(sending, sending.digests, Status.SENT, reply)
        await self.records.written(sending)

    def _give_up(self, sending: Sending) -> None:
        sending.answer.set_result(sending.unknown())
        self._unregister(sending)

    async def _forget(self, sending: Sending) -> None:
        """A call was not sent after all: its bytes may be sent later, and at once with another key."""
        self.records.settle(sending, [*sending.digests, *sending.joined, *sending.marks], Status.NOT_SENT)
        sending.is_sent = False
        if not sending.has_caller:
            self._caller_has_gone(sending)
        await self.records.written(sending)

    def _caller_has_gone(self, sending: Sending) -> None:
        sending.left.set()
        if not (sending.is_sent or sending.is_entering):
            if not sending.answer.done():
                sending.answer.set_result(None)
            self._unregister(sending)
        elif sending.answer.done():
            self._received(sending, False)

    def _received(self, sending: Sending, received: bool, *, digest: bytes | None = None) -> None:
        """Note whether the sender of a call, or of its repeat, has received the answer.

        Args:
            sending: The call.
            received: Whether the answer was received.
            digest: Of the bytes that were answered, if they may be those of an equal order that has joined the call.
        """
        reply = sending.answer.result()
        if reply is not None and not reply.reason:
            status = Status.DELIVERED if received else Status.KEPT
            if digest is not None and digest not in sending.digests:
                sending.joined = [each for each in sending.joined if each != digest]
                self.records.settle(sending, [digest], status, reply)
            self.records.settle(sending, sending.digests, status, reply)
            if sending.joined:
                self.records.settle(sending, sending.joined, Status.KEPT, reply)
        self._unregister(sending)
        sending.left.set()

    def _register(self, sending: Sending) -> None:
        for name in _names(sending):
            self._sendings[name] = sending

    def _unregister(self, sending: Sending) -> None:
        for name in _names(sending):
            if self._sendings.get(name) is sending:
                del self._sendings[name]


def _names(sending: Sending) -> list[tuple[str, bytes]]:
    return [(sending.local.key, digest) for digest in sending.digests]


def _is_of(sending: Sending, entry: Entry) -> bool:
    """Whether an entry of the record is this call: the same bytes, or the same order while that is not answered."""
    if entry.digest == sending.digests[0]:
        return True
    return entry.status is not Status.DELIVERED and sending.key.time.now() - entry.at < _SAME_ORDER


def _repeated(why: str) -> Refused:
    return Refused("repeated", "EAPI:Invalid nonce", f"{why}; Kraken would not accept it twice, and it was not sent")
