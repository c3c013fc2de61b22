"""gunicorn with its kinds of workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.runtimes.web import assert_serves

if TYPE_CHECKING:
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

WORKERS = 2
AT_MOST_4 = ("--worker-connections", "4")  # else one worker may take all connections


@pytest.mark.parametrize(
    ("options", "together", "imports"),
    [
        (("-k", "sync"), WORKERS, WORKERS),
        (("-k", "sync", "--preload"), WORKERS, 1),
        (("-k", "gthread", "--threads", "4", *AT_MOST_4), 4 * WORKERS, WORKERS),
        (("-k", "gthread", "--threads", "4", *AT_MOST_4, "--preload"), 4 * WORKERS, 1),
        (("-k", "gevent", *AT_MOST_4), 4 * WORKERS, WORKERS),
        (("-k", "gevent", *AT_MOST_4, "--preload"), 4 * WORKERS, 1),
    ],
    ids=["sync", "sync preload", "gthread", "gthread preload", "gevent", "gevent preload"],
)
def test_workers_on_two_keys(
    programs: Programs, server: WatchedKraken, options: tuple[str, ...], together: int, imports: int
) -> None:
    """Two workers call with two keys at once: no nonce twice, one call of a key at a time, own connections."""
    program = programs.start(
        "gunicorn",
        *("--bind", "127.0.0.1:0", "--workers", str(WORKERS), *options, "tests.runtimes.programs.web_app:application"),
    )
    url = program.until_printed(lambda text: re.search(r"Listening at: (http://\S+)", text))[1]
    program.until_printed(lambda text: text.count("Booting worker") == WORKERS)
    assert_serves(program, url, server, together=together, keys=2, imports=imports)
