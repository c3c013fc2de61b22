"""The file backend's calls of the operating system: durable writes, safe opening, and which file systems to refuse."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import resource
import stat
import sys
from pathlib import Path

from krakenonce.errors import NonceStoreError
from krakenonce.process import Section

logger = logging.getLogger("krakenonce")

# Held from the opening of a file that will be locked until it is where a forked child finds and closes it; a fork waits
# for it. A descriptor that a child does not know of would keep the lock of a parent that is killed with the lock.
opening = Section(NonceStoreError, "a file was opened")
os.register_at_fork(
    before=lambda: opening.lock.acquire(),  # noqa: PLW0108 - a child has another lock
    after_in_parent=lambda: opening.lock.release(),  # noqa: PLW0108
)

# Locks exclude there, and syncs store; by the names that Linux and macOS use. Any other one is refused: flock succeeds
# even where it excludes nobody, as in the directories that Docker Desktop shares with its host (fakeowner).
_LOCAL = (
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "ntfs3"),
    *("apfs", "hfs", "hfsplus", "ufs"),
)
_VOLATILE = ("tmpfs", "ramfs", "rootfs", "overlay", "overlayfs", "devfs")


def sync(fd: int) -> None:
    """Put what was written to *fd* on stable storage, or raise OSError."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync alone leaves it in the drive's cache
    else:
        os.fdatasync(fd)


def write_whole(fd: int, data: bytes, offset: int) -> None:
    """Write all of *data*, or raise OSError: a full disk may take only a part."""
    if os.pwrite(fd, data, offset) != len(data):
        raise cut_short(offset + len(data))


def cut_short(end: int) -> OSError:
    """Return the error of a write up to the offset *end* that took only a part: a limit of the process, or the disk."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    code = errno.EFBIG if 0 <= limit < end else errno.ENOSPC
    return OSError(code, os.strerror(code))


def sync_directory(path: Path) -> None:
    """Make the names in *path* durable: without it a new file may be gone after a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path, *, for_nonces: bool = False, durable: bool = True) -> None:
    """Create *path* (0700, whatever the umask) and what is missing above it, durably; leave what exists as it is.

    *for_nonces*: what exists is made durable as well, for a process that made it may have been killed before its
    sync (invariant 3). Not *durable*: it may be gone after a power cut, and costs no sync.
    """
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory")
    missing = []
    while not path.exists() and not path.is_symlink():
        missing.append(path)
        path = path.parent
    if for_nonces:
        with contextlib.suppress(PermissionError):  # a user who may not read the directory above has not made this one
            sync_directory(path.parent)
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        if directory.stat().st_mode & 0o700 != 0o700:  # the umask has locked us out
            directory.chmod(0o700)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _give(fd, os.fstat(fd), directory.parent)
        finally:
            os.close(fd)
        if durable:
            sync_directory(directory.parent)


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file, never through a symbolic link; created files are 0600, whatever the umask.

    Raises:
        NonceStoreError: It is a link, a directory or something else.
        OSError: Any other error of the system.
    """
    if path.is_symlink():
        raise NonceStoreError(
            f"{path} is a symbolic link; state files must not be links (the state directory may be one)"
        )
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except IsADirectoryError:
        raise NonceStoreError(f"{path} is a directory where a state file should be; move it away") from None
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            raise NonceStoreError(f"{path} is not a regular file; move it away")
        # Our own file that is open already although its mode forbids that: the umask would lock out the next process.
        if flags & os.O_CREAT and seen.st_mode & 0o600 != 0o600 and seen.st_uid == os.geteuid():
            os.fchmod(fd, 0o600)
        if flags & os.O_CREAT:
            _give(fd, seen, path.parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _give(fd: int, seen: os.stat_result, directory: Path) -> None:
    """Let the owner of *directory*, such as a service, have a file of root's in it: root may run a command there."""
    if os.geteuid() == 0 and seen.st_uid == 0 and (stat.S_ISDIR(seen.st_mode) or seen.st_nlink == 1):
        owner = directory.stat()
        if owner.st_uid:
            with contextlib.suppress(OSError):  # a container may take that right from root
                os.fchown(fd, owner.st_uid, owner.st_gid)


def store_error(doing: str, path: Path, error: OSError) -> NonceStoreError:
    """Translate an OSError into one line that says what to do."""
    advice = {
        errno.ENOSPC: "free some space on this disk",
        errno.EFBIG: "this process may write no larger files; raise `ulimit -f`",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only; remount it or choose another state directory",
        errno.EACCES: "give this user read and write permission, or choose another state directory",
        errno.EPERM: "give this user read and write permission, or choose another state directory",
        errno.EIO: "the disk failed; no nonce above the last durable high-water mark is issued until a write succeeds",
        errno.ENOTDIR: "a state directory must be a directory, not a file",
        errno.EEXIST: "a state directory must be a directory, not a file",
        errno.EMFILE: "this process has too many open files; raise `ulimit -n`",
        errno.ENOLCK: "this file system does not support locks; choose a local one",
    }.get(error.errno or 0, "no nonce was issued")
    return NonceStoreError(f"cannot {doing} {path}: {error.strerror or error}; {advice}")


def check_filesystem(path: Path, *, allow_network: bool) -> None:
    """Refuse file systems unless their locks and writes can be relied on; warn about those that do not last.

    Args:
        path: The state directory.
        allow_network: Whether any file system will do.

    Raises:
        NonceStoreError: It is none of the known ones.
    """
    kind = kind_at(path)
    if is_volatile(kind):
        logger.warning("%s is on %s: the nonces are lost with the machine or the container", path, kind)
    elif kind in _LOCAL or allow_network:
        pass
    elif kind:
        raise NonceStoreError(
            f"{path} is on a {kind} file system, whose locks and writes may not be relied on; choose a directory of a "
            f"local disk, or accept the risk with file:{path}?allow_network=yes"
        )
    else:
        logger.warning(
            "the mount table does not show on which file system %s is: nobody has checked whether its locks and writes "
            "can be relied on; use a local disk",
            path,
        )


def kind_at(path: Path) -> str:
    """Return the type of the file system that holds *path*, empty if unknown."""
    return filesystem_of(path, _mounts())


def is_volatile(kind: str) -> bool:
    """Whether what is on a file system of this type is lost with the machine or the container."""
    return kind in _VOLATILE


def filesystem_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds *path*, empty if unknown.

    Args:
        path: An existing path, resolved.
        mounts: The text of Linux's ``/proc/self/mountinfo`` or of macOS's ``mount`` command.
    """
    best, kind = "", ""
    for line in mounts.split("\n"):
        point, fs_type = _mount_of(line)
        if len(point) >= len(best) and (path.as_posix() + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, fs_type
    return kind


def _mount_of(line: str) -> tuple[str, str]:
    head, separator, tail = line.partition(" - ")
    if separator and len(fields := head.split()) > 4 and tail:  # 36 35 98:0 / /mnt rw - ext4 /dev/x rw
        return re.sub(r"\\([0-7]{3})", lambda each: chr(int(each[1], 8)), fields[4]), tail.split()[0]
    head, _, tail = line.partition(" (")  # /dev/disk1s1 on /mnt (apfs, local)
    return head.partition(" on ")[2] or "\0", tail.partition(",")[0].rstrip(")")


def _mounts() -> str:
    return _mounts_linux() if sys.platform == "linux" else _mounts_bsd()


def _mounts_linux() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _mounts_bsd() -> str:
    import subprocess

    try:
        answer = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout
