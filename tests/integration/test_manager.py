import copy
import gc
import logging
import pickle
from pathlib import Path
from typing import Literal

import pytest

from krakenonce import NonceManager, errors, open_store
from krakenonce.backends import FileStore, MemoryStore
from krakenonce.errors import ConfigError, KrakenonceError, LaneError, NonceStoreError
from krakenonce.key.naming import fingerprint
from krakenonce.testing.clock import ManualClock
from tests.integration.key.helpers import in_child


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, and nothing set."""
    for name in ("KRAKENONCE_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def directory_of(manager: NonceManager) -> Path:
    """Where a manager's state is."""
    assert isinstance(manager.store, FileStore)
    return manager.store.directory


def test_the_default_is_the_user_s_state_directory(home: Path) -> None:
    """Without anything said, state goes to ~/.local/state/krakenonce."""
    assert directory_of(NonceManager()) == home / ".local" / "state" / "krakenonce"


def test_the_default_follows_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$XDG_STATE_HOME if it is absolute, and $KRAKENONCE_STATE_DIR above all."""
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert directory_of(NonceManager()) == home / ".local" / "state" / "krakenonce"
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "xdg"))
    assert directory_of(NonceManager()) == home / "xdg" / "krakenonce"
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(home / "chosen"))
    assert directory_of(NonceManager()) == home / "chosen"


def test_the_default_on_macos(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS it is in the user's Library."""
    monkeypatch.setattr("sys.platform", "darwin")
    assert directory_of(NonceManager()) == home / "Library" / "Application Support" / "krakenonce"


@pytest.mark.parametrize("form", ["path", "text", "url", "url with slashes", "store"])
def test_a_store_may_be_given_in_several_ways(tmp_path: Path, form: str) -> None:
    """A Path, a string, a file: URL, or a store."""
    state = tmp_path / "state"
    given = {
        "path": state,
        "text": str(state),
        "url": f"file:{state}",
        "url with slashes": f"file://{state}",
        "store": FileStore(state),
    }[form]
    assert directory_of(NonceManager(given)) == state  # type: ignore[arg-type]


def test_memory_is_a_store_that_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A volatile store is loud about it, once, with its first number."""
    store = open_store("memory:")
    assert isinstance(store, MemoryStore)
    for _ in range(2):
        store.advance("global")
    assert caplog.text.count("lost when this process ends") == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("stone://tablet", "unknown backend 'stone:'; use file:PATH, postgresql://..., valkey://..., etcd://... or"),
        ("fil:/x", "use file:PATH, postgresql://..., valkey://..., etcd://... or memory:"),
        ("file:", "needs a directory"),
        ("", "needs a directory"),
        ("file:/x?mode=fast", "one option"),
        ("file:/x?allow_network=maybe", "one option"),
    ],
)
def test_an_unknown_store_names_the_known_ones(url: str, message: str) -> None:
    """A wrong URL is a ConfigError that says what would be right."""
    with pytest.raises(ConfigError, match=message):
        NonceManager(url)


def test_a_manager_is_a_context_manager(tmp_path: Path) -> None:
    """Leaving the block closes it."""
    with NonceManager(tmp_path) as manager:
        manager.next()
    with pytest.raises(NonceStoreError, match="closed"):
        manager.next()
    manager.close()


CALLS = {
    "next": lambda manager: manager.next(),
    "next_for": lambda manager: manager.next_for("key"),
    "raise_floor": lambda manager: manager.raise_floor(5),
    "peek": lambda manager: manager.peek(),
    "stats": lambda manager: manager.stats(),
    "lane": lambda manager: manager.lane("key"),
    "scope_of": lambda manager: manager.scope_of("key"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("used", [True, False])
def test_a_closed_manager_answers_nothing(tmp_path: Path, call: str, used: bool) -> None:
    """After close() every call raises the same error, also if the manager was not used before; nothing is written."""
    manager = NonceManager(tmp_path / "state")
    if used:
        manager.next()
        manager.lane("key")
    manager.close()
    manager.close()
    with pytest.raises(NonceStoreError, match=r"^this nonce manager is closed: make another one$"):
        CALLS[call](manager)
    assert used or not (tmp_path / "state").exists()


class Half:
    """A backend that is not ready yet."""

    shared = "host"

    def advance(self, scope: str) -> int:
        """A number."""
        return len(scope)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Half(), "Half has no rate_limits, records, sent_calls, peek, raise_floor, gate, scopes, stats, close$"),
        (5, "int has no shared, rate_limits, records, sent_calls, advance, peek"),
        (b"/state", "bytes has no"),
        (MemoryStore, r"MemoryStore is a class, not an object: write MemoryStore\(\.\.\.\)"),
    ],
)
def test_what_is_no_backend_is_refused_by_what_it_lacks(given: object, message: str) -> None:
    """At once, and not when it is first used."""
    with pytest.raises(ConfigError, match=message):
        NonceManager(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [None, "process", "host", "hosts"])
@pytest.mark.parametrize("url", ["memory:", "file:state"])
def test_a_backend_that_is_shared_by_fewer_than_is_asked_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, asked: Literal["process", "host", "hosts"] | None
) -> None:
    """Numbers in memory are this process's, files are this host's; with nothing asked for, anything will do."""
    monkeypatch.chdir(tmp_path)
    served = {"memory:": (None, "process"), "file:state": (None, "process", "host")}[url]
    if asked in served:
        assert f"shared={served[-1]!r}" in repr(NonceManager(url, shared=asked))
    else:
        with pytest.raises(
            ConfigError, match=rf"^shared='{asked}' needs a backend for .*; .*Store\(.*\) is for .* only$"
        ):
            NonceManager(url, shared=asked)


def test_how_widely_a_backend_is_shared_is_one_of_three_words(tmp_path: Path) -> None:
    """Anything else is refused, be it asked for or said by a backend of one's own."""
    with pytest.raises(ConfigError, match="shared must be 'process', 'host' or 'hosts', not 'world'"):
        NonceManager(tmp_path, shared="world")  # type: ignore[arg-type]
    store = MemoryStore()
    store.shared = "galaxy"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="shared must be 'process', 'host' or 'hosts', not 'galaxy'"):
        NonceManager(store)


@pytest.mark.parametrize("call", CALLS)
def test_the_first_use_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, call: str) -> None:
    """Where the state is, and who shares it; not when the manager is made."""
    caplog.set_level(logging.INFO, "krakenonce")
    manager = NonceManager(tmp_path)
    assert not caplog.messages
    for _ in range(2):
        CALLS[call](manager)
    manager.next()
    (message,) = [each for each in caplog.messages if each.startswith("nonces")]
    assert message == f"nonces, turns and rate limits are kept in {manager.store!r}, for the processes of one host"


def test_the_first_use_of_a_key_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its fingerprint, as the doctor and the journal name it; also after a floor was raised."""
    caplog.set_level(logging.INFO, "krakenonce")
    manager = NonceManager(tmp_path)
    manager.next_for("key")
    manager.raise_floor(5)
    manager.next_for("key")
    manager.next_for("other")
    assert [each for each in caplog.messages if each.startswith("API key")] == [
        f"API key {fingerprint(key)} takes its nonces from counter global" for key in ("key", "other")
    ]


def test_the_first_use_in_a_forked_child_is_logged_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each process says once where its state is; a closed manager stays closed."""
    caplog.set_level(logging.INFO, "krakenonce")
    manager, closed = NonceManager(tmp_path), NonceManager(tmp_path)
    manager.next()
    closed.close()

    def use() -> str:
        manager.next()
        manager.next()
        with pytest.raises(NonceStoreError, match="closed"):
            closed.next()
        return str(caplog.text.count("are kept in"))

    assert in_child(use) == "2"


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_lane_needs_a_name(tmp_path: Path, name: str) -> None:
    """An empty key would be one lane for everybody whose key is not set."""
    with pytest.raises(LaneError, match="is the API key set"):
        NonceManager(tmp_path).lane(name)


def test_a_closed_manager_raises_no_floor(tmp_path: Path) -> None:
    """After close() nothing is written any more."""
    manager = NonceManager(tmp_path)
    manager.close()
    with pytest.raises(NonceStoreError, match="closed"):
        manager.raise_floor(5)
    assert list(tmp_path.iterdir()) == []


def test_stats_tell_the_lead_over_the_clock(tmp_path: Path) -> None:
    """Lead is the last number less the clock: zero, positive after a floor, None before the first."""
    clock = ManualClock()
    manager = NonceManager(tmp_path, clock=clock)
    assert manager.stats().lead_ns is None
    manager.next()
    clock.pass_time(2)
    assert manager.stats().lead_ns == -2_000_000_000
    manager.raise_floor(clock.now_ns() + 500)
    seen = manager.stats()
    assert (seen.lead_ns, seen.issued, seen.scope) == (500, 1, "global")


def test_a_copy_of_a_manager_is_the_manager(tmp_path: Path) -> None:
    """A copy with the same descriptors would close them under the original, which would then write elsewhere."""
    manager = NonceManager(tmp_path)
    first = manager.next()
    with manager.lane("key"):
        assert copy.copy(manager) is manager
        assert copy.deepcopy({"api": manager})["api"] is manager
        assert copy.deepcopy(manager.store) is copy.copy(manager.store) is manager.store
    gc.collect()
    others = [open(tmp_path / f"other{number}", "w+b") for number in range(6)]  # noqa: SIM115 - takes closed numbers
    assert manager.next() > first
    for other in others:
        assert other.read() == b""
        other.close()


ERRORS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_the_one_root_and_survives_pickling(kind: type[KrakenonceError]) -> None:
    """One root for all, a message that survives a process pool, and a word on execution."""
    error = kind("what to do")
    assert isinstance(error, KrakenonceError)
    restored = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(restored), str(restored)) == (kind, "what to do")
    open_ended = (errors.OutcomeUnknown, errors.ServiceUnavailable, errors.EarnRefused, errors.UnknownKrakenError)
    verdict = "unknown" if kind in (*open_ended, errors.DuplicateOrder) else "no"
    assert (error.may_have_executed, restored.may_have_executed) == (verdict, verdict)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every error is in the module's docstring, and nothing else is."""
    assert errors.__doc__ is not None
    drawn = {line.split()[-1] if "──" in line and len(line.split()) == 1 else line.replace("│", " ").split()[1]
             for line in errors.__doc__.splitlines() if "──" in line}  # fmt: skip
    assert drawn | {"KrakenonceError"} == set(errors.__all__)
