"""What is asked of etcd's keys, as its JSON gateway takes and gives it. No I/O.

Bytes are in Base64; numbers are texts; what is zero, false or empty is left out, as each word costs the gateway time.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from krakenonce.backends.etcd.wire import Json


class Found(NamedTuple):
    """A key that is there.

    Args:
        key: Its name.
        value: Its value; empty if only names were asked for.
        made: The revision at which it was made.
        changed: The revision at which it was written last.
    """

    key: str
    value: bytes
    made: int
    changed: int


def covers(folder: str) -> Json:
    """Return the range of all keys whose names begin with *folder*, which ends in a slash."""
    return {"key": _text(folder), "range_end": _text(f"{folder[:-1]}0")}  # the letter after the slash


def fetch(key: str, end: str = "", *, only_names: bool = False) -> Json:
    """Ask for a key; or for those from *key* up to *end*, sorted; or for all in a folder, if *key* ends in a slash."""
    where = covers(key) if key.endswith("/") else {"key": _text(key)}
    if end:
        where["range_end"] = _text(end)
    return {"request_range": {**where, **({"keys_only": True} if only_names else {})}}


def put(key: str, value: bytes, lease: int = 0) -> Json:
    """Ask to write a key."""
    return {"request_put": {"key": _text(key), "value": _bytes(value), **({"lease": str(lease)} if lease else {})}}


def delete(key: str, end: str = "") -> Json:
    """Ask to delete a key, or those from *key* up to *end*."""
    return {"request_delete_range": {"key": _text(key), **({"range_end": _text(end)} if end else {})}}


def is_value(key: str, how: str, value: bytes) -> Json:
    """Compare a key's value: ``EQUAL``, ``LESS``. Never true if there is no such key."""
    return {"target": "VALUE", "key": _text(key), "result": how, "value": _bytes(value)}


def is_made_at(key: str, revision: int) -> Json:
    """Compare the revision at which a key was made."""
    return {"target": "CREATE", "key": _text(key), "result": "EQUAL", "create_revision": str(revision)}


def is_changed_at(key: str, revision: int) -> Json:
    """Compare the revision at which a key was written last; 0: there is no such key."""
    return {"target": "MOD", "key": _text(key), "result": "EQUAL", "mod_revision": str(revision)}


def is_absent(key: str) -> Json:
    """Whether there is no such key; no key in the folder, if it ends in a slash."""
    where = covers(key) if key.endswith("/") else {"key": _text(key)}
    return {"target": "CREATE", **where, "result": "EQUAL", "create_revision": "0"}


def succeeded(answer: Json) -> bool:
    """Whether all comparisons were true."""
    return answer.get("succeeded") is True


def found(answer: Json, *which: int) -> list[Found]:
    """Return the keys that requests of a transaction have found: the first one, or some, counted from 0."""
    responses = [answer["responses"][each].get("response_range", {}) for each in which or (0,)]
    return [
        Found(
            *(b64decode(each["key"]).decode(), b64decode(each.get("value", ""))),
            *(int(each["create_revision"]), int(each["mod_revision"])),
        )
        for response in responses
        for each in response.get("kvs", [])
    ]


def name_of(event: Json) -> str:
    """Return the name of the key that an event is about."""
    return b64decode(event["kv"]["key"]).decode()


def _text(text: str) -> str:
    return _bytes(text.encode())


def _bytes(data: bytes) -> str:
    return b64encode(data).decode()
