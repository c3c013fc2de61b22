"""Bugs in the store: the files, the mark, the step under the lock. Promises 1 to 4, 6 and 7."""

from __future__ import annotations

from .bug import Planted

__all__ = ["STORE"]

_STEP = "src/krakenonce/stores/scope_files.py"
_STORE = "src/krakenonce/stores/file.py"

STORE = (
    Planted(
        "no sync before a number is issued",
        1,
        _STEP,
        was="""\
            _write(self._mark_fd, data, offset)
            sync(self._mark_fd)
""",
        becomes="""\
            _write(self._mark_fd, data, offset)
""",
        test="tests/stores/test_restart.py::test_each_number_is_below_a_mark_that_was_synced_before",
    ),
    Planted(
        "the second slot is left behind",
        1,
        _STEP,
        was="for number in slots_in_writing_order(records):",
        becomes="for number in slots_in_writing_order(records)[:1]:",
        test="tests/stores/test_restart.py::test_each_number_is_below_a_mark_that_was_synced_before",
    ),
    Planted(
        "the names of new files are not synced",
        1,
        _STEP,
        was="            if state.mark < 0:\n                sync_directory(",
        becomes="            if state.mark > 0:\n                sync_directory(",
        test="tests/stores/test_restart.py::test_the_names_are_made_durable_before_the_first_number",
    ),
    Planted(
        "the name of a new state directory is not synced",
        1,
        "src/krakenonce/stores/filesystem.py",
        was="        sync_directory(directory.parent)\n",
        becomes="",
        test="tests/stores/test_restart.py::test_the_names_are_made_durable_before_the_first_number",
    ),
    Planted(
        "the text is trusted after a reboot",
        1,
        "src/krakenonce/stores/recovery.py",
        was="    if not same_boot:\n",
        becomes="    if same_boot is None:\n",
        test="tests/stores/test_restart.py::test_a_reboot_starts_above_the_mark",
    ),
    Planted(
        "a text that does not fit the mark is trusted",
        1,
        "src/krakenonce/stores/recovery.py",
        was="if not any(slot and slot.mark - WINDOW <= value <= slot.mark for slot in records):",
        becomes="if not any(slot and value <= slot.mark for slot in records):",
        test="tests/stores/test_broken_state.py::test_a_broken_text_is_passed_by_going_above_the_mark",
    ),
    Planted(
        "the good slot is overwritten while the other is in doubt",
        1,
        "src/krakenonce/stores/mark.py",
        was="return (0, 1) if first <= second else (1, 0)",
        becomes="return (1, 0) if first <= second else (0, 1)",
        test="tests/stores/test_mark.py::test_the_worse_slot_is_written_first",
    ),
    Planted(
        "a slot's checksum is not compared",
        1,
        "src/krakenonce/stores/mark.py",
        was="    if check != _CHECK.pack(zlib.crc32(body)):\n",
        becomes="    if len(check) != len(_CHECK.pack(zlib.crc32(body))):\n",
        test="tests/stores/test_mark.py::test_one_flipped_bit_makes_a_slot_invalid",
    ),
    Planted(
        "a floor is not made durable",
        1,
        _STEP,
        was="            if floor > state.mark:  # also",
        becomes="            if floor < state.mark:  # also",
        test="tests/stores/test_restart.py::test_a_floor_survives_a_power_cut",
    ),
    Planted(
        "a floor that this process only has read is not put on the disk",
        3,
        _STEP,
        was="            if floor > state.mark:  # also",
        becomes="            if floor > state.mark and last != found.last:  # also",
        test="tests/stores/test_restart.py::test_a_floor_that_was_only_read_is_not_believed",
    ),
    Planted(
        "the mark goes down",
        2,
        _STEP,
        was="mark=max(mark_for(nonce), before.mark if before else 0),",
        becomes="mark=mark_for(nonce),",
        test="tests/stores/test_restart.py::test_a_mark_from_an_extension_that_was_cut_short_stays",
    ),
    Planted(
        "a mark that was only read is believed",
        3,
        _STEP,
        was="        if nonce > state.mark:\n            self._extend(records, nonce, verdict.anchor, found.last)\n",
        becomes="        if nonce > max((each.mark for each in records if each), default=state.mark):\n"
        "            self._extend(records, nonce, verdict.anchor, found.last)\n",
        test="tests/stores/test_restart.py::test_a_mark_that_was_only_read_is_not_believed",
    ),
    Planted(
        "an old text is put back when the disk fails",
        1,
        _STEP,
        was="            self._extend(records, nonce, verdict.anchor, found.last)\n",
        becomes="            self._extend(records, nonce, verdict.anchor, int(text) if text.isdigit() else None)\n",
        test="tests/stores/test_disk_faults.py::test_an_extension_that_fails_after_a_power_cut_does_not_make_an_old_text_exact",
    ),
    Planted(
        "a slot that was only read is taken for the good one",
        3,
        _STEP,
        was="                    sync(self._mark_fd)  # a slot",
        becomes="                    pass  # a slot",
        test="tests/stores/test_restart.py::test_a_slot_that_was_only_read_is_synced_before_the_other_is_written",
    ),
    Planted(
        "a mark in a file that has taken the other's place is believed",
        3,
        "src/krakenonce/stores/scope_state.py",
        was="        renewed.mark = -1\n",
        becomes="",
        test="tests/stores/test_broken_state.py::test_a_new_file_has_a_mark_of_its_own",
    ),
    Planted(
        "the mark is not looked at after the first number",
        3,
        _STEP,
        was="if last < state.last or nonce > state.mark:",
        becomes="if last < state.last or state.mark < 0:",
        test="tests/stores/test_restart.py::test_each_number_is_below_a_mark_that_was_synced_before",
    ),
    Planted(
        "the step is taken without the lock",
        4,
        _STEP,
        was="            _lock(mark_fd)\n",
        becomes="",
        test="tests/stores/test_processes.py::test_a_child_waits_while_its_parent_is_inside_the_step",
    ),
    Planted(
        "the step's lock is shared",
        4,
        _STEP,
        was="from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock\n",
        becomes="from fcntl import LOCK_NB, LOCK_UN, flock\nfrom fcntl import LOCK_SH as LOCK_EX\n",
        test="tests/stores/test_processes.py::test_a_child_waits_while_its_parent_is_inside_the_step",
    ),
    Planted(
        "the memory store counts without its lock",
        4,
        "src/krakenonce/stores/memory.py",
        was="        with self._lock:\n            nonce = self._last[scope] =",
        becomes="        if self._lock:\n            nonce = self._last[scope] =",
        test="tests/stores/test_contract.py::test_a_thread_waits_while_another_is_inside_the_memory_store",
    ),
    Planted(
        "parent and child of a fork share one lock",
        4,
        _STORE,
        was="os.register_at_fork(after_in_child=_after_fork_in_child)\n",
        becomes="",
        test="tests/stores/test_processes.py::test_a_child_waits_while_its_parent_is_inside_the_step",
    ),
    Planted(
        "a forked child unlocks its parent's step",
        4,
        _STEP,
        was="        self._held.close()\n",
        becomes="        if self._mark_fd >= 0:\n            flock(self._mark_fd, LOCK_UN)\n"
        "        self._held.close()\n",
        test="tests/stores/test_processes.py::test_a_child_does_not_free_the_parent_s_lock",
    ),
    Planted(
        "an older text under a running process is gone on from",
        4,
        _STEP,
        was="if last < state.last or nonce > state.mark:",
        becomes="if nonce > state.mark:",
        test="tests/stores/test_broken_state.py::test_a_text_restored_from_a_backup_is_noticed",
    ),
    Planted(
        "files that are not in their place any more are written to",
        4,
        _STEP,
        was="return nonce if fstat(self._dir_fd).st_ctime_ns == self._in_place_since or self._in_place() else None",
        becomes="return nonce",
        test="tests/stores/test_broken_state.py::test_a_text_renamed_away_under_a_running_process_is_noticed",
    ),
    Planted(
        "a network file system is taken for a local one",
        4,
        "src/krakenonce/stores/filesystem.py",
        was="if kind.startswith(_REFUSED) and not allow_network:",
        becomes="if kind in _REFUSED and not allow_network:",
        test="tests/stores/test_disk_faults.py::test_a_network_file_system_is_refused_unless_accepted",
    ),
    Planted(
        "a lower floor lowers the number",
        4,
        _STEP,
        was="last = floor if found.last is None else max(floor, found.last)",
        becomes="last = floor",
        test="tests/stores/test_contract.py::test_a_lower_floor_changes_nothing[file-1799999999999999999]",
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
        test="tests/stores/test_disk_faults.py::test_a_failed_sync_is_loud_and_hands_out_nothing",
    ),
    Planted(
        "the descriptor is kept after a failed sync",
        6,
        _STEP,
        was="        self.state.generation += 1\n",
        becomes="",
        test="tests/stores/test_disk_faults.py::test_after_a_failed_sync_the_files_are_opened_anew",
    ),
    Planted(
        "the mark whose sync failed is left in the page cache",
        6,
        _STEP,
        was="            pwrite(self._mark_fd, before, offset)\n",
        becomes="",
        test="tests/stores/test_disk_faults.py::test_after_a_failed_sync_the_second_slot_is_not_touched",
    ),
    Planted(
        "an error of the disk while writing is taken for a number",
        6,
        _STEP,
        was='            if pwrite(text_fd, b"%d" % nonce, 0) != _DIGITS:\n'
        "                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n",
        becomes='            pwrite(text_fd, b"%d" % nonce, 0)\n',
        test="tests/stores/test_disk_faults.py::test_a_number_that_was_written_in_part_is_not_handed_out",
    ),
    Planted(
        "the number is not in the file when it is returned",
        7,
        _STEP,
        was='            if pwrite(text_fd, b"%d" % nonce, 0) != _DIGITS:\n',
        becomes='            if state.issued % 2 and pwrite(text_fd, b"%d" % nonce, 0) != _DIGITS:\n',
        test="tests/stores/test_restart.py::test_the_number_is_in_the_file_before_it_is_returned",
    ),
)
