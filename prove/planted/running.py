"""Bugs in what ``krakenonce run`` and ``guard_method()`` do. Promise 10."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["RUNNING"]

_TEST = "tests/integration/cli/test_run.py::test_"
_CLOCK = "src/krakenonce/guards/clock.py"
_CHILDREN = "src/krakenonce/running/children.py"

RUNNING = (
    Planted(
        "a guarded typed-kraken gives the turn back before the answer is in",
        10,
        "src/krakenonce/guards/typed_kraken.py",
        was="params=data or {}):\n        return await send(path, data, **how)\n",
        becomes="params=data or {}):\n        pass\n    return await send(path, data, **how)\n",
        test="tests/runtimes/test_other_clients.py::test_a_client_that_few_know_takes_its_turn[typed_kraken]",
    ),
    Planted(
        "a run does not guard clients that make their nonce from a clock",
        10,
        "src/krakenonce/running/hook.py",
        was="name not in CLIENTS and name not in CLOCKS and",
        becomes="name not in CLIENTS and",
        test="tests/runtimes/test_other_clients.py::test_two_programs_with_a_clock_share_a_key[cryptobob-run]",
    ),
    Planted(
        "another version of a client with a clock breaks its program in a run",
        10,
        "src/krakenonce/running/hook.py",
        was="TypeError, ConfigError):",
        becomes="TypeError):",
        test=f"{_TEST}another_program_with_the_name_of_a_client_is_left_alone",
    ),
    Planted(
        "spawned children of a run are not guarded",
        10,
        "src/krakenonce/running/hook.py",
        was="    sys.meta_path.insert(0, _Finder())\n",
        becomes='    if "--multiprocessing-fork" not in sys.orig_argv:\n        sys.meta_path.insert(0, _Finder())\n',
        test=f"{_TEST}spawned_workers_are_guarded",
    ),
    Planted(
        "a subclass that sets its own nonce undoes the guard of a run",
        10,
        "src/krakenonce/running/hook.py",
        was="        _wrap_init(sub, kind)\n",
        becomes="",
        test=f"{_TEST}a_program_that_does_not_know_krakenonce_is_guarded[with_krakenex]",
    ),
    Planted(
        "a run takes the manager from a client that the program has guarded itself",
        10,
        "src/krakenonce/running/hook.py",
        was="    if turns_of(client) is None:  # its own constructor may have guarded it, with a manager\n",
        becomes="    if True:\n",
        test=f"{_TEST}a_client_that_its_constructor_guards_keeps_its_manager",
    ),
    Planted(
        "a sitecustomize of the user is lost in a run",
        10,
        "src/krakenonce/running/site/sitecustomize.py",
        was="        _user_s_own()\n",
        becomes="        pass\n",
        test=f"{_TEST}a_sitecustomize_of_the_user_still_runs",
    ),
    Planted(
        "a run counts no calls",
        10,
        "src/krakenonce/guards/turns.py",
        was="                self._count()\n",
        becomes="                pass\n",
        test=f"{_TEST}calls_of_a_killed_process_are_counted",
    ),
    Planted(
        "a forked child of a run goes on with its parent's numbers",
        10,
        "src/krakenonce/running/tally.py",
        was="key = kind, os.getpid()",
        becomes="key = kind, 0",
        test=f"{_TEST}all_processes_of_a_program_share_the_turns",
    ),
    Planted(
        "a run starts a Python that ignores it",
        10,
        "src/krakenonce/cli/run.py",
        was="    if option := ignores_us(command):\n",
        becomes="    if option := ignores_us(()):\n",
        test=f"{_TEST}a_python_that_would_ignore_us_is_not_started",
    ),
    Planted(
        "a run does not look into the first line of a script",
        10,
        _CHILDREN,
        was='    words = line.decode(errors="replace").split()\n',
        becomes="    words: list[str] = []\n",
        test=f"{_TEST}a_python_that_would_ignore_us_is_not_started[isolated]",
    ),
    Planted(
        "a run does not warn of a child that cannot be guarded",
        10,
        _CHILDREN,
        was="        sys.stderr.write(line)\n",
        becomes="        pass\n",
        test=f"{_TEST}a_child_that_cannot_be_guarded_is_warned_about",
    ),
    Planted(
        "a run passes no signal on",
        10,
        "src/krakenonce/cli/run.py",
        was="            running[0].send_signal(number)\n",
        becomes="            pass\n",
        test=f"{_TEST}a_signal_is_passed_on[SIGTERM]",
        hangs=40.0,
    ),
    Planted(
        "a guarded method gives the turn back before the answer is in",
        10,
        _CLOCK,
        was="  with turns.lane(key, method=method.__name__):\n            current",
        becomes="  with turns.lane(key, method=method.__name__):\n            pass\n        if 1:\n            current",
        test="tests/integration/guard/test_clock.py::test_the_turn_is_held_until_the_answer_is_there",
    ),
    Planted(
        "a nonce of a guarded clock loses its last digits",
        10,
        _CLOCK,
        was="    def __float__(self) -> float:\n        return _refuse()\n",
        becomes="",
        test="tests/integration/guard/test_clock.py::test_a_nonce_that_would_lose_digits_is_not_sent",
    ),
)
