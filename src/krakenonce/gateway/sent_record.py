"""Which requests a local key has sent, in the state: a digest of each, and the answers that nobody has received."""

from __future__ import annotations

import json
import re
import struct
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.errors import KrakenonceError, NonceStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from krakenonce.backends.protocol import Bytes, SentCalls
    from krakenonce.gateway.syncing import Syncing


DIGEST = 6  # bytes of a digest
KEPT_FOR = 24 * 3600  # seconds; nothing younger is overwritten
SLOTS = 170_000  # two each second for a day
LARGEST = 2 * 1024 * 1024  # bytes of a record
_SLOT = struct.Struct(f">{DIGEST}sI")  # a digest; seconds since 2020, and the status in the last two bits
_EMPTY = bytes(_SLOT.size)
_SINCE = 1_577_836_800  # 2020-01-01
_HEAD = b"krakenonce sent\x01"  # what the file is, and the version of its form
_NOTES = len(_HEAD) + SLOTS * _SLOT.size  # where the notes begin: a line of JSON each, up to the first zero byte
_NOTES_SIZE = LARGEST - _NOTES


class Status(IntEnum):
    """What is known about a request in the record."""

    NOT_SENT = 0  # it was entered, and then could not be sent
    SENT = 1  # what became of it is not known
    DELIVERED = 2  # its sender has received the answer
    KEPT = 3  # it has an answer, which was not received


class Entry(NamedTuple):
    """A request in the record: its digest, what is known about it, and when it was sent, in seconds since 1970."""

    digest: bytes
    status: Status
    at: int


class RecordFull(KrakenonceError):
    """The local key has sent more calls that change something within a day than are kept. It was not sent."""

    may_have_executed = "no"


class SentRecord:
    """The record of one local key, for all gateways that use the same state.

    The digests are in a ring: after the last one written there is an empty slot, then comes the oldest one.

    Args:
        sent_calls: Where it is kept.
        name: Its name there.
        syncing: Brings it to stable storage.
    """

    def __init__(self, sent_calls: SentCalls, name: str, syncing: Syncing) -> None:
        self._kept = sent_calls
        self._name = name
        self._syncing = syncing
        self._unwritten: deque[tuple[Sequence[bytes], float, Status, dict[str, Any] | None]] = deque()
        self._where: dict[bytes, int] = {}  # the slot of each digest
        self._next = -1  # the empty slot; -1: the file was not read yet
        self._last = b""  # the digest in the slot before it
        self._notes_end = 0
        self._is_synced = True  # whether all that was sent is on stable storage

    def prepare(self) -> None:
        """Make the file, as large as it may become. Raises NonceStoreError."""
        self._kept.step(self._name, self._refresh)

    def find(self, digests: Sequence[bytes], counts: Callable[[Entry], bool]) -> Entry | None:
        """Return the first of these that any gateway has sent and that *counts*. Raises NonceStoreError."""
        if not any(each in self._where for each in digests) and self._is_up_to_date():
            return None
        return self._kept.step(self._name, lambda file: self._find(file, digests, counts))

    def enter(
        self, digests: Sequence[bytes], at: float, counts: Callable[[Entry], bool], marks: Sequence[bytes] = ()
    ) -> Entry | None:
        """Enter a request that is about to be sent, or return what :meth:`find` finds.

        It is synced soon afterwards, in the background.

        Args:
            digests: Of the request.
            at: Kraken's time, in seconds since 1970.
            counts: Whether an entry is this request.
            marks: Further digests to enter, which say something about it and are not looked for here.

        Raises:
            RecordFull: The slots that would be used have younger requests than a day.
            NonceStoreError: It could not be written.
        """

        def step(file: Bytes) -> Entry | None:
            found = self._find(file, digests, counts)
            if found is None:
                self._append(file, [_SLOT.pack(each, _packed(at, Status.SENT)) for each in (*digests, *marks)], at)
            return found

        found = self._kept.step(self._name, step)
        if found is None:
            self._is_synced = False
            self._syncing.want(self)
        return found

    def settle(
        self,
        digests: Sequence[bytes],
        at: float,
        status: Status,
        note: dict[str, Any] | None = None,
        *,
        later: bool = False,
    ) -> None:
        """Write what has become of a request: that it was received, in the background; anything else, at once.

        After a kill or a power cut it may count as only sent.

        Args:
            digests: Of the request.
            at: As it was entered.
            status: What is known now.
            note: Written besides, for :meth:`notes`.
            later: Whether it is written in the background in any case, or by :meth:`write`.

        Raises:
            NonceStoreError: It could not be written.
        """
        self._unwritten.append((digests, at, status, note))
        if later or status is Status.DELIVERED:
            self._syncing.want(self)
        else:
            self.write()

    def write(self) -> None:
        """Write what is not written yet. Raises NonceStoreError."""
        if self._unwritten:
            self._kept.step(self._name, self._write)

    def sync(self) -> None:
        """Write what is not written yet, and put what was sent on stable storage. Raises NonceStoreError."""
        self.write()
        if not self._is_synced:
            self._is_synced = True  # before it is true: what is sent meanwhile is synced the next time
            try:
                self._kept.sync(self._name)
            except NonceStoreError:
                self._is_synced = False
                raise

    def _is_up_to_date(self) -> bool:
        """Whether no other gateway has entered anything, as far as that can be seen without the lock."""
        return self._next >= 0 and self._kept.peek(self._name, _at(self._next), _SLOT.size) == _EMPTY

    def _write(self, file: Bytes) -> None:
        while self._unwritten:
            digests, at, status, note = self._unwritten.popleft()
            for digest in digests:
                place = self._where.get(digest)
                if place is not None and file.read(_at(place), DIGEST) == digest:
                    file.write(_at(place), _SLOT.pack(digest, _packed(at, status)))
            if note is not None:
                self._note(file, json.dumps(note).encode() + b"\n")

    def notes(self, since: float, until: float) -> list[dict[str, Any]]:
        """Return the notes about calls that were sent in this time, the oldest first. Raises NonceStoreError."""

        def step(file: Bytes) -> bytes:
            self._write(file)
            return file.read(_NOTES, _NOTES_SIZE)

        return list(_read_notes(self._kept.step(self._name, step), int(since), int(until)))

    def _find(self, file: Bytes, digests: Sequence[bytes], counts: Callable[[Entry], bool]) -> Entry | None:
        self._refresh(file)
        for digest in digests:
            place = self._where.get(digest)
            if place is not None:
                self._write(file)
                there, packed = _SLOT.unpack(file.read(_at(place), _SLOT.size))
                entry = Entry(digest, Status(packed & 3), _SINCE + (packed >> 2))
                if there == digest and entry.status and counts(entry):
                    return entry
        return None

    def _refresh(self, file: Bytes) -> None:
        """Read what other gateways have entered since. A file that is not the one that was read is read as a whole."""
        if self._next < 0 or file.read(_at(self._next - 1), DIGEST) != self._last:
            self._read_all(file)
        for _ in range(SLOTS):
            found = file.read(_at(self._next), _SLOT.size)
            if found == _EMPTY:
                if len(self._where) > 2 * SLOTS:  # half of them were overwritten by other gateways
                    self._read_all(file)
                return
            self._take(found[:DIGEST])
        self._read_all(file)  # none is empty: a process was killed while it wrote

    def _read_all(self, file: Bytes) -> None:
        found = file.read(0, LARGEST)
        if found.startswith(_HEAD):
            self._read_slots(file, found.ljust(LARGEST, b"\0"))
        elif any(found[: len(_HEAD)]):  # zeros: a power cut came before the file was written as a whole
            raise NonceStoreError(
                f"the record {self._name} was written by another version of krakenonce; use that version"
            )
        else:
            # As a whole, so that a disk that becomes full later stops no call.
            file.write(0, _HEAD + bytes(LARGEST - len(_HEAD)))
            self._where, self._next, self._last = {}, 0, bytes(DIGEST)

    def _read_slots(self, file: Bytes, found: bytes) -> None:
        used = -(-len(found[len(_HEAD) : _at(SLOTS - 1) + _SLOT.size].rstrip(b"\0")) // _SLOT.size)
        slots = [_SLOT.unpack_from(found, _at(place)) for place in range(min(used + 1, SLOTS))]
        empty = (bytes(DIGEST), 0)
        if empty not in slots:  # a write was cut off: the oldest one is made empty
            oldest = max(range(len(slots)), key=lambda place: (slots[place - 1][1] >> 2) - (slots[place][1] >> 2))
            file.write(_at(oldest), _EMPTY)
            slots[oldest] = empty
        self._next = slots.index(empty)
        self._last = slots[self._next - 1][0] if self._next or len(slots) == SLOTS else bytes(DIGEST)
        # The oldest first: of two entries of one digest, the newer one counts.
        places = (*range(self._next + 1, len(slots)), *range(self._next))
        self._where = {slots[place][0]: place for place in places if slots[place] != empty}

    def _take(self, digest: bytes) -> None:
        self._where[digest] = self._next
        self._last = digest
        self._next = (self._next + 1) % SLOTS

    def _append(self, file: Bytes, entries: list[bytes], at: float) -> None:
        places = [(self._next + ahead) % SLOTS for ahead in range(len(entries) + 1)]
        for place in places:
            digest, packed = _SLOT.unpack(file.read(_at(place), _SLOT.size))
            if packed and _SINCE + (packed >> 2) > at - KEPT_FOR:
                raise RecordFull(
                    f"this local key has sent {SLOTS} calls that change something within a day, and no more are kept; "
                    "the call was not sent. Give the bot a second local key"
                )
            if self._where.get(digest) == place:
                del self._where[digest]
        if places[-1] > places[0]:
            file.write(_at(places[0]), b"".join([*entries, _EMPTY]))
        else:  # around the end of the ring; the new empty slot first
            for place, entry in zip(reversed(places), (_EMPTY, *reversed(entries)), strict=True):
                file.write(_at(place), entry)
        for entry in entries:
            self._take(entry[:DIGEST])

    def _note(self, file: Bytes, line: bytes) -> None:
        """Write a line behind the others. Where there is no room, the older half is left out."""
        around = file.read(_NOTES + self._notes_end - 1, 2)
        if self._notes_end == 0 or around != b"\n\0":  # another gateway has written since
            written = file.read(_NOTES, _NOTES_SIZE).partition(b"\0")[0]
            self._notes_end = len(written)
            if written and not written.endswith(b"\n"):  # a process was killed while it wrote
                line = b"\n" + line
        if self._notes_end + len(line) > _NOTES_SIZE:
            written = file.read(_NOTES, _NOTES_SIZE).partition(b"\0")[0]
            kept = written[-_NOTES_SIZE // 2 :].partition(b"\n")[2]
            file.write(_NOTES, kept + bytes(_NOTES_SIZE - len(kept)))
            self._notes_end = len(kept)
        if len(line) < _NOTES_SIZE // 2:
            file.write(_NOTES + self._notes_end, line)
            self._notes_end += len(line)


def _at(place: int) -> int:
    """Return where a slot is in the file."""
    return len(_HEAD) + place % SLOTS * _SLOT.size


def _packed(at: float, status: Status) -> int:
    return min(max(int(at) - _SINCE, 1), 2**30 - 1) << 2 | status


def _read_notes(written: bytes, since: int, until: int) -> Iterator[dict[str, Any]]:
    # Most notes are about other times. They are left out before JSON is read, which takes ten times as long.
    thousands = b"|".join(b"%d" % thousand for thousand in range(since // 1000, until // 1000 + 1))
    is_near = re.compile(b'"at": (?:%b)' % thousands).search
    lines = written.partition(b"\0")[0].splitlines()
    for line in lines:
        if not is_near(line):
            continue
        try:
            note = json.loads(line)
        except ValueError:  # a process was killed while it wrote
            continue
        if isinstance(note, dict) and since <= note.get("at", -1) <= until:
            yield note
