"""Bugs in moving a state to another one. The tests need what ``make test-integrations`` installs."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["MOVING"]

_BACKENDS = "tests/integration/backends/test_moving.py::"
_HOSTS = "tests/hosts/test_moving.py::"

MOVING = (
    Planted(
        "a directory that was moved away is made again",
        1,
        "src/krakenonce/backends/file/directory.py",
        was="        refuse_moved(self.path)\n",
        becomes="",
        test=f"{_BACKENDS}test_a_state_that_was_moved_gives_no_nonce_to_anybody[file]",
    ),
    Planted(
        "the files of a counter stay where they were when the state is moved",
        1,
        "src/krakenonce/backends/file/moved.py",
        was="                    os.replace(directory / name, folder / name)\n    sync_directory(folder)\n",
        becomes="                    pass\n    sync_directory(folder)\n",
        test=f"{_BACKENDS}test_a_state_that_was_moved_gives_no_nonce_to_anybody[file]",
    ),
    Planted(
        "a directory that comes back goes on below the nonces that were issued elsewhere",
        1,
        "src/krakenonce/backends/file/store.py",
        was="            store.raise_floor(scope, floor)\n",
        becomes="            store.peek(scope)\n",
        test=f"{_BACKENDS}test_a_state_that_comes_back_goes_on_above_both[file]",
    ),
    Planted(
        "a nonce that is being issued is not seen by the one who moves the database",
        1,
        "src/krakenonce/backends/postgres/moved.py",
        was="share row exclusive mode",
        becomes="access share mode",
        test="tests/hosts/test_postgres.py::test_a_move_waits_for_a_nonce_that_is_being_issued",
        hangs=20,
    ),
    Planted(
        "nonces are issued in a database that was moved away",
        1,
        "src/krakenonce/backends/postgres/statements.py",
        was="    from krakenonce.about where moved_to is null)",
        becomes="    from krakenonce.about)",
        test="tests/hosts/test_postgres.py::test_a_move_waits_for_a_nonce_that_is_being_issued",
    ),
    Planted(
        "a state is moved while calls are under way",
        10,
        "src/krakenonce/moving.py",
        was="            turns.enter_context(_turn(source, name, patience))\n",
        becomes="",
        test=f"{_HOSTS}test_a_move_waits_for_the_call_that_is_under_way[postgres]",
        hangs=20,
    ),
    Planted(
        "a move loses the counters of adopted keys",
        1,
        "src/krakenonce/moving.py",
        was="    new.restore(counters)\n",
        becomes='    new.restore({"global": counters["global"]})\n',
        test=f"{_HOSTS}test_everything_is_carried_over[postgres]",
    ),
    Planted(
        "a move loses lockouts",
        12,
        "src/krakenonce/moving.py",
        was='    for name in old.names("rate limits"):\n',
        becomes='    for name in old.names("rate limits")[:0]:\n',
        test=f"{_HOSTS}test_everything_is_carried_over[postgres]",
    ),
    Planted(
        "a lockout that was moved ends by the old state's time",
        12,
        "src/krakenonce/key/limits_state.py",
        was="        ahead = other.now - self.now\n",
        becomes="        ahead = 0.0\n",
        test=f"{_HOSTS}test_everything_is_carried_over[postgres]",
    ),
    Planted(
        "a state is retired although the new one cannot be written to",
        1,
        "src/krakenonce/moving.py",
        was='    _note(target, _step(target) or "coming")',
        becomes="    pass",
        test=f"{_HOSTS}test_nothing_is_changed_if_the_new_state_cannot_be_written[postgres]",
    ),
    Planted(
        "a move that was interrupted before the copy is taken for a complete one",
        1,
        "src/krakenonce/moving.py",
        was='    if before and step != "copying" and not',
        becomes="    if before and not",
        test=f"{_HOSTS}test_a_move_to_a_state_in_use_that_was_interrupted_is_done_again[postgres]",
    ),
    Planted(
        "a move that is done again copies over what the new state has by then",
        9,
        "src/krakenonce/moving.py",
        was='    if step != "copied":\n        say(',
        becomes="    if step:\n        say(",
        test=f"{_HOSTS}test_a_move_to_a_state_in_use_that_was_interrupted_is_done_again[postgres]",
    ),
    Planted(
        "local keys are changed in a database that was moved away",
        9,
        "src/krakenonce/gateway/key_storage.py",
        was="                    self._refuse_moved()\n",
        becomes="                    pass\n",
        test=f"{_HOSTS}test_no_command_uses_a_state_that_was_moved_away[postgres]",
    ),
    Planted(
        "a new state is begun beside a directory with nonces",
        1,
        "src/krakenonce/key/lane.py",
        was="                begin_or_refuse(self._backend)\n",
        becomes="                pass\n",
        test=f"{_HOSTS}test_a_new_state_is_not_begun_beside_a_directory_with_nonces[postgres]",
    ),
)
