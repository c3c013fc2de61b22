"""Bugs in the turn: lanes, the global API lock, and the broker that holds it. Promise 10, and 7 for its nonces."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["LANES"]

_GATE = "src/krakenonce/backends/file/gate.py"
_HOLDER = "src/krakenonce/backends/file/holder.py"
_CONTAINERS = "tests/integration/test_containers.py"
_QUEUE = "src/krakenonce/key/waiting.py"
_BROKER = "src/krakenonce/brokers/broker.py"
_KRAKENEX = "src/krakenonce/guards/krakenex.py"
_TURN = "src/krakenonce/key/queue_order.py"

LANES = (
    Planted(
        "the lane's lock is shared",
        10,
        _GATE,
        was="from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock\n",
        becomes="from fcntl import LOCK_NB, LOCK_UN, flock\nfrom fcntl import LOCK_SH as LOCK_EX\n",
        test="tests/integration/test_global_manager.py::test_the_lock_excludes_other_processes",
    ),
    Planted(
        "each manager has a lane of its own",
        10,
        "src/krakenonce/key/lane.py",
        was="        queue = _recent.pop(gate, None) or _queues.get(gate)\n",
        becomes="        queue = None\n",
        test="tests/integration/key/test_backends.py::test_two_managers_over_one_state_share_a_key_s_lane",
    ),
    Planted(
        "the lane is not locked at all",
        10,
        _GATE,
        was="        flock(self._fd, LOCK_EX | LOCK_NB)\n        return 0\n",
        becomes="        return 0\n",
        test="tests/integration/test_global_manager.py::test_the_lock_excludes_other_processes",
    ),
    Planted(
        "a lane whose file was replaced is entered",
        10,
        _GATE,
        was="                if self._files.is_at_path(self._fd):\n",
        becomes="                if self._fd >= 0:\n",
        test="tests/integration/key/test_processes.py::test_a_lost_file_is_replaced",
    ),
    Planted(
        "seconds of another container's clock are told",
        10,
        _HOLDER,
        was=" if clock == our_clock and seconds >= 0 else",
        becomes=" if clock else",
        test=f"{_CONTAINERS}::test_what_cannot_be_compared_is_not_said",
    ),
    Planted(
        "a process id of another container is told",
        10,
        _HOLDER,
        was="    if processes != our_processes:\n",
        becomes="    if not processes:\n",
        test=f"{_CONTAINERS}::test_what_cannot_be_compared_is_not_said",
    ),
    Planted(
        "a process that has ended is to be ended",
        10,
        _HOLDER,
        was="    if not _has_ended(int(pid)):\n",
        becomes="    if int(pid) > 0:\n",
        test=f"{_CONTAINERS}::test_a_holder_that_has_ended_is_not_to_be_ended",
    ),
    Planted(
        "a forked child ends its parent's turn",
        10,
        _GATE,
        was="        self._files.close()\n",
        becomes="        if self._fd >= 0:\n            flock(self._fd, LOCK_UN)\n        self._files.close()\n",
        test="tests/integration/key/test_fork.py::test_leaving_an_inherited_block_leaves_the_parent_in_its_turn",
    ),
    Planted(
        "a forked child has its parent's turn",
        10,
        _QUEUE,
        was="        self._gate.abandon()\n        self._turn = Turn()\n",
        becomes="        self._turn = Turn()\n",
        test="tests/integration/key/test_fork.py::test_a_child_does_not_hold_its_parents_turn",
    ),
    Planted(
        "the turn is taken while another thread has it",
        10,
        _TURN,
        was='return "try" if holder is None and self.fetcher is None else None',
        becomes='return "try" if self.fetcher is None else None',
        test="tests/integration/test_global_manager.py::test_the_lock_excludes_other_threads",
    ),
    Planted(
        "the last caller in the queue goes first",
        10,
        _TURN,
        was="        for each in self.waiting:\n            if each.claim is None",
        becomes="        for each in reversed(self.waiting):\n            if each.claim is None",
        test="tests/integration/key/test_threads.py::test_threads_come_in_the_order_of_asking",
    ),
    Planted(
        "an urgent call waits behind other processes",
        10,
        _GATE,
        was="            while urgent_turns(self._fd) < _MOST and not _is_free(urgent):\n",
        becomes="            while urgent_turns(self._fd) > _MOST and not _is_free(urgent):\n",
        test="tests/integration/key/test_urgent.py::test_an_urgent_call_goes_before_other_processes_that_wait",
        hangs=12,
    ),
    Planted(
        "urgent calls let no other have a turn",
        10,
        _GATE,
        was="        return min(turns + 1, _MOST)\n\n    def _wait",
        becomes="        return 0\n\n    def _wait",
        test="tests/integration/key/test_urgent.py::test_what_is_not_urgent_has_every_tenth_turn",
    ),
    Planted(
        "urgent calls let no other of their process have a turn",
        10,
        _TURN,
        was="                if not (each.urgent and enough):\n",
        becomes="                if each.urgent or not enough:\n",
        test="tests/unit/key/test_queue_order.py::test_what_is_not_urgent_has_every_tenth_turn",
    ),
    Planted(
        "an urgent call waits for ever behind a process that is stopped",
        10,
        _GATE,
        was="            for _ in range(_LOOKS):\n",
        becomes="            while True:\n",
        test="tests/integration/key/test_urgent.py::"
        "test_an_urgent_call_does_not_wait_for_a_process_that_is_stopped_in_the_line",
        hangs=8,
    ),
    Planted(
        "a call gets the turns of two keys",
        10,
        _TURN,
        was='        return self._of.setdefault("turn", turn) is turn  # one step for all threads\n',
        becomes="        return True\n",
        test="tests/unit/key/test_queue_order.py::test_a_call_claims_the_first_of_several_turns",
    ),
    Planted(
        "a call keeps its place in the lanes of the other keys",
        10,
        "src/krakenonce/key/any_lane.py",
        was="            if place != but:\n                queue.give_up(waiter)\n",
        becomes="            if place != but and but is None:\n                queue.give_up(waiter)\n",
        test="tests/integration/key/test_any_lane.py::test_the_first_turn_that_comes_is_taken_and_no_other_is_kept",
        hangs=8,
    ),
    Planted(
        "who holds the lane waits for itself",
        10,
        _TURN,
        was="        if holder is not None and holder.owner == waiter.owner:\n",
        becomes="        if holder is not None and holder is waiter:\n",
        test="tests/integration/key/test_threads.py::test_the_holder_may_enter_again",
        hangs=8,
    ),
    Planted(
        "leaving an inner block ends the turn",
        10,
        _TURN,
        was="        self.holder = holder.outer\n",
        becomes="        self.holder = None\n",
        test="tests/integration/key/test_threads.py::test_the_holder_may_enter_again",
    ),
    Planted(
        "any caller can end another's turn",
        10,
        _TURN,
        was="        if holder is None or holder.owner != owner:\n",
        becomes="        if holder is None:\n",
        test="tests/integration/key/test_threads.py::test_only_the_holder_gives_the_turn_back",
    ),
    Planted(
        "a caller that has stopped waiting stays in the queue",
        10,
        _TURN,
        was="            self.waiting.remove(waiter)\n",
        becomes="            pass\n",
        test="tests/integration/key/test_threads.py::test_a_timeout_leaves_nothing_behind",
    ),
    Planted(
        "a task that is cancelled as its turn comes keeps it",
        10,
        _TURN,
        was="            self.holder = waiter.outer\n",
        becomes="            pass\n",
        test="tests/integration/key/test_tasks.py::test_a_task_cancelled_as_its_turn_comes_gives_it_back",
        hangs=8,
    ),
    Planted(
        "a block that fails keeps the lane",
        10,
        "src/krakenonce/key/lane.py",
        was="""\
    ) -> None:
        self._queue.release()

    async def __aenter__""",
        becomes="""\
    ) -> None:
        if kind is None:
            self._queue.release()

    async def __aenter__""",
        test="tests/integration/key/test_threads.py::test_a_block_that_fails_gives_the_lane_back",
    ),
    Planted(
        "a guarded call that fails keeps the turn",
        10,
        "src/krakenonce/guards/turns.py",
        was="        self._lane.release()\n        if answered",
        becomes="        if error is None:\n            self._lane.release()\n        if answered",
        test="tests/integration/guard/test_clients.py::test_a_call_that_fails_gives_the_lane_back",
    ),
    Planted(
        "a signal handler goes on in the middle of the lane's code that it has interrupted",
        10,
        "src/krakenonce/process.py",
        was="        if self.lock._is_owned():",
        becomes="        if not self.lock:",
        test="tests/integration/key/test_signal_handlers.py::test_a_handler_at_any_line_gets_the_turn_or_an_error[lane]",
        hangs=8,
    ),
    Planted(
        "a signal handler waits behind the thread that it has interrupted",
        10,
        "src/krakenonce/key/waiting.py",
        was="each.owner == waiter.owner and each.is_other(waiter) for turn",
        becomes="each.owner is None and each.is_other(waiter) for turn",
        test="tests/integration/key/test_signal_handlers.py::test_a_handler_of_a_waiting_thread_does_not_queue_behind_it",
        hangs=8,
    ),
    Planted(
        "an interrupt right after the turn has come leaves it taken",
        10,
        _QUEUE,
        was="            self._turn.give_up(waiter)\n            self._settle()\n",
        becomes="            self._settle()\n",
        test="tests/integration/key/test_threads.py::test_interrupted_right_after_the_turn_has_come",
    ),
    Planted(
        "a process with a queue of its own keeps the lane",
        10,
        _QUEUE,
        was="                if self._turn.leave(owner):\n",
        becomes="                if self._turn.leave(owner):\n"
        "                    if self._turn.holder is None and self._turn.waiting:\n"
        "                        self._came()\n",
        test="tests/integration/key/test_processes.py::test_a_process_does_not_keep_the_lane_to_itself",
    ),
    Planted(
        "an urgent call waits like any other",
        10,
        _TURN,
        was="        self.urgent = urgent\n",
        becomes="        self.urgent = False\n",
        test="tests/unit/key/test_queue_order.py::test_all_who_wait_get_the_turn_in_order",
    ),
    Planted(
        "an interrupted release keeps the others waiting",
        10,
        _QUEUE,
        was="            except BaseException:  # an interrupt: the other callers still need the turn\n"
        "                self._settle()\n",
        becomes="            except BaseException:\n",
        test="tests/integration/key/test_interrupts.py::test_an_interrupted_release_lets_the_next_caller_in",
        hangs=8,
    ),
    Planted(
        "a callback of an event loop walks into the turn of another",
        10,
        _QUEUE,
        was="        if library := event_loop_name():\n",
        becomes="        if library := '':\n",
        test="tests/integration/key/test_tasks.py::test_callbacks_of_a_loop_cannot_share_a_turn",
    ),
    Planted(
        "a loop that has one turn is stopped to wait for another",
        10,
        _QUEUE,
        was="        for queue in _busy.copy():\n",
        becomes="        for queue in (self,):\n",
        test="tests/integration/key/test_tasks.py"
        "::test_with_refuses_to_wait_while_a_task_of_its_loop_has_another_lane[True]",
    ),
    Planted(
        "a task that has one lane may not wait for another",
        10,
        _QUEUE,
        was="each.owner != waiter.owner and is_stopped_by_us",
        becomes="is_stopped_by_us",
        test="tests/integration/key/test_tasks.py::test_with_waits_although_its_own_task_has_another_lane",
    ),
    Planted(
        "a forked child waits for a thread of its parent's",
        10,
        "src/krakenonce/process.py",
        was="        each._after_fork()\n",
        becomes="        each._after_fork\n",
        test="tests/integration/key/test_fork.py::test_a_fork_in_the_middle_of_anothers_step",
        hangs=8,
    ),
    Planted(
        "the API lock excludes nobody",
        10,
        "src/krakenonce/global_manager.py",
        was="                lane.acquire()\n",
        becomes="                lane.name  # and nothing is taken\n                lane = None\n",
        test="tests/integration/test_global_manager.py::test_the_lock_excludes_other_threads",
    ),
    Planted(
        "a broker gives the turn back before the answer is in",
        10,
        _BROKER,
        was="""\
            if self._guard(api):
                return api.query_private(method, fields)
""",
        becomes="""\
            is_krakenex = self._guard(api)
        if is_krakenex:
            return api.query_private(method, fields)
        with contextlib.nullcontext():
""",
        test="tests/integration/brokers/test_broker.py::test_threads_and_processes_send_in_order",
    ),
    Planted(
        "a nonce is used for two calls of one client",
        7,
        _KRAKENEX,
        was="    return turns.next(client.key)\n",
        becomes="    client.given = vars(client).get('given') or turns.next(client.key)\n    return client.given\n",
        test="tests/integration/brokers/test_broker.py::test_a_nonce_is_issued_once",
    ),
    Planted(
        "the nonce of a failed call is used for the next one",
        7,
        _KRAKENEX,
        was="        # A copy, because krakenex writes the nonce into the caller's parameters.\n",
        becomes="        left = vars(client).setdefault('left', [])\n"
        "        left[:] = left or [turns.next(client.key)]\n"
        "        client._nonce = left.pop\n",
        test="tests/integration/brokers/test_broker.py::test_a_failed_call_leaves_no_nonce_behind",
    ),
    Planted(
        "more accounts are called at the same time than there are files for their lanes",
        10,
        "src/krakenonce/brokers/async_manager.py",
        was="asyncio.Semaphore(self._at_once)",
        becomes="asyncio.Semaphore(TASKS)",
        test="tests/integration/brokers/test_at_once.py::test_more_accounts_than_files_are_all_called[AsyncBrokerManager]",
    ),
)
