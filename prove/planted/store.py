"""Bugs in taking a nonce under the lock, and in the file backend around it. Promises 4, 6 and 7."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["STORE"]

_STEP = "src/krakenonce/backends/file/scope_files.py"
_STORE = "src/krakenonce/backends/file/store.py"
_FILES = "src/krakenonce/backends/file/open_files.py"
_SYSTEM = "src/krakenonce/backends/file/filesystem.py"
_PROCESSES = "tests/integration/backends/test_processes.py"
_FAULTS = "tests/integration/backends/test_disk_faults.py"
_DISKS = "tests/integration/backends/test_filesystems.py"
_NAMES = "tests/integration/test_state_name.py"
_LOCKED = "src/krakenonce/backends/file/locked_files.py"
_LIMITS = "tests/integration/backends/test_closed_descriptors.py::test_the_limits_are_kept_after_their_file_was_closed"
_BROKEN = "tests/integration/backends/test_broken_state.py"

STORE = (
    Planted(
        "the step is taken without the lock",
        4,
        _STEP,
        was="            _lock(mark_fd)\n",
        becomes="",
        test=f"{_PROCESSES}::test_a_child_waits_while_its_parent_is_inside_the_step",
    ),
    Planted(
        "the step's lock is shared",
        4,
        _STEP,
        was="from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock\n",
        becomes="from fcntl import LOCK_NB, LOCK_SH, LOCK_UN, flock\nfrom fcntl import LOCK_SH as LOCK_EX\n",
        test=f"{_PROCESSES}::test_a_child_waits_while_its_parent_is_inside_the_step",
    ),
    Planted(
        "two threads share a descriptor, and so the lock",
        4,
        _STORE,
        was="            handle = free.pop()\n",
        becomes="            handle = free[-1]\n",
        test=f"{_PROCESSES}::test_a_thread_waits_while_another_is_inside_the_step",
    ),
    Planted(
        "a file that has got the descriptor of the rate limits stays locked",
        4,
        _LOCKED,
        was="        self.unlock()  # or another program's file would stay locked\n",
        becomes="",
        test=_LIMITS,
    ),
    Planted(
        "a file that has got the descriptor of the rate limits is written to",
        4,
        _LOCKED,
        was="if files.is_open_and_linked(fd):  #",
        becomes="if fd:  #",
        test=_LIMITS,
    ),
    Planted(
        "the lock of a file that has got the descriptor of the rate limits is waited for",
        4,
        _LOCKED,
        was="            if not files.is_open(fd):  #",
        becomes="            if files is None:  #",
        test=_LIMITS,
        hangs=30.0,
    ),
    Planted(
        "the memory backend counts without its lock",
        4,
        "src/krakenonce/backends/memory.py",
        was="        with _section.lock:\n            nonce = self._last[scope] =",
        becomes="        if _section.lock:\n            nonce = self._last[scope] =",
        test="tests/integration/backends/test_contract.py::test_a_thread_waits_while_another_is_inside_the_memory_backend",
    ),
    Planted(
        "parent and child of a fork share one lock",
        4,
        _STORE,
        was="        call_in_children(self)\n",
        becomes="",
        test=f"{_PROCESSES}::test_a_child_waits_while_its_parent_is_inside_the_step",
    ),
    Planted(
        "a fork by C code is not noticed",
        1,
        "src/krakenonce/process.py",
        was="    if not _mark[0]:\n        with",
        becomes="    if False:\n        with",
        test="tests/integration/test_c_forks.py::test_forks_by_c_code_share_nonces_turns_and_limits[none]",
    ),
    Planted(
        "a forked child unlocks its parent's step",
        4,
        _STEP,
        was="        self._files.close()\n",
        becomes="        if self._mark_fd >= 0:\n            flock(self._mark_fd, LOCK_UN)\n"
        "        self._files.close()\n",
        test=f"{_PROCESSES}::test_a_child_does_not_free_the_parent_s_lock",
    ),
    Planted(
        "a child forked while a nonce is taken issues its parent's nonce",
        4,
        _STORE,
        was="            if free is not self._free:\n                _refuse_in_child()\n\n    def peek",
        becomes="\n    def peek",
        test="tests/integration/backends/test_forks_inside.py"
        "::test_a_child_forked_in_the_middle_gets_an_error_and_then_nonces_of_its_own[next nonce-1]",
    ),
    Planted(
        "a signal handler waits for the thread that it has interrupted",
        4,
        _STORE,
        was="        if thread in _inside:\n            raise _interrupted()\n        try:\n"
        "            _inside.add(thread)\n            yield\n",
        becomes="        try:\n            _inside.add(thread)\n            yield\n",
        test=f"{_PROCESSES}::test_a_handler_that_interrupts_a_backend_is_refused_whatever_it_asks",
        hangs=8,
    ),
    Planted(
        "a running process continues from an older nonce file",
        4,
        _STEP,
        was="if last < state.last or nonce >",
        becomes="if nonce >",
        test=f"{_BROKEN}::test_a_nonce_file_restored_from_a_backup_is_noticed",
    ),
    Planted(
        "files that are not in their place any more are written to",
        4,
        _STEP,
        was="        return last if self._files.are_in_place() else None\n",
        becomes="        return last\n",
        test=f"{_BROKEN}::test_a_nonce_file_renamed_away_under_a_running_process_is_noticed",
    ),
    Planted(
        "a process with a deleted mark file writes into the others' nonce file",
        4,
        _STEP,
        was="        elif last != state.last and not self._files.are_in_place():",
        becomes="        elif last < state.last and not self._files.are_in_place():",
        test=f"{_BROKEN}::test_a_process_with_a_deleted_mark_writes_no_nonce_that_it_does_not_issue",
    ),
    Planted(
        "coarse times of a file system are trusted",
        4,
        _FILES,
        was="if in_place and age > (_FINE_TICK if changed % SECOND else _COARSE_TICK):",
        becomes="if in_place:",
        test="tests/integration/backends/test_open_files.py::test_where_times_are_coarse_each_path_is_looked_at",
    ),
    Planted(
        "a directory above that is moved goes unnoticed",
        4,
        _STEP,
        was="not self._files.are_surely_in_place()",
        becomes="not self._files.are_in_place()",
        test="tests/integration/backends/test_open_files.py::test_a_directory_above_that_is_moved_is_noticed",
    ),
    Planted(
        "a link on the way is followed each time",
        4,
        "src/krakenonce/backends/file/directory.py",
        was="self.path = Path(path).resolve()",
        becomes="self.path = Path(path)",
        test="tests/integration/backends/test_open_files.py::test_a_link_on_the_way_is_followed_once",
    ),
    Planted(
        "the directory that is watched is another one",
        4,
        _FILES,
        was="all(self.is_at_path(fd) for fd in self._known)",
        becomes="all(self.is_at_path(fd) for fd in self._known if fd != self._directory)",
        test="tests/integration/backends/test_open_files.py::test_a_directory_that_has_taken_the_place_of_another_is_noticed",
    ),
    Planted(
        "a file system that is not known passes as a local one",
        4,
        _SYSTEM,
        was="    elif kind in _LOCAL or allow_network:\n",
        becomes="    elif kind[:3] not in ('nfs', 'cif', 'smb', 'fus') or allow_network:\n",
        test=f"{_DISKS}::test_any_other_file_system_is_refused_unless_accepted[fakeowner]",
    ),
    Planted(
        "the end of a line of Windows is part of the state directory's name",
        4,
        "src/krakenonce/backends/state_name.py",
        was="    text = text.strip()\n",
        becomes="",
        test=f"{_NAMES}::test_two_processes_that_write_it_differently_share_one_counter[a line of Windows]",
    ),
    Planted(
        "nobody is asked who shares the state after an Invalid nonce",
        4,
        "src/krakenonce/key/api_key.py",
        was="            self._ask_who_shares()\n",
        becomes="",
        test="tests/integration/key/test_api_key.py::test_the_first_invalid_nonce_of_a_key_asks_who_shares_the_state",
    ),
    Planted(
        "a lower floor lowers the nonces",
        4,
        _STEP,
        was="last = floor if found.last is None else max(floor, found.last)",
        becomes="last = floor",
        test="tests/integration/backends/test_contract.py::test_a_lower_floor_changes_nothing[file-1799999999999999999]",
    ),
    Planted(
        "a failed sync is swallowed",
        6,
        _STEP,
        was="""\
            raise self._failed("make durable", state.mark_path, error) from error
""",
        becomes="""\
            self._failed("make durable", state.mark_path, error)
""",
        test=f"{_FAULTS}::test_a_failed_sync_is_an_error_and_issues_nothing",
    ),
    Planted(
        "what was open at a failed sync stays open",
        6,
        _STORE,
        was="                _close_handle(handle)  # a disk that has failed could not be unmounted\n",
        becomes="",
        test=f"{_FAULTS}::test_a_backend_whose_disk_failed_has_no_file_open",
    ),
    Planted(
        "other threads do not learn of a failed sync",
        6,
        _STEP,
        was="        self.state.generation += 1\n",
        becomes="",
        test=f"{_FAULTS}::test_after_a_failed_sync_no_thread_syncs_what_was_open_before",
    ),
    Planted(
        "another thread syncs a descriptor from before a failed sync",
        6,
        _STEP,
        was="        if self.generation != self.state.generation or not ",
        becomes="        if not ",
        test=f"{_FAULTS}::test_after_a_failed_sync_no_thread_syncs_what_was_open_before",
    ),
    Planted(
        "a disk error while writing passes as a nonce",
        6,
        _STEP,
        was='        if os.pwrite(self._text_fd, b"%d" % nonce, 0) != _DIGITS:\n            raise cut_short(_DIGITS)\n',
        becomes='        os.pwrite(self._text_fd, b"%d" % nonce, 0)\n',
        test=f"{_FAULTS}::test_what_can_only_be_written_in_part_is_refused_and_leaves_nothing_behind[part of a nonce]",
    ),
    Planted(
        "a limit on the size of files passes as a full disk",
        6,
        _SYSTEM,
        was="errno.EFBIG if 0 <= limit < end else errno.ENOSPC",
        becomes="errno.ENOSPC",
        test=f"{_FAULTS}::test_what_can_only_be_written_in_part_is_refused_and_leaves_nothing_behind[part of a nonce]",
    ),
    Planted(
        "the umask locks the next process out of a file",
        6,
        _SYSTEM,
        was="            os.fchmod(fd, 0o600)\n",
        becomes="            pass\n",
        test=f"{_DISKS}::test_no_umask_locks_a_user_out[0o777]",
    ),
    Planted(
        "the umask locks its own process out of a directory",
        6,
        _SYSTEM,
        was="            directory.chmod(0o700)\n",
        becomes="            pass\n",
        test=f"{_DISKS}::test_no_umask_locks_a_user_out[0o177]",
    ),
    Planted(
        "the nonce is not in the file when it is returned",
        7,
        _STEP,
        was='        if os.pwrite(self._text_fd, b"%d" % nonce, 0) != _DIGITS:\n',
        becomes='        if state.issued % 2 and os.pwrite(self._text_fd, b"%d" % nonce, 0) != _DIGITS:\n',
        test="tests/integration/backends/test_restart.py::test_the_nonce_is_in_the_file_before_it_is_returned",
    ),
)
