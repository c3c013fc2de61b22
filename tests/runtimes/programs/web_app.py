"""A web application whose module uses the keys while it is imported, in whatever process imports it.

Each request waits until as many requests as its query says are served at the same time. Then it takes nonces and makes
calls with all clients on all keys.
"""

from __future__ import annotations

import json
import os
import traceback
from typing import TYPE_CHECKING, Any

from krakenonce import NonceManager
from tests.runtimes.programs.given import CLIENTS, KEYS, meet, query

if TYPE_CHECKING:
    from collections.abc import Callable

MANAGER = NonceManager()
USED = [make(*key) for key in KEYS[: int(os.environ.get("TEST_KEY_COUNT", "2"))] for make in CLIENTS.values()]
ROUNDS, NONCES = 3, 10
FIRST = MANAGER.next()
for each in USED:
    query(each)
with MANAGER.lane(KEYS[0][0]):
    pass


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Answer one request (WSGI)."""
    nonces, errors = [FIRST], []
    meet(int(environ["QUERY_STRING"]))
    for _ in range(ROUNDS):
        for client in USED:
            try:
                nonces += [MANAGER.next() for _ in range(NONCES)]
                query(client)
            except Exception:
                errors.append(traceback.format_exc())
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "nonces": nonces, "errors": errors}).encode()]
