"""Bugs in how a turn belongs to callers of other libraries, and in how they wait. Promise 10, judged by whole programs.

The tests need what ``make test-integrations`` installs.
"""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["RUNTIMES"]

_BELLS = "src/krakenonce/key/bells.py"
_CALLERS = "src/krakenonce/key/callers.py"
_GREENLETS = "tests/runtimes/test_greenlets.py"

RUNTIMES = (
    Planted(
        "a greenlet of gevent waits in the kernel",
        10,
        _BELLS,
        was="    return module.get_hub_if_exists() if module is not None else None\n",
        becomes="    return None\n",
        test=f"{_GREENLETS}::test_a_wait_lets_others_go_on[gevent]",
    ),
    Planted(
        "a greenlet of eventlet waits in the kernel",
        10,
        _BELLS,
        was='    return getattr(module._threadlocal, "hub", None) if module is not None else None\n',
        becomes="    return None\n",
        test=f"{_GREENLETS}::test_a_wait_lets_others_go_on[eventlet]",
    ),
    Planted(
        "all greenlets of a thread are one caller",
        10,
        _CALLERS,
        was="    return None if current is None or current.parent is None else current\n",
        becomes="    return None\n",
        test=f"{_GREENLETS}::test_greenlets_of_a_partly_patched_program[gevent socket-krakenex]",
    ),
    Planted(
        "a task of trio is its thread",
        10,
        _CALLERS,
        was='    return sys.modules["trio.lowlevel"].current_task() if in_trio() else None\n',
        becomes="    return None\n",
        test="tests/runtimes/test_trio.py::test_tasks_take_turns[async]",
    ),
    Planted(
        "a coroutine of Tornado is the task that has called it",
        10,
        _CALLERS,
        was="        return get_ident() if task is None or _is_tornado_s() else task\n",
        becomes="        return get_ident() if task is None else task\n",
        test="tests/runtimes/test_generators.py::test_two_generators_never_have_the_turn[tornado_lane task]",
    ),
    Planted(
        "Twisted's coroutines share a turn",
        10,
        _CALLERS,
        was='        return "Twisted"\n',
        becomes='        return ""\n',
        test="tests/runtimes/test_generators.py::test_two_generators_never_have_the_turn[twisted_lane]",
    ),
)
