"""Exports of trades and of the ledger: a report is ordered, then made, and then a zip with a table in it."""

from __future__ import annotations

import csv
import io
import secrets
import string
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid, listed
from krakenonce.testing.holdings import Export

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.private import Call


QUEUED, MADE = 0.5, 1.0  # seconds after which a report is begun, and done
_FORTNIGHT = 14 * 86400
_FIELDS = {
    "trades": ("ordertxid", "time", "ordertype", "price", "cost", "fee", "vol", "margin", "misc", "ledgers"),
    "ledgers": ("refid", "time", "type", "subtype", "aclass", "asset", "amount", "fee", "balance", "wallet"),
}


def _add_export(call: Call) -> dict[str, Any]:
    params = call.params
    fields = tuple(listed(params, "fields")) or ("all",)
    possible = _FIELDS[params["report"]]
    if fields != ("all",) and not set(fields) <= set(possible):
        raise invalid("fields")
    name = "".join(secrets.choice(string.ascii_uppercase) for _ in range(4))
    call.account.holdings.exports[name] = Export(
        id=name,
        report=params["report"],
        format=params.get("format", "CSV"),
        description=params["description"],
        fields=possible if fields == ("all",) else fields,
        start=float(params["starttm"]) if "starttm" in params else _begin_of_month(call.now),
        end=float(params.get("endtm", call.now)),
        created=call.now,
    )
    return {"id": name}


def _begin_of_month(now: float) -> float:
    today = datetime.fromtimestamp(now, UTC)
    return datetime(today.year, today.month, 1, tzinfo=UTC).timestamp()


def _export_status(call: Call) -> list[dict[str, Any]]:
    there = call.account.holdings.exports.values()
    return [_shown(each, call.now) for each in there if each.report == call.params["report"]]


def _status(export: Export, now: float) -> str:
    if now < export.created + QUEUED:
        return "Queued"
    return "Processing" if now < export.created + MADE else "Processed"


def _shown(export: Export, now: float) -> dict[str, Any]:
    status = _status(export, now)
    return {
        "id": export.id,
        "descr": export.description,
        "format": export.format,
        "report": export.report,
        "subtype": "all",
        "status": status,
        "flags": "0",
        "fields": ",".join(export.fields),
        "createdtm": str(int(export.created)),
        "expiretm": str(int(export.created) + _FORTNIGHT),
        "starttm": "0" if status == "Queued" else str(int(export.created + QUEUED)),
        "completedtm": str(int(export.created + MADE)) if status == "Processed" else "0",
        "datastarttm": str(int(export.start)),
        "dataendtm": str(int(export.end)),
        "aclass": "forex",
        "asset": "all",
    }


def _retrieve_export(call: Call) -> bytes:
    export = _find(call)
    if _status(export, call.now) != "Processed":
        raise invalid("id")
    is_csv = export.format == "CSV"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{export.report}.{'csv' if is_csv else 'tsv'}", _table(call, export, "," if is_csv else "\t"))
    return packed.getvalue()


def _table(call: Call, export: Export, delimiter: str) -> str:
    entries = call.account.trades if export.report == "trades" else call.account.ledger
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["txid", *export.fields])
    for txid, entry in entries.items():
        if export.start <= entry["time"] < export.end:
            writer.writerow([txid, *(_cell(name, entry) for name in export.fields)])
    return text.getvalue()


def _cell(name: str, entry: dict[str, Any]) -> str:
    if name == "wallet":
        return "spot / main"
    value = entry[name]
    if name == "time":
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return ",".join(value) if isinstance(value, list) else str(value)


def _remove_export(call: Call) -> dict[str, Any]:
    """Delete a report that is made, or cancel one that is not."""
    export, wanted = _find(call), call.params["type"]
    if (wanted == "delete") != (_status(export, call.now) == "Processed"):
        raise invalid("type")
    del call.account.holdings.exports[export.id]
    return {wanted: True}


def _find(call: Call) -> Export:
    found = call.account.holdings.exports.get(call.params["id"])
    if found is None:
        raise invalid("id")
    return found


EXPORTS: dict[str, Callable[[Call], Any]] = {
    "AddExport": _add_export,
    "ExportStatus": _export_status,
    "RemoveExport": _remove_export,
    "RetrieveExport": _retrieve_export,
}
