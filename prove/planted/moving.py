"""Bugs in moving a state to another one. The tests need what ``make test-integrations`` installs."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["MOVING"]

_BACKENDS = "tests/integration/backends/test_moving.py::"
_HOSTS = "tests/hosts/test_moving.py::"
_INTERRUPTED = "tests/hosts/test_interrupted_moves.py::"

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
        was=".restore(counters)\n",
        becomes='.restore({"global": counters["global"]})\n',
        test=f"{_HOSTS}test_everything_is_carried_over[postgres]",
    ),
    Planted(
        "a move loses lockouts",
        12,
        "src/krakenonce/moving.py",
        was="    for name in limits:\n",
        becomes="    for name in limits[:0]:\n",
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
        "rate limits cannot be moved from a directory to another one",
        12,
        "src/krakenonce/key/limiter.py",
        was="        other._inside(name, self._inside(name, State.copy))",
        becomes="        self._inside(name, lambda mine: other._inside(name, mine.copy()))",
        test=f"{_HOSTS}test_a_directory_is_moved_to_another_one",
    ),
    Planted(
        "a state is retired although the new one cannot be written to",
        1,
        "src/krakenonce/moving.py",
        was="    before = new.moved_to()\n",
        becomes="    old.retire(new.place)\n    before = new.moved_to()\n",
        test=f"{_INTERRUPTED}test_nothing_is_changed_if_the_new_state_cannot_be_written[postgres]",
    ),
    Planted(
        "a state is used while another one is being moved to it",
        9,
        "src/krakenonce/moving.py",
        was="    new.retire(coming_from(old.place))\n",
        becomes="    pass\n",
        test=f"{_INTERRUPTED}test_the_new_state_is_not_used_before_the_move_is_complete[postgres-_copy]",
    ),
    Planted(
        "the second of two who move a state copies over what the new one has by then",
        9,
        "src/krakenonce/moving.py",
        was="        _check(source, target)  # another program",
        becomes="        # another program",
        test=f"{_INTERRUPTED}test_the_second_of_two_who_move_a_state_at_once_changes_nothing[postgres]",
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
        "a state is checked without a write",
        6,
        "src/krakenonce/cli/state.py",
        was="                check_writing(store)\n",
        becomes="                pass\n",
        test="tests/hosts/test_refusals.py::test_a_user_without_rights_is_told_so",
    ),
    Planted(
        "a part of a password is taken for the name of a host, and shown",
        6,
        "src/krakenonce/backends/postgres/server.py",
        was='return authority.count("@") > 1 or',
        becomes="return",
        test="tests/hosts/test_refusals.py::test_a_url_that_is_none_is_refused_where_it_is_written",
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
