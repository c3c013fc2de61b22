"""Bugs in the mark and in what depends on it. Promises 1 to 3."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["MARKS"]

_STEP = "src/krakenonce/backends/file/scope_files.py"
_MARK = "src/krakenonce/backends/file/mark.py"
_MARK_FILE = "src/krakenonce/backends/file/mark_file.py"
_RECOVERY = "src/krakenonce/backends/file/recovery.py"
_RESTART = "tests/integration/backends/test_restart.py"
_FAULTS = "tests/integration/backends/test_disk_faults.py"
_BROKEN = "tests/integration/backends/test_broken_state.py"

MARKS = (
    Planted(
        "no sync before a nonce is issued",
        1,
        _MARK_FILE,
        was="            sync(self._fd)\n        except",
        becomes="        except",
        test=f"{_RESTART}::test_each_nonce_is_below_a_mark_that_was_synced_before",
    ),
    Planted(
        "the second slot is left behind",
        1,
        _MARK_FILE,
        was="        self._write_durably(second, slot_offset(slots[1]), not_written)\n",
        becomes="",
        test=f"{_RESTART}::test_each_nonce_is_below_a_mark_that_was_synced_before",
    ),
    Planted(
        "the names of new files are not synced",
        1,
        _STEP,
        was="            if self._mark.own.mark < 0:\n                self._files.sync_names()",
        becomes="            if self._mark.own.mark > 0:\n                self._files.sync_names()",
        test=f"{_RESTART}::test_the_names_are_made_durable_before_the_first_nonce",
    ),
    Planted(
        "the name of a new state directory is not synced",
        1,
        "src/krakenonce/backends/file/filesystem.py",
        was="            sync_directory(directory.parent)\n",
        becomes="            pass\n",
        test=f"{_RESTART}::test_the_names_are_made_durable_before_the_first_nonce",
    ),
    Planted(
        "a directory that was made again passes as the one that was synced",
        1,
        "src/krakenonce/backends/file/directory.py",
        was="            if self._checked == self._identity():\n",
        becomes="            if any(self._checked) and self._identity():\n",
        test=f"{_RESTART}::test_the_names_are_made_durable_before_the_first_nonce",
    ),
    Planted(
        "the nonce file is trusted after a reboot",
        1,
        _RECOVERY,
        was="    if not same_boot:\n",
        becomes="    if same_boot is None:\n",
        test=f"{_RESTART}::test_a_reboot_starts_above_the_mark",
    ),
    Planted(
        "a nonce file that does not fit the mark file is trusted",
        1,
        _RECOVERY,
        was="    if any(base <= value <= mark for base, mark",
        becomes="    if any(value <= mark for base, mark",
        test=f"{_BROKEN}::test_a_broken_nonce_file_is_passed_by_going_above_the_mark",
    ),
    Planted(
        "a raise of the mark that failed half-way counts as complete",
        1,
        _RECOVERY,
        was=" and slot.which != NOT_WRITTEN",
        becomes="",
        test=f"{_FAULTS}::test_a_floor_that_failed_raises_no_nonce",
    ),
    Planted(
        "the sure slot is overwritten while the other is in doubt",
        1,
        _MARK,
        was="return (0, 1) if zero >= one else (1, 0)",
        becomes="return (1, 0) if zero >= one else (0, 1)",
        test=f"{_RESTART}::test_one_slot_after_the_other_is_written_and_synced_the_sure_one_last",
    ),
    Planted(
        "the older slot passes as the one in doubt",
        3,
        _MARK,
        was="(False, record.sequence, record.which)",
        becomes="(False, -record.sequence, record.which)",
        test="tests/unit/backends/test_mark.py::test_the_slot_that_is_surely_on_the_disk_is_written_last",
    ),
    Planted(
        "which slot was written first is forgotten",
        3,
        _MARK,
        was="(False, record.sequence, record.which)",
        becomes="(False, record.sequence, 0)",
        test=f"{_RESTART}::test_one_slot_after_the_other_is_written_and_synced_the_sure_one_last",
    ),
    Planted(
        "the end of a counter is noted while another process uses it",
        1,
        "src/krakenonce/backends/file/scope_files.py",
        was="        flock(self._text_fd, LOCK_EX | LOCK_NB)  # fails",
        becomes="        # fails",
        test="tests/integration/backends/test_restart.py"
        "::test_no_end_is_noted_while_another_process_has_the_counter_open[killed]",
    ),
    Planted(
        "the note of an end is not taken back",
        1,
        "src/krakenonce/backends/file/mark_file.py",
        was="        if self.ended is not None:  # to raise",
        becomes="        if False:  # to raise",
        test="tests/integration/backends/test_restart.py::test_a_backend_that_was_closed_takes_its_note_back",
    ),
    Planted(
        "the note of an end counts under a later mark, too",
        1,
        _MARK,
        was="(magic, file_id, sequence) == (_END_MAGIC, record.file_id, record.sequence)",
        becomes="(magic, file_id, sequence) >= (_END_MAGIC, record.file_id, 0)",
        test="tests/integration/backends/test_restart.py::test_the_note_of_an_end_is_taken_back_before_the_next_nonce",
    ),
    Planted(
        "a slot's checksum is not compared",
        1,
        _MARK,
        was=" and check == _CHECK.pack(zlib.crc32(body)) else None\n",
        becomes=" else None\n",
        test="tests/unit/backends/test_mark.py::test_one_flipped_bit_makes_a_slot_invalid",
    ),
    Planted(
        "a floor is not made durable",
        1,
        _STEP,
        was="        if floor > self._mark.own.mark:\n",
        becomes="        if floor < self._mark.own.mark:\n",
        test=f"{_RESTART}::test_a_floor_survives_a_power_cut",
    ),
    Planted(
        "a floor that this process has only read is not synced",
        3,
        _STEP,
        was="        if floor > self._mark.own.mark:\n",
        becomes="        if floor > self._mark.own.mark and last != found.last:\n",
        test=f"{_RESTART}::test_a_floor_that_was_only_read_is_not_trusted",
    ),
    Planted(
        "an old nonce file is restored when the disk fails",
        1,
        _STEP,
        was="            self._raise_mark(records, nonce, found.last)\n",
        becomes="            self._raise_mark(records, nonce, int(text) if text.isdigit() else None)\n",
        test=f"{_FAULTS}::test_a_failed_raise_of_the_mark_after_a_power_cut_does_not_make_an_old_nonce_file_exact",
    ),
    Planted(
        "an old nonce file is trusted beside a half-raised mark after a reboot",
        1,
        _MARK_FILE,
        was="            old_base=last or 0,\n",
        becomes="            old_base=0,\n",
        test=f"{_RESTART}::test_a_process_killed_in_its_first_nonce_after_a_reboot_makes_no_old_nonce_file_exact",
    ),
    Planted(
        "the mark goes down",
        2,
        _MARK_FILE,
        was="mark=max(mark_for(nonce), before.mark if before else 0),",
        becomes="mark=mark_for(nonce),",
        test=f"{_RESTART}::test_a_half_raised_mark_stays",
    ),
    Planted(
        "a mark that was only read is trusted",
        3,
        _STEP,
        was="        if nonce > self._mark.own.mark:\n            self._raise_mark(records, nonce, found.last)\n",
        becomes="        if nonce > max((each.mark for each in records if each), default=self._mark.own.mark):\n"
        "            self._raise_mark(records, nonce, found.last)\n",
        test=f"{_RESTART}::test_a_mark_that_was_only_read_is_not_trusted",
    ),
    Planted(
        "a new mark file with the inode of a deleted one passes as that one",
        3,
        _MARK_FILE,
        was="own.file == (self._inode, record.file_id)",
        becomes="own.file[0] == self._inode",
        test=f"{_BROKEN}::test_a_new_mark_file_is_not_taken_for_the_deleted_one",
    ),
    Planted(
        "a copy of the mark file passes as the one that was synced",
        3,
        _MARK_FILE,
        was="own.file == (self._inode, record.file_id)",
        becomes="own.file[1] == record.file_id",
        test=f"{_BROKEN}::test_a_copy_in_the_mark_file_s_place_is_not_trusted",
    ),
    Planted(
        "the mark is not checked after the first nonce",
        3,
        _STEP,
        was="nonce > self._mark.own.mark or now_ns - state.anchor.wall_ns > MARK_STEP:",
        becomes="self._mark.own.mark < 0:",
        test=f"{_RESTART}::test_each_nonce_is_below_a_mark_that_was_synced_before",
    ),
    Planted(
        "the mark whose sync failed is left in the page cache",
        6,
        _MARK_FILE,
        was="            os.pwrite(self._fd, instead, offset)\n",
        becomes="",
        test=f"{_FAULTS}::test_after_a_failed_sync_of_one_slot_the_other_is_not_touched",
    ),
)
