"""Celery with its kinds of pools; the broker is a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runtimes.processes import until
from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

TASKS, CALLS_OF_EACH, CALLS_BEFORE = 16, 4 * 4, 4


@pytest.mark.parametrize(("pool", "workers"), [("prefork", 1), ("gevent", 2), ("eventlet", 2), ("threads", 2)])
def test_tasks_on_two_keys(programs: Programs, server: WatchedKraken, tmp_path: Path, pool: str, workers: int) -> None:
    """Tasks that run at the same time call with two keys: all calls are made, one at a time on each key.

    The children of the prefork pool call over connections of their own.
    """
    started = [
        programs.start(
            "celery",
            *("--app", "tests.runtimes.programs.celery_app", "worker", "--pool", pool, "--concurrency", "4"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"),
            *("--hostname", f"worker-{number}@localhost"),
        )
        for number in range(workers)
    ]
    for worker in started:
        worker.until_printed(lambda text: " ready." in text)
    parents = [len(calls) for calls in server.connections.values()] if pool == "prefork" else []
    programs.run("celery_app", str(TASKS)).wait()
    for message in (tmp_path / "sent").iterdir():
        message.rename(tmp_path / "queue" / message.name)
    done = tmp_path / "done"
    until(
        lambda: len(list(done.iterdir())) == TASKS,
        lambda: f"{len(list(done.iterdir()))} tasks ended; the workers printed:\n{[each.printed for each in started]}",
    )
    errors = [text for text in (path.read_text() for path in done.iterdir()) if text]
    assert not errors, errors[0]
    assert [len(calls) for calls in server.connections.values()][: len(parents)] == parents
    assert_in_turn(server, workers * CALLS_BEFORE + TASKS * CALLS_OF_EACH)
