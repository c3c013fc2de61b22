"""Bugs in the session that a turn in PostgreSQL hangs on, and in the nonce that comes with it.

The tests need what ``make test-integrations`` installs.
"""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["HOST_TURNS"]

_BACKEND = "src/krakenonce/backends/postgres/"
_TESTS = "tests/hosts/test_postgres_turns.py::"

HOST_TURNS = (
    Planted(
        "a user for whom the server warns of nothing uses nonces that no standby has",
        1,
        f"{_BACKEND}schema.py",
        was="set_config('client_min_messages', 'warning', false)",
        becomes="set_config('client_min_messages', current_setting('client_min_messages'), false)",
        test=f"{_TESTS}test_a_nonce_that_a_standby_did_not_confirm_is_not_used_though_the_user_wants_no_warnings",
    ),
    Planted(
        "a step that gets no answer is cancelled, and stored",
        1,
        f"{_BACKEND}session.py",
        was="        finally:\n            if not done:  # also after",
        becomes=(
            "        finally:\n"
            "            if not done:\n"
            "                pg.get_cancel().cancel()\n"
            "            if not done:  # also after"
        ),
        test=f"{_TESTS}test_a_step_that_gets_no_answer_is_not_cancelled",
    ),
    Planted(
        "a nonce that came with a turn is of any counter",
        4,
        f"{_BACKEND}gate.py",
        was="if came is None or came[0] != scope or not self.held",
        becomes="if came is None or not self.held",
        test=f"{_TESTS}test_a_nonce_that_came_with_a_turn_is_of_the_counter_that_was_meant",
    ),
    Planted(
        "the turn is looked at before the nonce is taken from PostgreSQL",
        10,
        f"{_BACKEND}gate.py",
        was="                return self._session.run(statement, *values)\n",
        becomes=(
            '                self._session.run("select 1")\n'
            "                return self.link.write(statement, *values)\n"
        ),
        test=f"{_TESTS}test_the_look_at_the_turn_and_the_nonce_are_one_step",
    ),
    Planted(
        "a nonce that came with a turn is used after the server has ended the session",
        10,
        f"{_BACKEND}gate.py",
        was="self._session is not None and self._session.is_quiet() else",
        becomes="self._session is not None else",
        test=f"{_TESTS}test_a_nonce_that_came_with_a_turn_is_not_used_after_the_server_has_ended_it",
    ),
    Planted(
        "a turn that was not held is released as if it had been",
        10,
        f"{_BACKEND}session.py",
        was="            if not right:\n",
        becomes="            if right is None:\n",
        test=f"{_TESTS}test_a_session_that_says_that_it_did_not_have_the_turn_is_not_used_again",
    ),
    Planted(
        "turns share a session",
        10,
        f"{_BACKEND}gate.py",
        was="        session = connect(self.link.server, my_name(), self.pause)\n",
        becomes=(
            "        session = next((each._session for each in _open if each._session), None)\n"
            "        session = session or connect(self.link.server, my_name(), self.pause)\n"
        ),
        test=f"{_TESTS}test_each_turn_has_a_session_of_its_own",
    ),
    Planted(
        "the server waits for a host that was cut off until the system gives up",
        10,
        f"{_BACKEND}schema.py",
        was="set_config('tcp_user_timeout', '4000', false)",
        becomes="set_config('tcp_user_timeout', '0', false)",
        test=f"{_TESTS}test_a_host_that_was_cut_off_is_given_up_on_both_sides",
    ),
    Planted(
        "a host waits for a server that was cut off until the system gives up",
        10,
        f"{_BACKEND}server.py",
        was='"tcp_user_timeout": b"4000",',
        becomes='"tcp_user_timeout": b"0",',
        test=f"{_TESTS}test_a_host_that_was_cut_off_is_given_up_on_both_sides",
    ),
)
