"""What is asked of each web server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.runtimes.processes import ask_together
from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from tests.runtimes.processes import Program
    from tests.runtimes.watched import WatchedKraken

_PER_REQUEST = 3 * 2  # rounds and clients of programs/web_app.py


def assert_serves(program: Program, url: str, server: WatchedKraken, *, together: int, keys: int, imports: int) -> None:
    """Answer *together* requests at once: every nonce once, calls in turn, on connections of each process's own.

    Args:
        program: The web server.
        url: Its address.
        server: The fake Kraken.
        together: How many requests it serves at once.
        keys: How many keys the application uses.
        imports: How many processes import the application.
    """
    before = {port: len(calls) for port, calls in server.connections.items()} if imports == 1 else {}
    answers = ask_together(url, together)
    errors = [error for answer in answers for error in answer["errors"]]
    assert not errors, f"{len(errors)} errors, one of them:\n{errors[0]}"
    nonces = [nonce for answer in answers for nonce in answer["nonces"][1:]]
    first = {answer["nonces"][0] for answer in answers}
    assert len({*nonces, *first}) == len(nonces) + len(first), "a nonce was issued twice"
    assert nonces
    assert_in_turn(server, (together * _PER_REQUEST + imports * 2) * keys)
    assert {port: len(server.connections[port]) for port in before} == before, "a worker called over its parent's"
    for trouble in ("un-acquired lock", "Traceback"):
        assert trouble not in program.printed, f"it printed:\n{program.printed[-3000:]}"
