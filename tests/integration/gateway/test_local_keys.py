"""Local keys: a private file that changes all at once, for all processes."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.backends.file import filesystem, records
from krakenonce.errors import ConfigError
from krakenonce.gateway.local_keys import LocalKeys
from tests.integration.gateway.conftest import call, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes

QUERY = frozenset(["query"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "state" / "gateway_keys.json"


def test_a_new_pair_has_kraken_s_format(path: Path) -> None:
    """As long as Kraken's, base64, and never the same."""
    keys = LocalKeys(path)
    first, second = keys.add("a", "MASTER", QUERY), keys.add("b", "MASTER", QUERY)
    assert len({first.key, first.secret, second.key, second.secret}) == 4
    assert (len(first.key), len(base64.b64decode(first.secret))) == (56, 64)


def test_making_the_object_opens_nothing(path: Path) -> None:
    """No file and no directory before the first key."""
    keys = LocalKeys(path)
    assert keys.find("x") is None
    assert keys.all() == []
    assert not path.parent.exists()


def test_keys_are_kept_in_a_private_file(path: Path) -> None:
    """Another object, as another process would, finds what was added."""
    made = LocalKeys(path).add("bot", "USER:alice", frozenset(["query", "trade"]), trace_orders=True)
    assert LocalKeys(path).find(made.key) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in path.parent.iterdir()} == {"gateway_keys.json", "gateway_keys.lock"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for another user")
def test_what_root_adds_can_be_read_by_the_gateway_s_user(path: Path) -> None:
    """Under systemd only root reaches the state directory; all bots would stop if the file became root's."""
    path.parent.mkdir()
    os.chown(path.parent, 12345, 12346)
    for name in ("a", "b"):
        LocalKeys(path).add(name, "MASTER", QUERY)
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 12346, 0o600)


def test_a_change_is_seen_at_the_next_lookup(path: Path) -> None:
    """Revoked and rotated keys are refused at once, also by an object that has read the file before."""
    running, other = LocalKeys(path), LocalKeys(path)
    bot, tool = other.add("bot", "MASTER", QUERY), other.add("tool", "MASTER", QUERY)
    assert running.find(bot.key) == bot
    new = other.rotate("bot")
    assert running.find(bot.key) is None
    assert running.find(new.key) == new
    other.revoke("tool")
    assert running.find(tool.key) is None
    path.unlink()
    assert running.find(new.key) is None


def test_a_revoked_key_does_not_come_back_after_a_power_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is synced after the new file has its name, else the old file may be there again."""
    keys = LocalKeys(path)
    keys.add("bot", "MASTER", QUERY)
    synced: list[tuple[bool, bool]] = []

    def watched(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(fd: int) -> None:
            synced.append((stat.S_ISDIR(os.fstat(fd).st_mode), "bot" in path.read_text()))
            real(fd)

        return sync

    monkeypatch.setattr(records, "sync", watched(filesystem.sync))
    monkeypatch.setattr(os, "fsync", watched(os.fsync))
    keys.revoke("bot")
    assert synced == [(False, True), (True, False)]


def test_a_name_is_used_once(path: Path) -> None:
    """A name is used once; one that is not there cannot be rotated or revoked."""
    keys = LocalKeys(path)
    keys.add("bot", "MASTER", QUERY)
    with pytest.raises(ConfigError, match="'bot' already"):
        keys.add("bot", "MASTER", QUERY)
    for change in (keys.rotate, keys.revoke):
        with pytest.raises(ConfigError, match="the local keys are: bot"):
            change("tool")
    with pytest.raises(ConfigError, match="1 to 64 letters"):
        keys.add("a bot", "MASTER", QUERY)
    assert [each.name for each in keys.all()] == ["bot"]


def test_an_open_file_is_refused(path: Path) -> None:
    """The message says what to do, and holds nothing of the file."""
    made = LocalKeys(path).add("bot", "MASTER", QUERY)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}") as caught:
        LocalKeys(path).find(made.key)
    assert made.secret not in str(caught.value)


ENTRY = {
    "name": "a",
    "account": "MASTER",
    "allow": ["query"],
    "trace_orders": False,
    "created": 1,
    "key": "k",
    "secret": "c2VjcmV0",
}
WRONG = {
    "name": 5,
    "account": None,
    "allow": [5],
    "trace_orders": "no",
    "created": "today",
    "key": 5,
    "secret": "not base64",
    "more": 1,
}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[",
        b"\xff\xfe",
        b"[" * 100_000,
        *(
            json.dumps({"format": 1, "keys": keys}).encode()
            for keys in ([{}], [{"name": "a"}], [5], {"a": 1}, *([{**ENTRY, name: WRONG[name]}] for name in WRONG))
        ),
    ],
)
def test_a_damaged_file_is_refused(path: Path, data: bytes) -> None:
    """Whatever is in it: it is not taken for an empty one, not used in part, and not overwritten by a change."""
    keys = LocalKeys(path)
    keys.add("bot", "MASTER", QUERY)
    path.write_bytes(data)
    for use in (keys.all, lambda: keys.find("k"), lambda: keys.add("tool", "MASTER", QUERY)):
        with pytest.raises(ConfigError, match="damaged"):
            use()
    assert path.read_bytes() == data


def test_a_whole_file_is_used(path: Path) -> None:
    """What the tests above damage is what the gateway writes."""
    LocalKeys(path).add("bot", "MASTER", QUERY)
    path.write_text(json.dumps({"format": 1, "keys": [ENTRY]}))
    assert LocalKeys(path).find("k") is not None


@pytest.mark.parametrize("strict", [True, False])
def test_a_file_from_before_orders_could_be_traced_is_read(path: Path, strict: bool) -> None:
    """Its keys could be strict about their nonces, which is not needed any more; a change writes it as it is now."""
    LocalKeys(path).add("bot", "MASTER", QUERY)
    old = {name: value for name, value in ENTRY.items() if name != "trace_orders"} | {"strict_nonce": strict}
    path.write_text(json.dumps({"format": 1, "keys": [old]}))
    found = LocalKeys(path).find("k")
    assert found is not None
    assert not found.trace_orders
    LocalKeys(path).add("new", "MASTER", QUERY)
    assert "strict_nonce" not in path.read_text()
    assert LocalKeys(path).find("k") == found


def test_another_version_s_file_is_refused(path: Path) -> None:
    """A newer krakenonce may mean something else by it."""
    path.parent.mkdir()
    path.write_text('{"format":2,"keys":[]}')
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="another version"):
        LocalKeys(path).all()


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    """A user who can place a link there could have another file read."""
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text('{"format":1,"keys":[]}')
    with pytest.raises(ConfigError, match="cannot read"):
        LocalKeys(path).all()


def test_processes_that_add_at_once_lose_nothing(path: Path) -> None:
    """Every key is there at the end."""
    code = (
        "import sys; from pathlib import Path; from krakenonce.gateway.local_keys import LocalKeys\n"
        "for i in range(10): LocalKeys(Path(sys.argv[1])).add(f'{sys.argv[2]}{i}', 'MASTER', frozenset(['query']))\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, os.fspath(path), name]) for name in "abcd"]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert len(LocalKeys(path).all()) == 40


def test_repr_shows_no_secret(path: Path) -> None:
    """Neither key nor secret."""
    made = LocalKeys(path).add("bot", "MASTER", QUERY)
    assert made.key not in repr(made)
    assert made.secret not in repr(made)


def test_a_bot_that_calls_all_the_time_changes_its_pair_without_a_refused_call(
    processes: Processes, fake: WatchedKraken
) -> None:
    """Both pairs are good for the time that was given, for calls under way, too; then the old one is refused."""
    old = processes.add("bot-a")
    _, url = processes.serve()
    pairs, stop = [old], threading.Event()

    def trade() -> list[Any]:
        answers = []
        while not stop.is_set():
            answers.append(call(url, pairs[-1], "Balance").errors)
        return answers

    with ThreadPoolExecutor(1) as pool:
        bot = pool.submit(trade)
        try:
            until(lambda: len(fake.arrivals) > 5)
            new = processes.local_keys.rotate("bot-a", keep=600.0)
            seen = len(fake.arrivals)
            until(lambda: len(fake.arrivals) > seen + 5)
            assert call(url, new, "Balance").errors == []
            pairs.append(new)
            seen = len(fake.arrivals)
            until(lambda: len(fake.arrivals) > seen + 5)
        finally:
            stop.set()
        assert [] in bot.result()
        assert not [answer for answer in bot.result() if answer]
    newest = processes.local_keys.rotate("bot-a", keep=0.5)
    until(lambda: call(url, new, "Balance").errors == ["EAPI:Invalid key"])
    assert call(url, newest, "Balance").errors == []


def test_an_old_pair_is_kept_once_and_not_written_down_for_longer(path: Path) -> None:
    """The pair before it is refused at once, and with the next change one that is over is not in the file any more."""
    keys = LocalKeys(path)
    first = keys.add("bot", "MASTER", QUERY)
    second = keys.rotate("bot", keep=600.0)
    assert second.old is not None
    assert abs(second.old.until - time.time() - 600) < 5
    found = LocalKeys(path).find(first.key)
    assert found is not None
    assert (found.name, found.secret) == ("bot", first.secret)
    third = keys.rotate("bot", keep=600.0)
    assert keys.find(first.key) is None
    assert keys.find(second.key) is not None
    assert [each.key for each in keys.all()] == [third.key]
    assert first.secret not in repr(third) + repr(third.old)
    text = path.read_text()
    path.write_text(re.sub(r'"until": \d+', f'"until": {int(time.time()) - 1}', text))
    later = LocalKeys(path)
    assert later.find(second.key) is None
    later.add("other", "MASTER", QUERY)
    assert second.secret not in path.read_text()
    keys.rotate("bot")
    assert later.find(third.key) is None
