"""uWSGI forks its workers in C, after the application was imported; it runs Python's fork callbacks only if told to."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.runtimes.web import assert_serves

if TYPE_CHECKING:
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uWSGI is installed on Linux alone")

WORKERS = 4
SET_UPS = {
    "defaults": (),
    "py-call-osafterfork": ("--py-call-osafterfork",),
    "py-call-uwsgi-fork-hooks": ("--py-call-uwsgi-fork-hooks",),
    "threads": ("--enable-threads", "--threads", "4"),
    "lazy-apps": ("--lazy-apps",),
    "gevent": ("--gevent", "4", "--gevent-monkey-patch"),
}
if sys.version_info >= (3, 13):  # there uWSGI 2.0.31 crashes with it, whatever the application is
    del SET_UPS["py-call-osafterfork"]


@pytest.mark.parametrize("set_up", SET_UPS)
def test_workers_of_a_master_that_has_used_the_key(programs: Programs, server: WatchedKraken, set_up: str) -> None:
    """Four workers take nonces and call with one key at once: no nonce twice, one call at a time, own connections."""
    program = programs.start(
        "uwsgi",
        *("--http-socket", "127.0.0.1:0", "--master", "--need-app", "--processes", str(WORKERS)),
        *("--module", "tests.runtimes.programs.web_app", *SET_UPS[set_up]),
        TEST_KEY_COUNT="1",
    )
    port = program.until_printed(lambda text: re.search(r"bound to TCP address 127\.0\.0\.1:(\d+)", text))[1]
    program.until_printed(lambda text: text.count("spawned uWSGI worker ") == WORKERS)
    threads = 4 if set_up in ("threads", "gevent") else 1
    imports = WORKERS if set_up == "lazy-apps" else 1
    assert_serves(program, f"http://127.0.0.1:{port}", server, together=WORKERS * threads, keys=1, imports=imports)
