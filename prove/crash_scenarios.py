"""What the file backend may be doing when it crashes. A scenario: what was before, and what its last process does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prove.host import MARK, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from prove.host import Host

__all__ = ["SCENARIOS", "Scenario"]

SECOND = 1_000_000_000
_SLOT = 4096  # the offset of the second one


class Scenario(NamedTuple):
    """One thing to crash in.

    Args:
        name: For the report.
        before: What has happened without a crash; the processes that shall run are left running.
        act: What the crash interrupts, done by the last process, which it may have to start.
        inside: Whether a crash or an error within it is promised to be harmless, and not only one after it.
        reports: Whether each failing call is reported as an error.
    """

    name: str
    before: Callable[[Host], object]
    act: Callable[[Host], object]
    inside: bool = True
    reports: bool = True


def _nothing(_: Host) -> None:
    pass


def _first(host: Host) -> None:
    host.next(host.start())


def _running(host: Host) -> None:
    process = host.start()
    for _ in range(2):
        host.next(process)
        host.clock.pass_time(6)


def _stopped(host: Host) -> None:
    _running(host)
    host.kill(host.processes[-1])


def _exited(host: Host) -> None:
    _running(host)
    _exit(host)


def _exited_and_rebooted(host: Host) -> None:
    _exited(host)
    host.cut_power(host.disk.image(), -1000)


def _exit(host: Host) -> None:
    host.exit(host.processes[-1])


def _exit_and_restart(host: Host) -> None:
    _exit(host)
    _first(host)


def _rebooted(host: Host) -> None:
    _running(host)
    host.cut_power(host.disk.image(), -1000)


def _rebooted_with_an_old_text(host: Host) -> None:
    process = host.start()
    texts = [b"%d" % host.next(process) for _ in range(3)]
    host.cut_power({**host.disk.image(), TEXT: texts[0]}, -1000)


def _two(host: Host) -> None:
    _running(host)
    host.next(host.start())
    host.clock.pass_time(11)


def _next(host: Host) -> None:
    host.next(host.processes[-1])


def _several(host: Host) -> None:
    for seconds in (0, 0, 11, -3600, 11):
        host.clock.pass_time(max(seconds, 0))
        host.clock.step(min(seconds, 0))
        host.next(host.processes[-1])


def _floor(host: Host) -> None:
    host.raise_floor(host.processes[-1] if host.processes else host.start(), host.clock.now_ns() + 10**15)
    _next(host)


def _floor_below_the_mark(host: Host) -> None:
    host.raise_floor(host.processes[-1], host.clock.now_ns() + SECOND)
    host.clock.step(-100)
    _next(host)


def _damaged(name: str, data: bytes, offset: int | None = None) -> Callable[[Host], None]:
    def before(host: Host) -> None:
        _stopped(host)
        host.slot_lost = name == MARK
        host.disk.damage(name, data, offset)

    return before


def _without(*names: str) -> Callable[[Host], None]:
    def act(host: Host) -> None:
        for name in names:
            host.disk.delete(name)
        host.clock.step(-100)
        _next(host)

    return act


def _made_again(host: Host) -> None:
    """Two processes have closed their files; the second makes new ones, and is killed in it."""
    first, second = host.start(), host.start()
    for process in (first, second):
        host.next(process)
    with host.disk.mounted():
        first.close()
        second.close()
    _write_back(host)
    host.disk.delete(MARK)


def _both_slots_broken(host: Host) -> None:
    _damaged(MARK, b"broken")(host)
    _write_back(host)


def _write_back(host: Host) -> None:
    """Time passes, and the cache writes the nonce file to the disk: otherwise nothing would be left of the nonce."""
    host.disk.damage(TEXT, b"%d" % (host.highest or 0))


def _text_gone(host: Host) -> None:
    _stopped(host)
    host.disk.delete(TEXT)


SCENARIOS = [
    Scenario("the first nonce in a new directory", _nothing, _first),
    Scenario("a restart", _stopped, _first),
    Scenario("a restart after an exit", _exited, _first),
    Scenario("a restart after a reboot", _rebooted, _first),
    Scenario("a restart after an exit and a reboot", _exited_and_rebooted, _first),
    Scenario("the exit of the only process", _running, _exit_and_restart, reports=False),
    Scenario("the exit of one of two processes", _two, _exit_and_restart, reports=False),
    Scenario("a restart after a reboot with an old nonce file", _rebooted_with_an_old_text, _first),
    Scenario("the mark is raised", _running, _next),
    Scenario("the mark is raised beside another process", _two, _next),
    Scenario("several nonces and raises of the mark", _running, _several),
    Scenario("a floor in a new directory", _nothing, _floor),
    Scenario("a floor beyond the mark", _running, _floor),
    Scenario("a floor beyond the mark after a restart", _stopped, _floor),
    Scenario("a floor below the mark", _running, _floor_below_the_mark),
    Scenario("the first slot is broken", _damaged(MARK, b"\xff" * 512, 0), _first),
    Scenario("the second slot is broken", _damaged(MARK, b"\xff" * 512, _SLOT), _first),
    Scenario("both slots are broken", _both_slots_broken, _first),
    Scenario("the nonce file is garbage", _damaged(TEXT, b"see the backup of yesterday"), _first),
    Scenario("the nonce file is gone", _text_gone, _first),
    Scenario("the nonce file is deleted under a running process", _running, _without(TEXT)),
    Scenario("the mark is deleted under a running process", _running, _without(MARK), inside=False),
    Scenario("the mark is deleted and made again by a process that is killed", _made_again, _next),
    Scenario("both are deleted under a running process", _running, _without(MARK, TEXT), inside=False),
]
