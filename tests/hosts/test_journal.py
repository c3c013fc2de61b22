"""What goes wrong on one host is shown on each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.hosts.test_refusals import run
from tests.integration.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts.engines import Engine


_REFUSED = """
import sys
from krakenonce.journal import recorder
recorder.host_name = lambda: sys.argv[2]
from krakenonce import NonceManager
from krakenonce.kraken import Kraken
from krakenonce.errors import InvalidKey
from krakenonce.testing import FakeKraken, FakeKrakenServer
with FakeKrakenServer(FakeKraken()) as server:
    with Kraken("NoSuchKey", "c2VjcmV0", manager=NonceManager(sys.argv[1]), base_url=server.url) as kraken:
        try:
            kraken.private("Balance")
        except InvalidKey:
            print("refused")
"""


def test_each_host_shows_what_went_wrong_on_all(engine: Engine, tmp_path: Path) -> None:
    """The host itself shows it once. No key is in it."""
    homes = {name: str(tmp_path / name) for name in ("one", "two")}
    for name, home in homes.items():
        env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), *sys.path)), "XDG_STATE_HOME": home}
        words = [sys.executable, "-c", _REFUSED, engine.url, name]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.stdout == "refused\n", done.stderr
    shown = run("log", "--state", engine.url, "--json", XDG_STATE_HOME=str(tmp_path / "three"))
    events = [json.loads(each) for each in shown.stdout.splitlines()]
    assert [(each["host"], each["what"]) for each in events] == [("one", "invalid_key"), ("two", "invalid_key")]
    assert "NoSuchKey" not in shown.stdout
    since = run("log", "--state", engine.url, "--since", "2100-01-01T00:00", XDG_STATE_HOME=str(tmp_path / "three"))
    assert since.stdout == ""
