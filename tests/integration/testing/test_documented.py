"""Tests made from the table of what Kraken documents: what is refused, and by which name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import urllib3

from krakenonce.key.methods import METHODS
from krakenonce.key.methods import PUBLIC as KNOWN_PUBLIC
from krakenonce.testing.documented import DOCUMENTED_PRIVATE, DOCUMENTED_PUBLIC
from krakenonce.testing.private import PRIVATE
from krakenonce.testing.public import PUBLIC
from tests.integration.testing.helpers import NOW, ORDER, Caller

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from krakenonce.testing import FakeKraken, FakeKrakenServer
    from krakenonce.testing.documented.notation import Method, Parameter

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "test-your-bot.md"
EVERY = [*DOCUMENTED_PRIVATE.values(), *DOCUMENTED_PUBLIC.values()]

RIGHT = {  # a value of each kind
    "text": "x",
    "blank": "x",
    "decimal": "1.5",
    "price": "+1.5%",
    "leverage": "none",
    "switch": "true",
    "integer": "1",
    "time": "1700000000",
    "moment": "+5",
    "bound": "1700000000.5",
    "rfc3339": "2023-11-14T22:13:25Z",
    "cursor": "true",
    "texts": "x,y",
}
WIDE = "\uff13\uff10"  # the digits 3 and 0, but not those of ASCII
NOT_DECIMAL = [
    "1e4",
    "3_0000",
    " 30000 ",
    WIDE,
    "",
    "-1",
    "+1",
    "1,5",
    "0x1",
    "NaN",
    "Infinity",
    "1.5.5",
    ["1"],
]
WRONG: dict[str, list[Any]] = {  # values that are of no such kind
    "text": ["", ["x"], {"x": "y"}],
    "blank": [["x"], {"x": "y"}],
    "decimal": NOT_DECIMAL,
    "price": ["1e4", "3_0000", " 30000", WIDE, "", "+", "%", "++1", "1%%", ["1"]],
    "leverage": ["", "two", "2:2", "-1"],
    "switch": ["", "yes", "2", "on", ["true"]],
    "integer": ["", "1.5", "1e4", "1_0", " 1", WIDE, "x", ["1"]],
    "time": ["", "x", "-1", "1e9", "2023-11-14", ["1"]],
    "moment": ["", "x", "-1", "+", "++1", "1e9", ["1"]],
    "bound": ["", "x", "-1", "1e9", "OAAAAA", ["1"]],
    "rfc3339": ["", "x", "1700000000", "2023-11-14", "2023-11-14T22:13:25", ["1"]],
    "cursor": ["", ["x"]],
    "texts": ["", ",", "x,,y", [], [""], {"x": "y"}],
    "choice": ["", "Guess", "1.0", ["x"]],
    "choices": ["", "Guess", ",", [], ["Guess"]],
    "object": ["", "x", ["x"]],
    "objects": ["", "x", ["x"], {"x": "y"}],
}


def right(its: Parameter) -> Any:
    """Return a value that a parameter may have."""
    if its.kind in ("choice", "choices"):
        return its.choices[0]
    if its.kind in ("object", "objects"):
        inner = {each.name: right(each) for each in its.fields if each.is_required}
        return inner if its.kind == "object" else [inner]
    return str(its.allowed[0]) if its.allowed is not None else RIGHT[its.kind]


def needed(its: Iterable[Parameter]) -> dict[str, Any]:
    """Return the least that a call must have."""
    return {each.name: right(each) for each in its if each.is_required}


def error(fake: FakeKraken, method: Method, params: dict[str, Any]) -> str:
    """Return the error of a call; each is sent as JSON, so that lists can be sent."""
    if method.name in DOCUMENTED_PRIVATE:
        caller = Caller(fake, fake.accounts.get("K") or fake.add_account("bot", key="K"))
        reply = caller.reply(method.name, as_json=True, **params)
    else:
        headers = {"Content-Type": "application/json"}
        reply = fake.answer(f"/0/public/{method.name}", headers, json.dumps(params).encode(), NOW)
    return str(*reply["error"])


def places(method: Method) -> Iterator[tuple[Parameter, str, Any]]:
    """Yield each parameter, the name that errors give it, and a function that puts a value into a call."""
    base = needed(method.parameters.values())
    for its in method.parameters.values():
        yield its, its.name, lambda value, its=its: {**base, its.name: value}
        if its.kind == "texts":  # may have objects, too
            continue
        for inner in its.fields:
            least = needed(its.fields)
            if its.kind == "object":
                yield (
                    inner,
                    f"{its.name}[{inner.name}]",
                    lambda v, i=inner, o=its, m=least: {
                        **base,
                        o.name: {**m, i.name: v},
                    },
                )
            else:
                yield inner, inner.name, lambda v, i=inner, o=its, m=least: {**base, o.name: [{**m, i.name: v}]}


@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name)
def test_nonsense_is_refused_by_name(fake: FakeKraken, method: Method) -> None:
    """A value that is not of the kind of its parameter, or not among its values."""
    for its, name, with_value in places(method):
        wrong = [str(its.allowed[0] - 1), str(its.allowed[-1] + 1)] if its.allowed is not None else []
        for value in WRONG[its.kind] + wrong:
            expected = name if method.is_simulated else None
            refused = f"EGeneral:Invalid arguments:{expected}" if expected else f"EGeneral:Not simulated:{method.name}"
            assert error(fake, method, with_value(value)) == refused, value


@pytest.mark.parametrize("method", [each for each in EVERY if each.is_simulated], ids=lambda method: method.name)
def test_what_is_missing_is_named(fake: FakeKraken, method: Method) -> None:
    """Each required parameter, also in objects."""
    base = needed(method.parameters.values())
    for name, value in base.items():
        rest = {other: each for other, each in base.items() if other != name}
        assert error(fake, method, rest) == f"EGeneral:Invalid arguments:{name}"
        if method.parameters[name].kind == "objects":
            for inner in value[0]:
                line = {other: each for other, each in value[0].items() if other != inner}
                assert error(fake, method, {**base, name: [line]}) == f"EGeneral:Invalid arguments:{inner}"


@pytest.mark.parametrize("method", [each for each in EVERY if each.is_simulated], ids=lambda method: method.name)
def test_what_is_not_documented_or_not_simulated_is_named(fake: FakeKraken, method: Method) -> None:
    """A name that Kraken does not document, and a documented one that the fake would have to ignore."""
    base = needed(method.parameters.values())
    assert error(fake, method, {**base, "guess": "1"}) == "EGeneral:Invalid arguments:guess"
    for its, name, with_value in places(method):
        if not its.is_simulated:
            assert error(fake, method, with_value(right(its))) == f"EGeneral:Not simulated:{name}"
        for value in its.unsimulated:
            shown = value if name == its.name else f"{name}={value}"
            assert error(fake, method, with_value(value)) == f"EGeneral:Not simulated:{shown}"


def test_what_clients_send_and_kraken_ignores_is_ignored(fake: FakeKraken) -> None:
    """For these methods: pykrakenapi sends its own arguments along with Kraken's."""
    assert error(fake, DOCUMENTED_PUBLIC["OHLC"], {"pair": "XBTUSD", "ascending": "False"}) == ""
    assert error(fake, DOCUMENTED_PRIVATE["Ledgers"], {"ascending": "False"}) == ""
    assert error(fake, DOCUMENTED_PRIVATE["Balance"], {"ascending": "False"}) == "EGeneral:Invalid arguments:ascending"


def test_what_kraken_ignores_of_a_close_is_ignored(caller: Caller) -> None:
    """An example of krakenex sends these three, and says that Kraken ignores them."""
    order = {**ORDER, "close[ordertype]": "limit", "close[price]": "60000"}
    caller.result("AddOrder", **order, **{"close[pair]": "XBTUSD", "close[type]": "sell", "close[volume]": "1"})
    assert caller.error("AddOrder", **order, **{"close[guess]": "1"}) == "EGeneral:Invalid arguments:close[guess]"


def test_a_method_that_is_not_simulated_uses_its_nonce(fake: FakeKraken, caller: Caller) -> None:
    """It is in the log as any other call; a name that Kraken does not have is unknown."""
    for method in DOCUMENTED_PRIVATE.values():
        if not method.is_simulated:
            assert caller.error(method.name) == f"EGeneral:Not simulated:{method.name}"
            assert (fake.arrivals[-1].method, fake.arrivals[-1].accepted) == (method.name, True)
    assert caller.error("Guess") == "EGeneral:Unknown method"
    assert fake.answer("/0/public/MaintenanceSchedule", {}, b"", NOW)["error"] == [
        "EGeneral:Not simulated:MaintenanceSchedule"
    ]


@pytest.mark.parametrize("path", ["/funding/v1/deposits", "/0/funding/v1/withdrawals?limit=1", "/%66unding/v1/"])
def test_the_funding_api_is_refused_by_name(server: FakeKrakenServer, path: str) -> None:
    """Over HTTP, with GET and POST: its calls are signed in a way that the fake does not know."""
    with urllib3.PoolManager(retries=False) as pool:
        for verb in ("GET", "POST", "DELETE"):
            assert pool.request(verb, server.url + path).json() == {"error": ["EGeneral:Not simulated:/funding/v1"]}


def test_every_simulated_method_is_there() -> None:
    """And no other: a method that the table does not have could not be called."""
    for there, documented in ((PRIVATE, DOCUMENTED_PRIVATE), (PUBLIC, DOCUMENTED_PUBLIC)):
        assert set(there) == {name for name, its in documented.items() if its.is_simulated}


@pytest.mark.parametrize("name", ["1e4", "3_0000", " 30000 ", WIDE, "+30000", ""])
def test_a_number_is_written_in_digits(caller: Caller, name: str) -> None:
    """As a form, too; volumes have no sign, while a price may have one and is then relative."""
    assert caller.error("AddOrder", **ORDER | {"volume": name}) == "EGeneral:Invalid arguments:volume"
    if name != "+30000":
        assert caller.error("AddOrder", **ORDER | {"price": name}) == "EGeneral:Invalid arguments:price"


def test_a_wrong_order_takes_no_effect(caller: Caller) -> None:
    """Whatever else of it is right."""
    assert caller.error("AddOrder", **ORDER, valdate="true") == "EGeneral:Invalid arguments:valdate"
    assert caller.account.orders == {}


@pytest.mark.parametrize("name", [*METHODS, *sorted(KNOWN_PUBLIC)])
def test_the_methods_that_we_know_are_documented(name: str) -> None:
    """And their parameters are those that the client and the gateway know."""
    documented = DOCUMENTED_PUBLIC if name in KNOWN_PUBLIC else DOCUMENTED_PRIVATE
    assert name in documented
    if name in METHODS and METHODS[name].takes is not None:
        its = documented[name].parameters
        assert set(str(METHODS[name].takes).split()) == set(_names(its.values()))
        if METHODS[name].batch:
            assert set(METHODS[name].each_takes.split()) == set(_names(its["orders"].fields))


def _names(its: Iterable[Parameter]) -> Iterator[str]:
    for each in its:
        yield each.name
        if each.kind == "object":
            yield from (f"{each.name}[{inner.name}]" for inner in each.fields)


def parts(its: Iterable[Parameter], shown: str = "{}") -> Iterator[tuple[Parameter, str]]:
    """Yield parameters, also those in objects, each with the name that errors give it."""
    for each in its:
        yield each, shown.format(each.name)
        yield from parts(each.fields, f"{each.name}[{{}}]" if each.kind == "object" else "{}")


def in_the_docs() -> str:
    """Return the table of what the fake simulates; the page has to have it."""
    lines = ["| what | it refuses with `EGeneral:Not simulated:` and its name |", "| --- | --- |"]
    methods = [f"`{its.name}`" for its in EVERY if not its.is_simulated]
    lines.append(f"| methods | {', '.join(methods)} |")
    where: dict[str, list[str]] = {}
    for method in EVERY:
        for each, shown in parts(method.parameters.values()) if method.is_simulated else ():
            values = [value if shown == each.name else f"{shown}={value}" for value in sorted(each.unsimulated)]
            for name in ([] if each.is_simulated else [shown]) + values:
                where.setdefault(name, []).append(f"`{method.name}`")
    for name, methods in sorted(where.items()):
        lines.append(f"| `{name}` | in {', '.join(methods)} |")
    return "\n".join(lines)


def test_the_docs_say_what_is_not_simulated() -> None:
    """The table of the page is made from the table of the code."""
    page = PAGE.read_text(encoding="utf-8")
    assert in_the_docs() in page, f"the page has to have this table:\n\n{in_the_docs()}"


def test_a_public_call_takes_its_parameters_from_the_query(fake: FakeKraken) -> None:
    """A GET has no body."""
    query = urlencode({"pair": "XBTUSD", "count": "501"})
    assert fake.answer(f"/0/public/Depth?{query}", {}, b"", NOW)["error"] == ["EGeneral:Invalid arguments:count"]
