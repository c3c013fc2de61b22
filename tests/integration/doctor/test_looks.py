"""What the doctor looks at, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce.doctor import processes, state
from krakenonce.doctor.examining import examine
from krakenonce.journal.event import Event, to_line
from krakenonce.journal.file import JournalFile
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.doctor.conftest import World


def everything_in(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in the files of a directory, and when each was changed."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_state_that_is_not_there_is_not_made(world: World) -> None:
    """The doctor says that nobody has used it: that is fine, or its name has a slip."""
    code, said = world.doctor()
    assert (code, said["is_fine"], said["state"]["is_begun"]) == (0, True, False)
    assert said["verdict"].startswith("nothing is wrong, but no program has used this state yet")
    assert world.shell.run("doctor").out.startswith(said["verdict"])
    assert not world.state.exists()


def test_a_state_that_cannot_be_made_is_wrong(world: World) -> None:
    """As the programs that name it are told."""
    world.other_state.write_text("a file")
    code, said = world.doctor("--state", str(world.other_state / "state"))
    (finding,) = said["findings"]
    assert (code, finding["cause"], finding["certainty"]) == (1, "state", "sure")
    assert "may not make it" in finding["what"]


def test_the_doctor_changes_nothing_and_issues_no_nonce(world: World) -> None:
    """Also with refusals, limits and a lockout to look at."""
    bot = world.bot("ours")
    assert bot() == []
    world.fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    bot()
    bot.end()
    before = everything_in(world.state)
    assert world.causes() == ["locked_out"]
    assert everything_in(world.state) == before
    assert len(world.fake.arrivals) == 2


def test_only_our_variables_of_a_process_are_read(world: World) -> None:
    """Their names, and no value but the state's name: no secret, and no other variable."""
    bot = world.bot()
    found = processes.variables_of(bot.process.pid)
    assert found == {"KRAKENONCE_STATE_DIR": str(world.state)}
    (seen,) = [each for each in processes.running() if each.pid == bot.process.pid]
    assert seen.variables == ("KRAKENONCE_STATE_DIR",)
    assert "never-look-at-this" not in repr(seen)
    done = world.shell.run("doctor", "--json")
    assert "never-look-at-this" not in done.out + done.err
    assert "HOME" not in done.out


def test_a_password_of_a_state_s_url_is_not_shown(world: World) -> None:
    """Of another process's variable, either."""
    world.shell.env["KRAKENONCE_STATE_DIR"] = "etcd://bot:pass-word@127.0.0.1:1"
    command = [sys.executable, "-c", "print('ready', flush=True); input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=world.shell.env, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (seen,) = [each for each in processes.running() if each.pid == process.pid]
        process.kill()
    assert "127.0.0.1:1" in seen.named
    assert "pass-word" not in repr(seen)


def test_a_shell_that_passes_the_variable_on_uses_no_state(world: World) -> None:
    """Only what runs Python, or has files of a state open, is named."""
    with subprocess.Popen(["sleep", "60"], env=world.shell.env) as process:  # noqa: S607 - any sleep will do
        assert process.pid not in [each.pid for each in processes.running()]
        process.kill()


def test_another_process_s_state_is_seen(world: World) -> None:
    """By its open files, whatever its variables are."""
    bot = world.bot(state=world.other_state)
    assert bot() == []
    (seen,) = [each for each in processes.running() if each.pid == bot.process.pid]
    assert seen.states == (str(world.other_state),)
    assert seen.lanes[str(world.other_state)]


def test_the_usual_state_is_empty_and_the_programs_use_another_one(world: World) -> None:
    """Somebody who looks without a name is told where to look."""
    bot = world.bot()
    assert bot() == []
    del world.shell.env["KRAKENONCE_STATE_DIR"]
    world.shell.env["XDG_STATE_HOME"] = str(world.other_state)
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"]) == (1, "another_state")
    assert all(line.startswith("krakenonce doctor --state ") for line in finding["do"])


def test_a_process_that_has_got_the_id_of_another_one_is_not_taken_for_it() -> None:
    """One that began after the event is another one."""
    now = time.time()
    assert processes.alive([(os.getpid(), now), (2**22 + 1, now)]) == {os.getpid()}
    assert processes.alive([(os.getpid(), now - 10 * 365 * 86_400)]) == frozenset()


def test_the_report_is_for_people(world: World) -> None:
    """The verdict first, then each finding with what was seen and what to do, then the rest."""
    world.fake.faults.add("Balance", "error", error="EGeneral:Permission denied")
    bot = world.bot()
    bot()
    done = world.shell.run("doctor")
    lines = done.out.splitlines()
    assert done.code == 1
    assert done.err == ""
    assert lines[0].startswith("1 thing is wrong: key ")
    assert any(line.startswith("1. key ") for line in lines)
    assert any(line.startswith("   seen: by bot.py ") and "(still runs) 1 time" in line for line in lines)
    assert any(line.startswith("   do:   ") for line in lines)
    assert f"state: {world.state}, for host: $KRAKENONCE_STATE_DIR names it" in lines


def test_what_was_before_is_not_looked_at(world: World) -> None:
    """A day, or as --since says."""
    old = Event(time.time() - 2 * 86_400, "permission", key="k", method="Balance", text="EGeneral:Permission denied")
    JournalFile(world.state / "journal").append(to_line(old))
    assert world.causes() == []
    assert world.causes("--since", "3d") == ["permission"]


def test_a_key_needs_online(world: World) -> None:
    """Wrong usage is exit code 2."""
    assert "--key needs --online" in world.shell.fails(2, "doctor", "--key", "bob")


def test_a_lockout_that_only_the_state_knows_of_is_seen(world: World) -> None:
    """The journal was deleted. It is said until when."""
    world.fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    bot = world.bot()
    bot()
    bot.end()
    shutil.rmtree(world.state / "journal")
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"]) == (1, "locked_out")
    assert "nothing is sent for another 14 minutes" in finding["evidence"][0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write there")
def test_a_state_that_another_user_owns_can_be_looked_at(world: World) -> None:
    """What root sees is what there is."""
    bot = world.bot()
    assert bot() == []
    os.chown(world.state, 12345, 12345)
    code, said = world.doctor()
    assert code == 0
    assert "owner uid 12345" in said["state"]["details"]["permissions"]


def test_a_directory_that_is_none(world: World) -> None:
    """A file in its place is what is wrong."""
    world.state.write_text("")
    assert world.causes() == ["state"]


def test_each_file_of_a_state_is_opened_a_few_times_at_most(tmp_path: Path) -> None:
    """The work grows with the counters, and the journal is read once: with a thousand of them it takes no second."""
    with NonceManager(tmp_path / "state") as manager:
        for number in range(50):
            manager.next(f"counter-{number}")
            with manager.lane(f"key-{number}"):
                pass
    event = Event(time.time(), "refused", key="k", method="Balance", text="EOrder:x", pid=1)
    JournalFile(tmp_path / "state" / "journal").append(to_line(event) * 2000)
    code = """
import sys, time
from krakenonce.doctor.examining import examine
from krakenonce.manager import NonceManager
opened = []
place = sys.argv[1]
manager = NonceManager(place)
sys.addaudithook(lambda name, args: opened.append(str(args[0])) if name == "open" else None)
facts = examine(manager, "", 0.0, time.time())
ours = [each for each in opened if each.startswith(place)]
print(len(facts.state.counters), facts.history.lines, len(ours), sum("events.jsonl" in each for each in ours))
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "state"], check=True, capture_output=True, text=True)
    counters, lines, opened, journals = map(int, done.stdout.split())
    assert (counters, lines) == (50, 2000)
    assert opened <= 50 * 4 + 10
    assert journals <= 2


def test_a_lane_that_is_free_is_not_taken_for_held(world: World) -> None:
    """Its file still says who had it last."""
    bot = world.bot()
    assert bot() == []
    with NonceManager(world.state) as manager:
        assert examine(manager, "", 0.0, time.time()).state.held == ()
        with manager.lane(world.account.key):
            assert len(state.seen(manager, "", time.time()).held) == 1
