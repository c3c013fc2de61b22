"""Which state is used is read in one way, wherever it is written: in the environment, as an option, as an argument."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.backends import FileStore, state_name
from krakenonce.errors import ConfigError
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VARIABLE = "KRAKENONCE_STATE_DIR"
FORMS = {
    "plain": "{}",
    "a line of Windows": "{}\r",
    "blanks": " {}\t \n",
    "url": "file:{}",
    "url with slashes": "file://{}\r\n",
    "any file system": "file:{}?allow_network=yes",
    "blanks around a url": " file:{} ",
    "a slash too many": "/{}",
}


def directory_of(manager: NonceManager) -> Path:
    """Where a manager's state is."""
    assert isinstance(manager.store, FileStore)
    return manager.store.directory


@pytest.fixture
def in_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], NonceManager]:
    """Make a manager with what the environment names."""

    def name(text: str) -> NonceManager:
        monkeypatch.setenv(VARIABLE, text)
        return NonceManager()

    return name


@pytest.fixture(params=[VARIABLE, "store"])
def by(request: pytest.FixtureRequest, in_environment: Callable[[str], NonceManager]) -> Callable[[str], NonceManager]:
    """Make a manager with what the environment names, or with an argument."""
    return {VARIABLE: in_environment, "store": NonceManager}[request.param]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_names_the_same_directory(tmp_path: Path, by: Callable[[str], NonceManager], form: str) -> None:
    """As a path or a URL, with what the end of a line or a copied blank adds."""
    assert directory_of(by(FORMS[form].format(tmp_path / "state"))) == tmp_path / "state"


CALLS = """
import sys
import krakenex
from krakenonce import guard
key, secret, url = sys.argv[1:]
api = krakenex.API(key, secret)
api.uri = url
guard(api)
for _ in range(10):
    answer = api.query_private("Balance")
    assert not answer["error"], answer
"""


@pytest.mark.parametrize("form", FORMS)
def test_two_processes_that_write_it_differently_share_one_counter(tmp_path: Path, form: str) -> None:
    """Guarded on one key, over a network that lets calls overtake each other: none is refused."""
    fake = FakeKraken()
    account = fake.add_account("bot")
    with FakeKrakenServer(fake, latency=0.002, jitter=0.002) as server:
        command = [sys.executable, "-c", CALLS, account.key, account.secret, server.url]
        texts = [str(tmp_path / "state"), FORMS[form].format(tmp_path / "state")]
        started = [subprocess.Popen(command, env={**os.environ, VARIABLE: text}, cwd=tmp_path) for text in texts]
        assert [process.wait() for process in started] == [0, 0]
    assert (fake.invalid_nonces(), len(fake.accepted())) == ([], 20)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a\rb", r"contains the invisible character '\\r'; write it without$"),
        ("/a\x1b[0m", "invisible character"),
        ("file: /a", "white space before or after its path"),
        ("/a ?allow_network=yes", "white space before or after its path"),
        ("\ufeff/a", r"invisible character '\\ufeff'"),
        ("/a\u200b", "invisible character"),
        ('"/a"', "has quotes around its value"),
        ("'/a'", "has quotes around its value"),
        ('file:"/a"', "has quotes around its value"),
        ("/a'", "has quotes around its value"),
        ("$HOME/a", r"contains a \$, and variables are not replaced here; write the whole path$"),
        ("/srv/${NAME}", r"contains a \$"),
        ("~nosuchuser/a", "begins with ~nosuchuser, and there is no such user; write the whole path$"),
        ("file://host/a", "names a host"),
        ("file://state", "names a host"),
        ("file:", "needs a directory"),
        ("stone://tablet", "unknown backend 'stone:'"),
        ("/a?mode=fast", "one option"),
    ],
)
def test_what_is_probably_not_meant_is_refused(by: Callable[[str], NonceManager], text: str, message: str) -> None:
    """With what to do; no directory of an odd name is made."""
    with pytest.raises(ConfigError, match=message):
        by(text)


def test_the_message_names_who_said_it(in_environment: Callable[[str], NonceManager]) -> None:
    """The variable is found in a file of variables; an argument in the program."""
    with pytest.raises(ConfigError, match=f"^{VARIABLE} has quotes"):
        in_environment("'/a'")
    with pytest.raises(ConfigError, match=r"^store has quotes"):
        NonceManager("'/a'")


def test_memory_is_not_named_in_the_environment(in_environment: Callable[[str], NonceManager]) -> None:
    """Each process that has the variable would have nonces of its own."""
    with pytest.raises(ConfigError, match=f"^{VARIABLE} cannot be memory:"):
        in_environment(" memory:\r")
    assert repr(open_store(" memory:\r")) == "MemoryStore()"


def test_a_path_object_is_taken_as_it_is(tmp_path: Path) -> None:
    """Whatever is in its name."""
    odd = tmp_path / "'$HOME' \r"
    assert directory_of(NonceManager(odd)) == odd


@pytest.fixture
def _new_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No relative path was warned about yet, and the working directory is this test's."""
    monkeypatch.setattr(state_name, "_warned", set())
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_new_process")
def test_a_relative_path_is_warned_about_once(
    tmp_path: Path, in_environment: Callable[[str], NonceManager], caplog: pytest.LogCaptureFixture
) -> None:
    """With the path that it is here: processes started elsewhere use another state."""
    for _ in range(2):
        assert directory_of(in_environment("file:state")) == tmp_path / "state"
    said = (
        f"{VARIABLE} is the relative path state, which is {tmp_path / 'state'} here: a process that starts in another "
        "directory uses another state; write the whole path"
    )
    assert caplog.record_tuples == [("krakenonce", logging.WARNING, said)]


@pytest.mark.usefixtures("_new_process")
@pytest.mark.parametrize("text", ["/tmp", "~/state", "file:/tmp", " /tmp"])  # noqa: S108 - nothing is written
def test_a_whole_path_is_not_warned_about(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is one in the home directory."""
    NonceManager(text)
    assert not caplog.messages


HOMELESS = """
import os, sys
from krakenonce import NonceManager
from krakenonce.cli.main import main
import krakenonce.key.api_key
os.environ.pop("HOME")
os.setuid(54321)
try:
    NonceManager()
except Exception as error:
    print(type(error).__name__, error, flush=True)
print(main(["next"]), flush=True)
os.environ["KRAKENONCE_STATE_DIR"] = "~/state"
print(main(["next"]))
print(main(["next", "--state", "~nosuchuser"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who has no entry")
def test_a_user_without_a_home_directory_is_told_what_to_set() -> None:
    """As in a container that runs as any number: one line, in the library and on the command line."""
    env = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "XDG_STATE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], env={**env, "HOME": "/"}, capture_output=True, text=True, check=True
    )
    said = f"this user (uid 54321) has no home directory to keep the state in: set {VARIABLE} to a directory"
    unknown = (
        "--state begins with ~nosuchuser, and there is no such user; write the whole path; see krakenonce next --help"
    )
    assert done.stdout.splitlines() == [f"ConfigError {said}", "1", "1", "2"]
    assert done.stderr.splitlines() == [f"krakenonce: {each}" for each in (said, said, unknown)]


def test_a_home_directory_that_is_relative_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state would depend on the working directory."""
    for name in (VARIABLE, "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "home")
    with pytest.raises(ConfigError, match=f"has no home directory to keep the state in: set {VARIABLE}"):
        NonceManager()


def test_the_user_s_state_home_is_read_in_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come from the same file of variables."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}\r")
    assert directory_of(NonceManager()) == tmp_path / "krakenonce"
    monkeypatch.setenv("XDG_STATE_HOME", "/home/$USER")
    with pytest.raises(ConfigError, match=r"^XDG_STATE_HOME contains a \$"):
        NonceManager()
