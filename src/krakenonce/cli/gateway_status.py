"""The command gateway status: how a running gateway is, in words."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from krakenonce.cli.options import json_option
from krakenonce.cli.output import to_json, write
from krakenonce.cli.tables import Column, write_table
from krakenonce.errors import KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Mapping


_PATIENCE = 10.0  # seconds that the gateway may take for an answer
_ORDER = ("no_credentials", "refused", "locked_out", "limited", "fine")  # the broken ones first
_ACCOUNTS = (
    *(Column("account"), Column("state", "id"), Column("why", "reason")),
    *(Column("waiting", "number"), Column("answered", "number"), Column("refused", "number")),
)
_CALLS = (
    *(Column("last calls (UTC)", "id"), Column("local key"), Column("account"), Column("method")),
    *(Column("outcome", "reason"), Column("took", "number")),
)
_IN_WORDS = {"no_credentials": "not served", "locked_out": "locked out"}


@click.command("status")
@click.option(
    "--listen",
    default="127.0.0.1:8686",
    show_default=True,
    metavar="HOST:PORT|unix:PATH|URL",
    help="Where the gateway listens.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="PEM file with the authority that has signed the gateway's certificate, if this machine does not trust it.",
)
@click.option(
    "--calls", type=click.IntRange(0, 200), default=5, show_default=True, metavar="N", help="How many calls to show."
)
@json_option
def status(listen: str, ca: Path | None, calls: int, as_json: bool) -> int:
    """Ask a running gateway how its accounts are, and show the last calls.

    Exit code 0: all accounts are fine. 1: something is wrong, or no gateway answers.
    """
    found = json.loads(ask(listen, "/v1/status", ca))
    last = json.loads(ask(listen, "/v1/calls", ca))[:calls] if calls else []
    accounts = accounts_in(found)
    summary, is_fine = summary_of(found, accounts), not _troubles(found) and all(a["state"] == "fine" for a in accounts)
    if as_json:
        write(to_json({"fine": is_fine, "summary": summary, **found, "calls": last}))
        return 0 if is_fine else 1
    write(summary)
    write()
    rows = [
        (
            each["account"],
            _IN_WORDS.get(each["state"], each["state"]),
            each["why"] if each["until"] is None else f"until {_clock(each['until'])}",
            str(each["waiting"]),
            str(each["answered"]),
            str(each["refused"]),
        )
        for each in accounts
    ]
    write_table(_ACCOUNTS, rows)
    if last:
        write()
        write_table(_CALLS, map(_call, last))
    return 0 if is_fine else 1


def ask(listen: str, path: str, ca: Path | None = None) -> bytes:
    """Return a page of a running gateway.

    Args:
        listen: Where it listens: as for ``gateway run``, or a URL.
        path: The path of the page.
        ca: A PEM file with the authority that has signed its certificate; None: those that this machine trusts.

    Raises:
        click.UsageError: That is no address.
        KrakenonceError: No gateway answers there, or it says that it cannot.
    """
    connection = _connection(listen, ca)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise KrakenonceError(
            f"no gateway answers at {listen} ({why}): start it with `krakenonce gateway run`, or give --listen"
        ) from error
    finally:
        connection.close()
    if answer.status != 200:
        line = body[:300].decode(errors="replace").strip()
        raise KrakenonceError(f"the gateway at {listen} answered {path} with HTTP status {answer.status}: {line}")
    return body


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


def _connection(listen: str, ca: Path | None) -> http.client.HTTPConnection:
    if listen.startswith("unix:"):
        return _UnixConnection(listen.removeprefix("unix:"))
    try:
        url = urlsplit(listen if "://" in listen else f"http://{listen}")
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if not host or url.scheme not in ("http", "https") or url.path not in ("", "/"):
        raise click.UsageError(f"--listen must be HOST:PORT, unix:PATH or a URL such as https://host:8686: {listen!r}")
    if url.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise KrakenonceError(f"cannot use {ca} ({error.strerror or error})") from error
    return http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)


def accounts_in(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is shown of each account, the broken ones first.

    Args:
        found: What the gateway has answered.
    """
    accounts = [
        {
            "account": each["account"],
            "state": each["health"]["state"],
            "why": each["health"]["words"],
            "until": each["health"]["until"],
            "waiting": each.get("waiting", 0),
            "answered": each.get("answered", 0),
            "refused": sum(each.get("refused", {}).values()),
        }
        for each in (*found["accounts"], *found["unusable"])
    ]
    return sorted(accounts, key=lambda each: (_ORDER.index(each["state"]), each["account"]))


def summary_of(found: Mapping[str, Any], accounts: list[dict[str, Any]]) -> str:
    """Return in one line how the gateway is.

    Args:
        found: What the gateway has answered.
        accounts: Its accounts, as :func:`accounts_in` returns them.
    """
    groups: dict[tuple[str, str], list[float]] = {}
    for each in reversed(accounts):  # the fine ones first
        why = each["why"] if each["until"] is None and each["state"] not in ("fine", "no_credentials") else ""
        groups.setdefault((each["state"], why), []).append(each["until"] or 0.0)
    parts = []
    for (state, why), until in groups.items():
        words = f"{len(until)} {_IN_WORDS.get(state, state)}"
        parts.append(words + (f": {why}" if why else "") + (f" until {_clock(max(until))}" if max(until) else ""))
    return "; ".join((*_troubles(found), ", ".join(parts) or "no accounts"))


def _troubles(found: Mapping[str, Any]) -> list[str]:
    silent = found["state_silent_seconds"]
    troubles = ["the gateway is stopping"] if found["stopping"] else []
    return troubles + ([f"the state has not answered for {silent:.1f} s, and all calls wait for it"] if silent else [])


def _call(row: Mapping[str, Any]) -> tuple[str, ...]:
    outcome = row["outcome"].replace("_", " ") + (f": {row['reason']}" if row["reason"] else "")
    took = "" if row["took"] is None else f"{row['took'] * 1000:.0f} ms"
    at = f"{datetime.fromtimestamp(row['time'], UTC):%m-%d %H:%M:%S}"
    return at, row["local_key"], row["account"], row["method"], outcome, took


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M} UTC"
