"""Planted bugs in what the gateway tells: the audit log, the status, and pairs that are kept for a time."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["TELLING"]

_ASKED = "src/krakenonce/gateway/asked.py"
_AUDIT = "tests/integration/gateway/test_audit.py"
_STATUS = "tests/integration/gateway/test_status.py"

TELLING = (
    Planted(
        "an audit log that cannot begin a new file drops its older ones",
        "security",
        "src/krakenonce/gateway/audit_file.py",
        was="        is_moved = not self.path.exists()",
        becomes="        is_moved = False",
        test=f"{_AUDIT}::test_a_file_that_cannot_be_begun_costs_no_older_one",
    ),
    Planted(
        "the audit log has the secret of the local key",
        "security",
        _ASKED,
        was="answered(self.local.name, self.local.account,",
        becomes='answered(f"{self.local.name} {self.local.secret}", self.local.account,',
        test=f"{_AUDIT}::test_each_private_call_has_a_line",
    ),
    Planted(
        "the audit log has no line for a call whose client has gone",
        "security",
        _ASKED,
        was="        if self._has_left:\n            self._note(self.reply)\n",
        becomes="        pass\n",
        test=f"{_AUDIT}::test_a_call_whose_client_has_gone_has_its_line",
    ),
    Planted(
        "the audit log has no line for a call that was not sent",
        "security",
        _ASKED,
        was="        self._note(reply)\n",
        becomes="        if not reply.reason:\n            self._note(reply)\n",
        test=f"{_AUDIT}::test_each_private_call_has_a_line",
    ),
    Planted(
        "lines that a full disk has not taken are lost",
        "security",
        "src/krakenonce/gateway/audit.py",
        was="            self._fails = True\n            return\n",
        becomes="            self._fails = True\n",
        test=f"{_AUDIT}::test_a_disk_that_is_full_stops_no_call_and_is_said_once",
    ),
    Planted(
        "half a line stays in the audit log when the disk is full",
        "security",
        "src/krakenonce/gateway/audit_file.py",
        was="                os.ftruncate(self._fd, self._size)\n",
        becomes="                pass\n",
        test=f"{_AUDIT}::test_a_disk_that_is_full_stops_no_call_and_is_said_once",
    ),
    Planted(
        "a second gateway writes into the audit log of the first",
        "security",
        "src/krakenonce/gateway/audit_file.py",
        was="            flock(self._lock, LOCK_EX | LOCK_NB)\n",
        becomes="",
        test=f"{_AUDIT}::test_two_gateways_on_one_state_have_a_file_each",
    ),
    Planted(
        "an old pair that is kept for a time is good for ever",
        "security",
        "src/krakenonce/gateway/local_keys.py",
        was="self.old is not None and time.time() < self.old.until",
        becomes="self.old is not None",
        test="tests/integration/gateway/test_local_keys.py"
        "::test_an_old_pair_is_kept_once_and_not_written_down_for_longer",
    ),
    Planted(
        "an old pair is refused although it was to be kept",
        "security",
        "src/krakenonce/gateway/local_keys.py",
        was="            self._by_key = {**olds, **",
        becomes="            self._by_key = {**",
        test="tests/integration/gateway/test_local_keys.py"
        "::test_a_bot_that_calls_all_the_time_changes_its_pair_without_a_refused_call",
    ),
    Planted(
        "a wrong secret is counted among the other refusals",
        "security",
        "src/krakenonce/gateway/refusals.py",
        was="    (errors.InvalidSignature, INVALID_SIGNATURE),\n",
        becomes="",
        test="tests/unit/gateway/test_health.py::test_each_refusal_has_a_reason_of_its_own",
    ),
    Planted(
        "an account whose key Kraken refuses is shown as fine",
        "security",
        "src/krakenonce/gateway/upstream.py",
        was="            self.troubles.refused(place.method, reason)\n",
        becomes="",
        test="tests/integration/gateway/test_pages.py::test_an_account_whose_key_kraken_refuses_is_not_fine",
    ),
    Planted(
        "a page that is asked for with HEAD is refused",
        "security",
        "src/krakenonce/gateway/front.py",
        was='if request.method in ("GET", "HEAD") else None',
        becomes='if request.method == "GET" else None',
        test=f"{_STATUS}::test_head_is_answered_as_get_without_a_body",
    ),
    Planted(
        "SIGHUP does not name the accounts that are gone",
        "security",
        "src/krakenonce/gateway/loading.py",
        was='                (gone, "gone", "; "),\n',
        becomes="",
        test=f"{_STATUS}::test_sighup_says_what_it_has_read",
    ),
    Planted(
        "gateway status ends with 0 although an account is refused",
        "security",
        "src/krakenonce/cli/gateway_status.py",
        was='not _troubles(found) and all(a["state"] == "fine" for a in accounts)',
        becomes="not _troubles(found)",
        test=f"{_STATUS}::test_status_says_in_words_what_is_wrong",
    ),
    Planted(
        "gateway check does not see a local key whose account is gone",
        "security",
        "src/krakenonce/gateway/checking.py",
        was="            if known and each.account not in known\n",
        becomes="            if not known\n",
        test=f"{_STATUS}::test_check_has_a_line_for_each_problem",
    ),
)
