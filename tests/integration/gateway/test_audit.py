"""The audit log: a line for each private call, which outlives the gateway."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError
from krakenonce.gateway.activity import LAST, Activity
from krakenonce.gateway.answered import answered, row_in
from krakenonce.gateway.audit import Audit
from krakenonce.gateway.audit_file import AuditFile, open_own
from krakenonce.gateway.replies import Reply, not_sent, unknown
from tests.integration.gateway.conftest import (
    ORDER,
    call,
    fetch,
    order_request,
    send,
    send_and_leave,
    signed,
    until,
)

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes

FINE = Reply(200, "application/json", b'{"error":[],"result":{}}', {"X-Krakenonce-Nonce": "17"})


def lines_in(path: Path) -> list[dict[str, Any]]:
    """The lines that are in an audit log now."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_each_private_call_has_a_line(processes: Processes, fake: WatchedKraken, tmp_path: Path) -> None:
    """Who, when, what and with which outcome; no key, no secret, and nothing of an order but its ids."""
    pair = processes.add("bot-a")
    process, url = processes.serve()
    assert call(url, pair, "Balance").errors == []
    placed = send(url, order_request(pair, f"{ORDER}&cl_ord_id=mine"))
    fake.faults.add("OpenOrders", "error", error="EAPI:Invalid signature")
    call(url, pair, "OpenOrders")
    call(url, pair, "Withdraw")
    fake.faults.add("CancelOrder", "drop")
    call(url, pair, "CancelOrder", "txid=OABC")
    headers = signed(pair, "/0/private/Balance", 1, b"nonce=1") | {"API-Sign": "AAAA"}
    fetch(url, "POST", "/0/private/Balance", b"nonce=1", headers)
    fetch(url, "GET", "/0/public/Time")
    process.terminate()
    processes.end(process)
    file = tmp_path / "state" / "gateway_audit.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = lines_in(file)
    assert [(each["method"], each["outcome"], each.get("reason")) for each in lines] == [
        ("Balance", "executed", None),
        ("AddOrder", "executed", None),
        ("OpenOrders", "refused", "invalid_signature"),
        ("Withdraw", "not_sent", "not_allowed"),
        ("CancelOrder", "unknown", None),
        ("Balance", "not_sent", "invalid_signature"),
    ]
    assert {(each["local_key"], each["account"]) for each in lines} == {("bot-a", "MASTER")}
    order = lines[1]
    assert order["nonce"] == placed.headers["X-Krakenonce-Nonce"]
    assert (order["cl_ord_id"], order["txid"]) == (["mine"], json.loads(placed.body)["result"]["txid"])
    assert (order["waited"], order["took"]) == tuple(
        float(placed.headers[f"X-Krakenonce-{name}"]) for name in ("Waited", "Upstream")
    )
    assert lines[4]["txid"] == ["OABC"]
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "run-the-gateway.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(\{\"time\".*?)```", page, re.DOTALL)
    assert json.loads(example).keys() == order.keys()
    assert order["time"].endswith("Z")
    row = row_in(json.dumps(order).encode())
    assert row is not None
    assert abs(row.time - time.time()) < 60
    text = file.read_text(encoding="utf-8")
    for hidden in (*processes.secrets, "XBTUSD", "limit", "API-Sign"):
        assert hidden not in text


def test_a_call_whose_client_has_gone_has_its_line(processes: Processes, fake: WatchedKraken, tmp_path: Path) -> None:
    """With what became of it: an order that was placed without its bot must be found."""
    pair = processes.add("bot-a")
    process, url = processes.serve()
    fake.faults.add("AddOrder", "slow_answer", seconds=1.0)
    fake.faults.add("Balance", "slow_answer", seconds=1.0)
    send_and_leave(url, order_request(pair), lambda: fake.arrivals)
    file = tmp_path / "state" / "gateway_audit.jsonl"
    until(lambda: lines_in(file))
    nonce = time.time_ns()
    body = f"nonce={nonce}".encode()
    path = "/0/private/Balance"
    send_and_leave(url, (path, body, signed(pair, path, nonce, body)), lambda: len(fake.arrivals) > 1)
    until(lambda: len(lines_in(file)) > 1)
    process.terminate()
    processes.end(process)
    (order, read) = lines_in(file)
    assert (order["method"], order["outcome"], len(order["txid"])) == ("AddOrder", "executed", 1)
    assert (read["method"], read["outcome"]) == ("Balance", "executed")


def test_the_last_calls_outlive_a_kill(processes: Processes, tmp_path: Path) -> None:
    """Another gateway shows them, after those that it has made itself."""
    pair = processes.add("bot-a")
    process, url = processes.serve()
    call(url, pair, "Balance")
    call(url, pair, "OpenOrders")
    until(lambda: len(lines_in(tmp_path / "state" / "gateway_audit.jsonl")) == 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, url = processes.serve()
    call(url, pair, "TradeBalance")
    rows = json.loads(fetch(url, "GET", "/v1/calls").body)
    assert [each["method"] for each in rows] == ["TradeBalance", "OpenOrders", "Balance"]
    assert {(each["local_key"], each["account"], each["outcome"]) for each in rows} == {("bot-a", "MASTER", "executed")}


def test_the_audit_log_may_go_to_stdout_or_nowhere(processes: Processes, tmp_path: Path) -> None:
    """Then there is no file."""
    pair = processes.add("bot-a")
    process, url = processes.serve("127.0.0.1:0", "--audit", "-")
    call(url, pair, "Balance")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["method"] == "Balance"
    _, url = processes.serve("127.0.0.1:0", "--no-audit")
    call(url, pair, "Balance")
    assert [each["method"] for each in json.loads(fetch(url, "GET", "/v1/calls").body)] == ["Balance"]
    assert not list((tmp_path / "state").glob("gateway_audit*"))


def test_two_gateways_on_one_state_have_a_file_each(processes: Processes, tmp_path: Path) -> None:
    """One that is named must not be another gateway's."""
    pair = processes.add("bot-a")
    urls = [processes.serve()[1] for _ in range(2)]
    for url in urls:
        call(url, pair, "Balance")
    files = [tmp_path / "state" / f"gateway_audit{number}.jsonl" for number in ("", "-2")]
    until(lambda: [len(lines_in(each)) for each in files] == [1, 1])
    code, said = processes.run("127.0.0.1:0", "--audit", str(files[0]))
    assert code == 1
    assert "another gateway writes the audit log" in said


def test_a_disk_that_is_full_stops_no_call_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines stay whole, and what came meanwhile is written when there is room again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = AuditFile(tmp_path / "audit.jsonl").open()
    audit = Audit(file).start()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
        for number in range(3):
            audit.add(answered("bot-a", "MASTER", f"Balance{number}", None, FINE))
            until(lambda: any("cannot be written" in each.message for each in caplog.records) or lines_in(file.path))
        until(lambda: caplog.records)
        audit.add(answered("bot-a", "MASTER", "Balance3", None, FINE))
        assert all(line["method"] for line in lines_in(file.path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    audit.end()
    assert [each["method"] for each in lines_in(file.path)] == [f"Balance{number}" for number in range(4)]
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]
    assert audit.lost == 0


def test_an_answer_does_not_wait_for_the_audit_log() -> None:
    """A pipe that nobody reads: calls are noted, up to a limit, and what is beyond it is counted."""
    stuck, go = threading.Event(), threading.Event()

    class Stuck:
        name = "a disk that does not answer"

        def add(self, lines: bytes) -> None:
            assert lines
            stuck.set()
            go.wait()

        def tail(self) -> list[bytes]:
            return []

        def close(self) -> None:
            pass

    audit = Audit(Stuck()).start()
    call_over = answered("bot-a", "MASTER", "Balance", None, FINE)
    audit.add(call_over)
    stuck.wait()
    for _ in range(20_010):
        audit.add(call_over)
    assert audit.lost == 10
    go.set()
    audit.end()


def test_there_are_so_many_files_and_no_more(tmp_path: Path) -> None:
    """The oldest lines go; the rest is in order, and the last calls are found across two files."""
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path, files=3, size=1000).open()
    calls = [answered("bot-a", "MASTER", f"M{number}", None, FINE) for number in range(50)]
    for each in calls:
        file.add(each.line.encode())
    files = [path.with_name(f"{path.name}.2"), path.with_name(f"{path.name}.1"), path]
    assert sorted(tmp_path.glob("audit.jsonl*")) == sorted(files)
    assert all(each.stat().st_size <= 1000 for each in files)
    kept = [line["method"] for each in files for line in lines_in(each)]
    assert kept == [f"M{number}" for number in range(50 - len(kept), 50)]
    assert [json.loads(line)["method"] for line in file.tail()] == kept[len(lines_in(files[0])) :]
    file.close()


def test_a_file_that_cannot_be_begun_costs_no_older_one(tmp_path: Path) -> None:
    """It is tried again and again, and the older files stay as they are until a new one is there."""
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path, files=3, size=10).open()
    for line in (b"first line\n", b"second line\n", b"third line\n"):
        file.add(line)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        for _ in range(5):
            with pytest.raises(OSError, match="Too many open files"):
                file.add(b"fourth line\n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    file.add(b"fourth line\n")
    file.close()
    kept = [each.read_bytes() for each in (path, tmp_path / "audit.jsonl.1", tmp_path / "audit.jsonl.2")]
    assert kept == [b"fourth line\n", b"third line\n", b"second line\n"]


def test_a_line_that_a_kill_has_cut_short_harms_no_other(tmp_path: Path) -> None:
    """The next one begins a line of its own, and the last calls are all others."""
    path = tmp_path / "audit.jsonl"
    whole = answered("bot-a", "MASTER", "Balance", None, FINE).line
    path.write_text(whole + whole[:40])
    path.chmod(0o600)
    file = AuditFile(path).open()
    file.add(whole.encode())
    audit = Audit(file).start()
    assert [each.method for each in Activity(audit).recent] == ["Balance", "Balance"]
    audit.end()


def test_no_link_and_no_directory_is_an_audit_log(tmp_path: Path) -> None:
    """Somebody may have put it there."""
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "else")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("link.jsonl", "folder.jsonl"):
        with pytest.raises(ConfigError, match="cannot write the audit log"):
            AuditFile(tmp_path / name).open()
    first, second = open_own(tmp_path), open_own(tmp_path)
    assert (first.path.name, second.path.name) == ("gateway_audit.jsonl", "gateway_audit-2.jsonl")
    first.close()
    second.close()


def test_the_last_calls_are_the_newest_of_all(tmp_path: Path) -> None:
    """Two hundred of them, the newest first, with why they were not executed."""
    audit = Audit(AuditFile(tmp_path / "audit.jsonl").open()).start()
    activity = Activity(audit)
    for number in range(LAST):
        activity.over(answered("bot-a", "MASTER", f"M{number}", None, FINE))
    activity.over(answered("bot-b", "MASTER", "AddOrder", {}, unknown("No answer came.")))
    activity.over(answered("bot-b", "MASTER", "x" * 5000, None, not_sent("not_allowed", "E", "no")))
    audit.end()
    first, second, third = activity.recent[:3]
    assert (first.outcome, first.reason, len(first.method)) == ("not_sent", "not_allowed", 64)
    assert (second.local_key, second.outcome, third.method) == ("bot-b", "unknown", f"M{LAST - 1}")
    again = Audit(AuditFile(tmp_path / "audit.jsonl").open()).start()
    assert [each[1:] for each in Activity(again).recent] == [each[1:] for each in activity.recent]
    again.end()
    assert len(os.listdir(tmp_path)) == 2
