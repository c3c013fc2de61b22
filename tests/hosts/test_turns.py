"""One turn at a time over all hosts: in the order of asking, with nonces that no one takes who has lost the turn."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager
from krakenonce.errors import LaneTimeout, TurnLost
from tests.hosts.engines import open_state
from tests.integration.key.helpers import in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hosts.engines import Engine
    from tests.hosts.servers import Host


@pytest.fixture
def manager(engine: Engine) -> NonceManager:
    """One on the state."""
    return NonceManager(engine.url)


def test_a_holder_that_was_paused_before_its_nonce_gets_none(host: Callable[..., Host]) -> None:
    """When it wakes, another one has the turn; its nonce would make Kraken refuse the other one's call."""
    paused, other = host(pause=1.5), host()
    assert paused.ask("nonce key").isdigit()  # all is open that it needs
    assert paused.ask("enter key") == "entered"
    paused.signal(signal.SIGSTOP)
    assert other.ask("enter key") == "entered"
    nonce = other.ask("nonce key")
    paused.signal(signal.SIGCONT)
    assert paused.ask("nonce key").startswith("TurnLost: the turn ")
    assert other.ask("leave") == "left"
    assert [paused.ask("leave"), paused.ask("enter key")] == ["left", "entered"]  # and tries again
    assert int(paused.ask("nonce key")) > int(nonce)


def test_a_turn_that_was_cut_off_gives_no_nonce_and_can_be_had_again(engine: Engine, manager: NonceManager) -> None:
    """The error says that nothing was sent; a new turn is as any other."""
    with manager.lane("key"):
        before = manager.next_for("key")
        assert engine.end_turns() == 1
        with pytest.raises(TurnLost, match="nothing was sent, and the call may be tried again") as lost:
            manager.next_for("key")
        assert lost.value.may_have_executed == "no"
        with pytest.raises(TurnLost):  # and not with a new connection
            manager.next_for("key")
    with manager.lane("key"):
        assert manager.next_for("key") > before


def test_a_task_s_turn_is_checked_as_a_thread_s_is(engine: Engine, manager: NonceManager) -> None:
    """And another task has its own."""

    async def lose() -> None:
        async with manager.lane("key"):
            await asyncio.to_thread(engine.end_turns)
            with pytest.raises(TurnLost):
                manager.next_for("key")

    async def lose_and_go_on() -> None:
        await asyncio.create_task(lose())
        async with manager.lane("key"):
            assert manager.next_for("key")

    asyncio.run(lose_and_go_on())


def test_no_turn_is_needed_for_a_nonce_and_another_one_s_is_not_asked_for(
    engine: Engine, manager: NonceManager
) -> None:
    """Who holds no lane is not fenced, even if another thread of the process has lost one."""
    taken: list[int] = []
    with manager.lane("key"):
        engine.end_turns()
        join([in_thread(lambda: taken.append(manager.next_for("key")))])
    assert len(taken) == 1


def test_all_turns_of_a_caller_are_checked(engine: Engine, manager: NonceManager) -> None:
    """Also the first of two."""
    with manager.lane("one"):
        engine.end_turns()
        with manager.lane("two"), pytest.raises(TurnLost):
            manager.next()


def test_a_turn_lasts_as_long_as_its_holder_lives(engine: Engine) -> None:
    """A thread says so for it, while it waits for Kraken's answer. Some servers show their clock in whole seconds."""
    manager = NonceManager(open_state(pause=1.5))
    other = NonceManager(engine.url.replace("127.0.0.1", "localhost"))  # a queue of its own
    with manager.lane("key"):
        with pytest.raises(LaneTimeout, match=r"was not free within 3.5 s: process \d+ has held it for [2-4]\.\d s"):
            in_thread_raised(lambda: other.lane("key", timeout=3.5).acquire())
        assert manager.next_for("key")
    other.close()


def in_thread_raised(work: Callable[[], object]) -> None:
    """Do it in another thread, and raise what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    join([in_thread(run)])
    if raised:
        raise raised[0]


def test_hosts_get_the_turn_in_the_order_of_asking(engine: Engine, host: Callable[..., Host]) -> None:
    """One that comes back at once is the last; one that was killed while it waited is left out."""
    first, *others = hosts = [host() for _ in range(4)]
    assert first.ask("enter key") == "entered"
    for count, each in enumerate(others, 1):
        each.begin("enter key")
        until(partial(lambda wanted: engine.waiting() == wanted, count))
    others[1].kill()
    first.begin("leave")
    first.begin("enter key")
    for each in (others[0], others[2]):
        assert each.hear() == "entered"
        assert each.ask("leave") == "left"
    assert [first.hear(), first.hear()] == ["left", "entered"]
    assert len(hosts) == 4


def test_a_killed_holder_s_turn_is_free_though_its_child_lives(host: Callable[..., Host]) -> None:
    """The child has given back what it inherited."""
    holder, other = host(), host()
    assert holder.ask("enter key") == "entered"
    child = int(holder.ask("fork"))
    try:
        holder.signal(signal.SIGKILL)
        assert other.ask("enter key") == "entered"
    finally:
        end(child)


def test_a_child_that_ends_leaves_its_parent_s_turn_alone(host: Callable[..., Host]) -> None:
    """However it ends."""
    holder = host()
    assert holder.ask("enter key") == "entered"
    end(int(holder.ask("fork")))
    assert holder.ask("nonce key").isdigit()
    assert holder.ask("leave") == "left"


def end(pid: int) -> None:
    """Kill a process that another one has started."""
    os.kill(pid, signal.SIGKILL)


def test_a_turn_of_another_host_is_told_from_ours(manager: NonceManager, host: Callable[..., Host]) -> None:
    """Who waits in vain is told which process has it."""
    holder = host()
    assert manager.lane("key").holder() == "nobody holds it"
    assert holder.ask("enter key") == "entered"
    said = manager.lane("key").holder()
    assert said.startswith((f"process {holder.pid} has held it for 0.", f"process {holder.pid} has held it for 1."))


def test_turns_and_nonces_of_hosts_that_are_killed_and_stopped(host: Callable[..., Host], tmp_path: Path) -> None:
    """The order of the turns is the order of the nonces; what is killed or paused in between takes nothing back."""
    log = tmp_path / "log"
    log.touch()
    hosts = [host(ahead=ahead, pause=0.5) for ahead in (-3600.0, 0.0, 3600.0, 0.0, 0.0)]
    for each in hosts:
        each.begin(f"turns 40 {log}")
    until(lambda: log.read_bytes().count(b"\n") > 30)
    hosts[3].kill()
    hosts[4].signal(signal.SIGSTOP)
    assert [each.hear() for each in hosts[:3]] == ["done"] * 3
    hosts[4].signal(signal.SIGCONT)
    assert hosts[4].hear() == "done"
    lines = [(int(pid), int(nonce)) for pid, nonce in map(str.split, log.read_text().splitlines())]
    late = [at for at, (pid, nonce) in enumerate(lines) if any(earlier > nonce for _, earlier in lines[:at])]
    assert len(lines) >= 160
    assert len({nonce for _, nonce in lines}) == len(lines)
    assert [lines[at][0] for at in late] in ([], [hosts[4].pid])  # stopped when it had its nonce, it wrote it late
