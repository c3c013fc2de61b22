"""Disks that are full, read-only or failing: a loud error, no number above the durable mark, and life goes on after."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from krakenonce.errors import NonceStoreError
from krakenonce.rule import WINDOW
from krakenonce.stores import FileStore, mark_file
from krakenonce.stores.filesystem import filesystem_of, sync
from krakenonce.stores.place import Place
from krakenonce.testing.clock import ManualClock

from ..lanes.helpers import open_files
from .helpers import finish, mark_path, read_slots, rising, start_python, take, text_path


class FailingSync:
    """A disk whose syncs fail when told to, once each."""

    def __init__(self) -> None:
        self.passing = 0  # how many go well before those that fail
        self.failing = 0
        self.seen: list[int] = []

    def __call__(self, fd: int) -> None:
        """Sync *fd*, or fail."""
        self.seen.append(fd)
        if self.passing:
            self.passing -= 1
        elif self.failing:
            self.failing -= 1
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingSync:
    """Syncs that can be made to fail; a real disk does not fail on demand."""
    failing = FailingSync()
    monkeypatch.setattr(mark_file, "sync", failing)
    return failing


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, mounted for this test, where that is allowed."""
    point = tmp_path / "small"
    point.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a file system")
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=64", "tmpfs", str(point)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a file system")
    yield point
    subprocess.run(["/usr/bin/umount", "-l", str(point)], check=True)


def fill(disk: Path) -> None:
    """Use up the last byte."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - the end of the loop, not what is tested


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_sync_is_loud_and_hands_out_nothing(
    state: Path, clock: ManualClock, disk: FailingSync, failing: int
) -> None:
    """Whichever slot's sync fails: an error that names the file, and no number above the old mark (invariant 6)."""
    store = FileStore(state, clock=clock)
    first = store.advance("global", clock.now_ns())
    covered = store.stats("global").mark
    clock.pass_time(3600)
    syncs = len(disk.seen)
    disk.failing = failing
    for _ in range(failing):
        with pytest.raises(NonceStoreError, match=r"make durable .*mark.*Input/output error"):
            store.advance("global", clock.now_ns())
    assert len(disk.seen) == syncs + failing
    assert text_path(state).read_text() == str(first)
    clock.step(-3600)
    assert covered is not None
    assert first < store.advance("global", clock.now_ns()) <= covered


@pytest.mark.parametrize("extensions", [1, 2])
def test_after_a_failed_sync_of_one_slot_the_other_is_not_touched(
    state: Path, clock: ManualClock, disk: FailingSync, extensions: int
) -> None:
    """It is the only one of which anybody knows what is on the disk; and the mark is as it was."""
    for _ in range(extensions):
        clock.pass_time(3600)
        take(state, clock)
    before = read_slots(state)
    clock.pass_time(3600)
    for _ in range(5):
        disk.failing = 1
        with pytest.raises(NonceStoreError):
            take(state, clock)
        assert read_slots(state) == before
    assert take(state, clock) == [clock.now_ns()]


def test_a_mark_file_cut_short_is_as_short_after_a_failed_sync(
    state: Path, clock: ManualClock, disk: FailingSync
) -> None:
    """What could not be put on the disk is taken back whole, also where nothing was before."""
    take(state, clock)
    mark_path(state).write_bytes(b"krakenonce")
    disk.failing = 1
    with pytest.raises(NonceStoreError, match=r"make durable .*mark.*Input/output error"):
        take(state, clock)
    assert mark_path(state).read_bytes() == b"krakenonce"
    assert take(state, clock)[0] > clock.now_ns()


def test_tries_that_fail_half_way_do_not_climb(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """One slot is on the disk, the other is not, again and again: the mark is where the first try has put it."""
    last = take(state, clock)[0]
    clock.pass_time(3600)
    for _ in range(5):
        disk.passing, disk.failing = 1, 1
        with pytest.raises(NonceStoreError):
            take(state, clock)
        assert max(slot.mark for slot in read_slots(state) if slot) == clock.now_ns() + WINDOW
        assert text_path(state).read_text() == str(last)
    assert take(state, clock) == [clock.now_ns()]


def test_a_first_number_that_cannot_be_synced_is_not_handed_out(
    state: Path, clock: ManualClock, disk: FailingSync
) -> None:
    """Not even the very first one."""
    disk.failing = 1
    with pytest.raises(NonceStoreError, match="Input/output error"):
        take(state, clock)
    assert text_path(state).read_bytes() == b""
    assert take(state, clock) == [clock.now_ns()]


WRITES_IN_PART = """
import resource, sys
from krakenonce import NonceManager
from krakenonce.errors import NonceStoreError
manager = NonceManager(sys.argv[1])
first = manager.next()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
try:
    print("handed out", manager.next())
except NonceStoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(manager.next() > first)
"""


def test_a_number_that_was_written_in_part_is_not_handed_out(state: Path) -> None:
    """The kernel takes ten bytes of the text and no more: an error, and numbers go on once it takes all of it."""
    said, *after = finish(start_python(WRITES_IN_PART, state)).split("\n")
    assert said == f"cannot write {text_path(state)}: No space left on device; free some space on this disk"
    assert after == ["True", ""]


ROOM_FOR_ONE_SLOT = """
import resource, sys
from krakenonce import NonceManager
from krakenonce.errors import NonceStoreError
manager = NonceManager(sys.argv[1])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
try:
    print("handed out", manager.next())
except NonceStoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
manager.next()
print(manager.store.stats("global").recovered, "recovered")
"""


def test_where_there_is_room_for_one_slot_only_nothing_is_left_behind(state: Path) -> None:
    """The first number is refused, and once there is room the next one begins at the clock, with nothing to repair."""
    said, *after = finish(start_python(ROOM_FOR_ONE_SLOT, state)).split("\n")
    assert said == f"cannot make durable {mark_path(state)}: No space left on device; free some space on this disk"
    assert after == ["0 recovered", ""]


def test_a_floor_that_was_written_in_part_is_refused(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loud, with the lock free for others, and good for a second try."""
    store = FileStore(state, clock=clock)
    first = store.advance("global", clock.now_ns())
    said = f"^cannot write {text_path(state)}: No space left on device; free some space on this disk$"
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(NonceStoreError, match=said):
            store.raise_floor("global", first + 5)
    other = FileStore(state, clock=clock)
    assert other.advance("global", clock.now_ns()) == first + 1
    store.raise_floor("global", first + 5)
    assert other.advance("global", clock.now_ns()) == first + 6


def test_without_a_free_descriptor_the_message_says_so(state: Path, clock: ManualClock) -> None:
    """Of whatever else the process has open too much."""
    store = FileStore(state, clock=clock)
    first = store.advance("global", clock.now_ns())
    store.close()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        said = f"^cannot open {mark_path(state)}: Too many open files; this process has too many open files; raise"
        with pytest.raises(NonceStoreError, match=said):
            store.advance("global", clock.now_ns())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert store.advance("global", clock.now_ns()) == first + 1


def test_a_full_disk_does_not_stop_a_scope_that_exists(small_disk: Path, clock: ManualClock) -> None:
    """All writes are over blocks that are there already."""
    store = FileStore(small_disk, clock=clock)
    numbers = [store.advance("global", clock.now_ns())]
    fill(small_disk)
    for _ in range(5):
        clock.pass_time(30)
        numbers.append(store.advance("global", clock.now_ns()))
    assert rising(numbers)


def test_a_full_disk_refuses_a_new_scope_and_works_once_there_is_room(small_disk: Path, clock: ManualClock) -> None:
    """No space left: one clear error; after making room, the same store goes on."""
    store = FileStore(small_disk, clock=clock)
    fill(small_disk)
    with pytest.raises(NonceStoreError, match="No space left on device; free some space"):
        store.advance("global", clock.now_ns())
    (small_disk / "filler").unlink()
    assert store.advance("global", clock.now_ns()) == clock.now_ns()


def test_a_read_only_file_system_is_loud(small_disk: Path, clock: ManualClock) -> None:
    """Remounted read-only under a new process: an error that says so; it works after remounting."""
    first = take(small_disk, clock)[0]
    subprocess.run(["/usr/bin/mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(NonceStoreError, match="read-only; remount it"):
        take(small_disk, clock)
    assert FileStore(small_disk, clock=clock).peek("global") == first
    subprocess.run(["/usr/bin/mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert take(small_disk, clock)[0] > first


@pytest.mark.skipif(sys.platform == "linux" and os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_the_right_to_write_is_loud(state: Path, clock: ManualClock) -> None:
    """An error that names the directory and says what to do."""
    state.mkdir(mode=0o500)
    with pytest.raises(NonceStoreError, match="right to read and write"):
        take(state, clock)


def test_another_user_s_directory_is_loud(tmp_path: Path) -> None:
    """The same, as another user, in a real process."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    tmp_path.chmod(0o755)
    (tmp_path / "state").mkdir(mode=0o700)
    code = (
        "import os, sys; sys.path[:] = eval(sys.argv[2])\n"
        "from krakenonce import NonceManager\n"
        "import krakenonce.stores.filesystem, errno, stat\n"
        "manager = NonceManager(sys.argv[1])\n"
        "os.setuid(65534)\n"
        "try: manager.next()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "state"), repr(sys.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.startswith("NonceStoreError")
    assert "Permission denied" in answer.stdout


def test_a_memory_file_system_is_used_with_a_warning(
    small_disk: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """On tmpfs it works, and says once that the number will not outlive the machine."""
    store = FileStore(small_disk, clock=clock)
    for _ in range(3):
        store.advance("global", clock.now_ns())
    assert caplog.text.count("is on tmpfs") == 1


MOUNTINFO = """\
21 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 21 0:26 / /mnt/nas rw,relatime shared:9 - nfs4 server:/export rw,vers=4.2
31 21 0:27 / /mnt/my\\040share rw - cifs //server/share rw
32 21 0:28 / /mnt/nas/local rw - xfs /dev/sdb rw
33 21 0:29 / /home/me/remote rw - fuse.sshfs me@host: rw
"""
MOUNT_OUTPUT = """\
/dev/disk1s5 on / (apfs, local, journaled)
//me@server/share on /Volumes/share (smbfs, nodev, nosuid, mounted by me)
"""


@pytest.mark.parametrize(
    ("path", "mounts", "kind"),
    [
        ("/var/lib/krakenonce", MOUNTINFO, "ext4"),
        ("/mnt/nas", MOUNTINFO, "nfs4"),
        ("/mnt/nas/a/b", MOUNTINFO, "nfs4"),
        ("/mnt/nas/local/x", MOUNTINFO, "xfs"),
        ("/mnt/nasty", MOUNTINFO, "ext4"),
        ("/mnt/my share/x", MOUNTINFO, "cifs"),
        ("/home/me/remote", MOUNTINFO, "fuse.sshfs"),
        ("/Users/me/state", MOUNT_OUTPUT, "apfs"),
        ("/Volumes/share/state", MOUNT_OUTPUT, "smbfs"),
        ("/x", "", ""),
        ("/x", "nonsense\n\n - \n on (", ""),
    ],
)
def test_the_file_system_of_a_path_is_found(path: str, mounts: str, kind: str) -> None:
    """The innermost mount counts, on Linux and on macOS."""
    assert filesystem_of(Path(path), mounts) == kind


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smbfs", "fuse.sshfs", "9p", "virtiofs", "ceph"])
def test_a_network_file_system_is_refused_unless_accepted(
    state: Path, clock: ManualClock, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks there may be a pretence: refused with the way to accept it, and accepted when told so."""
    line = f"30 21 0:26 / {state.parent} rw - {kind} server:/export rw"
    monkeypatch.setattr("krakenonce.stores.filesystem._mounts", lambda: line)
    with pytest.raises(NonceStoreError, match="allow_network=yes"):
        take(state, clock)
    assert FileStore(state, clock=clock, allow_network=True).advance("global", clock.now_ns()) == clock.now_ns()


def test_the_file_system_is_looked_at_once(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many scopes are opened, a warning about it comes once."""
    line = f"30 21 0:26 / {state.parent} rw - tmpfs none rw"
    monkeypatch.setattr("krakenonce.stores.filesystem._mounts", lambda: line)
    store = FileStore(state, clock=clock)
    for scope in ("one", "two", "three"):
        store.advance(scope, clock.now_ns())
    assert caplog.text.count("is on tmpfs") == 1


@pytest.mark.parametrize("passing", [0, 1])
def test_an_extension_that_fails_after_a_power_cut_does_not_make_an_old_text_exact(
    state: Path, clock: ManualClock, disk: FailingSync, passing: int
) -> None:
    """It misses the last numbers, also with a mark of the new boot beside it (invariant 1)."""
    first, second = take(state, clock, 2)
    text_path(state).write_bytes(str(first).encode())  # what the disk had of it
    clock.reboot()
    disk.passing, disk.failing = passing, 1
    with pytest.raises(NonceStoreError):
        take(state, clock)
    assert take(state, clock)[0] > second


def test_a_process_that_could_write_no_number_yet_does_not_take_a_missing_text_for_a_beginning(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark is on the disk, its first number is not; then the text is deleted: it goes on above the mark."""
    other, store = FileStore(state, clock=clock), FileStore(state, clock=clock)
    issued = [other.advance("global", clock.now_ns()) for _ in range(3)]

    written: list[bytes] = []
    real = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        written.append(data)
        return real(fd, data, offset) if len(written) < 4 else 0  # text, slot, slot, and then the number

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(NonceStoreError):
            store.advance("global", clock.now_ns())
    text_path(state).unlink()
    assert store.advance("global", clock.now_ns()) > max(issued)


def test_a_floor_that_failed_carries_no_number_away(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """Half of it may be on the disk: the mark stays that high, and the numbers go on from the last one."""
    store = FileStore(state, clock=clock)
    first = store.advance("global", clock.now_ns())
    disk.passing, disk.failing = 1, 1  # one slot has it
    with pytest.raises(NonceStoreError):
        store.raise_floor("global", first + 10**15)
    numbers = []
    for _ in range(4):
        clock.pass_time(11)
        numbers += [store.advance("global", clock.now_ns()), *take(state, clock)]
        assert store.peek("global") == numbers[-1]
    assert rising(numbers)
    assert numbers[-1] <= clock.now_ns() + 1


def test_a_directory_whose_sync_fails_moves_no_mark_up(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try would have taken the next window, and so would somebody who tries again and again."""
    first = take(state, clock)[0]

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Place, "keep_names", failing)
        store = FileStore(state, clock=clock)
        for _ in range(5):
            with pytest.raises(NonceStoreError, match="Input/output error"):
                store.advance("global", clock.now_ns())
    assert take(state, clock) == [first + 1]


def test_after_a_failed_sync_no_thread_syncs_what_was_open_before(
    state: Path, clock: ManualClock, disk: FailingSync
) -> None:
    """One that was waiting for the lock meanwhile has to open the files anew."""
    store = FileStore(state, clock=clock)
    for _ in range(2):
        store.advance("global", clock.now_ns())
        waiting = store._free[-1]["global"]
        store._free.rotate()
        clock.pass_time(11)
        disk.failing = 1
        with pytest.raises(NonceStoreError):
            store.advance("global", clock.now_ns())
        assert waiting.advance(clock.now_ns()) is None
        assert waiting.raise_floor(1) is None


def test_a_text_that_can_be_put_back_only_in_part_is_no_number(
    state: Path, clock: ManualClock, disk: FailingSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half of the old number and the second of the new one could be below the last, and fit the mark."""
    store = FileStore(state, clock=clock)
    store.advance("global", clock.now_ns())
    clock.pass_time(9.999999991)
    last = store.advance("global", clock.now_ns())
    clock.pass_time(0.5)
    disk.passing, disk.failing = 1, 1
    real, texts = os.pwrite, list[bytes]()

    def in_part(fd: int, data: bytes, offset: int) -> int:
        texts.extend([data] if len(data) == 19 else [])
        return real(fd, data[:10] if data == b"%d" % last else data, offset)

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", in_part)
        with pytest.raises(NonceStoreError, match="Input/output error"):
            store.advance("global", clock.now_ns())
    assert texts[-1] == b"%d" % last
    clock.step(-3600)
    assert take(state, clock)[0] > last


def test_a_store_that_was_refused_has_no_file_open(state: Path, clock: ManualClock, disk: FailingSync) -> None:
    """A disk that has failed can be unmounted while its processes go on."""
    store = FileStore(state, clock=clock)
    for ask in (
        lambda: store.advance("global", clock.now_ns()),
        lambda: store.raise_floor("global", clock.now_ns() + 1),
    ):
        ask()
        clock.pass_time(11)
        disk.failing = 1
        with pytest.raises(NonceStoreError):
            ask()
    assert open_files(state) == []
