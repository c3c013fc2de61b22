"""A Celery application whose tasks call with two keys. It uses both while it is imported, as a worker's parent does.

As a program: ``COUNT`` sends so many tasks. The broker is a folder, which needs no server: workers take messages from
``queue``. They are sent to another folder, as a worker fails if it takes one that is only partly written.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
import uuid
from pathlib import Path

import celery

from tests.runtimes.programs.given import CLIENTS, KEYS, query

ROUNDS = 4
FOLDER = Path(os.environ["TEST_MEETING"]).parent
_QUEUE = FOLDER / "queue"
_QUEUE.mkdir(exist_ok=True)
_SENT = FOLDER / "sent"
_SENT.mkdir(exist_ok=True)
_DONE = FOLDER / "done"
_DONE.mkdir(exist_ok=True)

app = celery.Celery("tests", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(_QUEUE),
        "data_folder_out": str(_SENT),
        "control_folder": str(FOLDER / "control"),
        "polling_interval": 0.05,
    },
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=False,
)


def call_with_both_keys() -> None:
    """Make some calls, and write down what went wrong."""
    errors = []
    for number in range(ROUNDS):
        for client in USED[:: 1 if number % 2 else -1]:
            try:
                query(client)
                time.sleep(0)  # another greenlet may run
            except Exception:
                errors.append(traceback.format_exc())
    partial = FOLDER / uuid.uuid4().hex
    partial.write_text("\n".join(errors))
    partial.rename(_DONE / partial.name)


task = app.task(name="call")(call_with_both_keys)
if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        app.send_task("call")
else:
    USED = [make(*key) for key in KEYS for make in CLIENTS.values()]
    for each in USED:
        query(each)
