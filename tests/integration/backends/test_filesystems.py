"""Disks that are full or read-only, directories of others, and file systems on which no nonce is safe."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from krakenonce import NonceManager
from krakenonce.backends import FileStore
from krakenonce.backends.file.filesystem import filesystem_of
from krakenonce.errors import NonceStoreError
from krakenonce.testing.clock import ManualClock
from prove.mounting import fill
from tests.integration.backends.helpers import finish, rising, start_python, take


def test_a_full_disk_does_not_stop_a_scope_that_exists(small_disk: Path, clock: ManualClock) -> None:
    """All writes are over blocks that are there already."""
    store = FileStore(small_disk, clock=clock)
    nonces = [store.advance("global")]
    fill(small_disk)
    for _ in range(5):
        clock.pass_time(30)
        nonces.append(store.advance("global"))
    assert rising(nonces)


def test_a_full_disk_refuses_a_new_counter_and_works_once_there_is_space(small_disk: Path, clock: ManualClock) -> None:
    """No space left: one clear error; once there is space, the same backend continues."""
    store = FileStore(small_disk, clock=clock)
    fill(small_disk)
    with pytest.raises(NonceStoreError, match="No space left on device; free some space"):
        store.advance("global")
    (small_disk / "filler").unlink()
    assert store.advance("global") == clock.now_ns()


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
    with pytest.raises(NonceStoreError, match="read and write permission"):
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
        "import krakenonce.backends.file.filesystem, errno, stat\n"
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


EVERY_FILE = """
import os, sys
from pathlib import Path
sys.path[:] = eval(sys.argv[3])
from krakenonce import NonceManager
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS

def make_all(state):
    manager = NonceManager(state)
    key = ApiKey(manager, "key", TIERS["starter"])
    with key.turn():
        nonce = key.nonce(key.place("Balance", {}))
    records = manager.store.records
    records.write("record", b"%d" % nonce, records.read("record"))
    LocalKeys(Path(state, "gateway_keys.json")).add(f"bot-{nonce}", "MASTER", frozenset({"query"}))
    return nonce

make_all(sys.argv[1])  # all that is needed is imported now, for another user may not read it
if os.geteuid() == 0:
    os.setuid(65534)
os.umask(int(sys.argv[4]))
print(make_all(sys.argv[2]))
"""


@pytest.mark.parametrize("umask", [0o777, 0o277, 0o177, 0o077, 0], ids=oct)
def test_no_umask_locks_a_user_out(tmp_path: Path, umask: int) -> None:
    """Directories are 0700 and files 0600 whatever the umask; a second process can use them, too."""
    with tempfile.TemporaryDirectory() as place:  # not in tmp_path, which only its owner may enter
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        state, nonces = Path(place, "new", "state"), []
        for _ in range(2):
            worker = start_python(EVERY_FILE, tmp_path / "first", state, repr(sys.path), umask)
            nonces.append(int(finish(worker)))
        assert rising(nonces)
        made = [state.parent, state, *state.rglob("*")]
        assert len(made) == 13
        assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
        assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}


def test_a_memory_file_system_is_used_with_a_warning(
    small_disk: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """On tmpfs it works, and says once that the counter will not outlive the machine."""
    store = FileStore(small_disk, clock=clock)
    for _ in range(3):
        store.advance("global")
    assert caplog.text.count("is on tmpfs") == 1


MOUNTINFO = """\
21 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 21 0:26 / /mnt/nas rw,relatime shared:9 - nfs4 server:/export rw,vers=4.2
31 21 0:27 / /mnt/my\\040share rw - cifs //server/share rw
32 21 0:28 / /mnt/nas/local rw - xfs /dev/sdb rw
34 21 0:30 / /mnt/my\\011tab\\134 rw - 9p share rw
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
        ("/mnt/my\ttab\\/x", MOUNTINFO, "9p"),
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


REFUSED = [
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "9p", "virtiofs", "vboxsf", "ceph", "ocfs2"),
    *("fuse", "fuse.sshfs", "fuse.grpcfuse", "fuse.fuse-overlayfs", "fuseblk", "osxfuse", "macfuse", "lifs"),
    *("fakeowner", "drvfs", "lxfs", "aufs", "ecryptfs", "msdos", "vfat", "exfat", "ext2/ext3", "ext5", "newfs"),
]
ACCEPTED = [
    *(
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "bcachefs",
        "f2fs",
        "jfs",
        "ntfs3",
        "apfs",
        "hfs",
        "hfsplus",
        "ufs",
    ),
]


@pytest.fixture
def mounted_as(state: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the mount table say of which type the file system is; a machine does not have all of them."""

    def mount(kind: str) -> None:
        line = f"30 21 0:26 / {state.parent} rw - {kind} server:/export rw"
        monkeypatch.setattr("krakenonce.backends.file.filesystem._mounts", lambda: line)

    return mount


@pytest.mark.parametrize("kind", REFUSED)
def test_any_other_file_system_is_refused_unless_accepted(
    state: Path, clock: ManualClock, kind: str, mounted_as: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks there may be a pretence: refused by name with the way to accept it, which works in the environment, too."""
    mounted_as(kind)
    with pytest.raises(NonceStoreError, match=f"is on a {kind} file system") as refused:
        take(state, clock)
    accepted = str(refused.value).rsplit(" ", 1)[-1]
    assert accepted == f"file:{state}?allow_network=yes"
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", accepted)
    assert NonceManager(clock=clock).next() == clock.now_ns()


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_local_file_system_is_used_without_a_word(
    state: Path, clock: ManualClock, kind: str, mounted_as: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Locks exclude there, and syncs store."""
    mounted_as(kind)
    assert take(state, clock) == [clock.now_ns()]
    assert not caplog.messages


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs", "rootfs", "overlay", "overlayfs", "devfs"])
def test_a_file_system_that_does_not_last_is_used_with_a_warning(
    state: Path, clock: ManualClock, kind: str, mounted_as: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Locks exclude there, too."""
    mounted_as(kind)
    assert take(state, clock) == [clock.now_ns()]
    assert caplog.messages == [f"{state} is on {kind}: the nonces are lost with the machine or the container"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux can hide the mount table")
def test_where_the_mount_table_is_hidden_a_warning_says_what_was_not_checked(state: Path) -> None:
    """As in a container without /proc: nonces are issued all the same."""
    code = (
        "import sys; sys.path[:] = eval(sys.argv[2])\n"
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "from krakenonce import NonceManager\n"
        "print(NonceManager(sys.argv[1]).next())"
    )
    hide = 'mount -t tmpfs none /proc || exit 77; exec "$@"'
    done = subprocess.run(
        ["/usr/bin/unshare", "-m", "/bin/sh", "-c", hide, "sh", sys.executable, "-c", code, str(state), repr(sys.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this machine does not let us mount a file system")
    assert (done.returncode, len(done.stdout)) == (0, 20), done.stderr
    assert done.stderr.splitlines()[0].startswith(f"the mount table does not show on which file system {state} is: ")


def test_the_file_system_is_looked_at_once(
    state: Path, clock: ManualClock, mounted_as: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """However many scopes are opened, a warning about it comes once."""
    mounted_as("tmpfs")
    store = FileStore(state, clock=clock)
    for scope in ("one", "two", "three"):
        store.advance(scope)
    assert caplog.text.count("is on tmpfs") == 1
