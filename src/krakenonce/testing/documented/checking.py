"""Check the parameters of a call by the table, before the method gets them.

It runs on each call, so the tests of each parameter are made once. A parameter that is empty is refused: the clients
that we know (ccxt, python-kraken-sdk, krakenex, Kraken's own kraken-cli) leave out what is not given, so an empty one
is most often a variable that was never set. Only the ``txid`` of CancelOrder may be empty: Kraken answers as to an
order that is not there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid
from krakenonce.testing.documented import DOCUMENTED_PRIVATE, DOCUMENTED_PUBLIC
from krakenonce.testing.documented.notation import PATTERNS
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from krakenonce.testing.documented.notation import Method, Parameter

    Test = Callable[[Any], object]  # tells whether the value of a parameter is right


# What clients send that work on Kraken, which ignores it: in which methods, or in the object ``close`` of an order.
# pykrakenapi 0.3.2, which Home Assistant uses, sends its own arguments along with Kraken's. An example of krakenex says
# of the last three that Kraken ignores them.
_IGNORED = {
    "ascending": "OHLC Depth Trades Spread TradesHistory QueryTrades Ledgers QueryLedgers",
    "aclass": "TradeBalance",
    "fee_info": "TradeVolume",
    "pair": "close",
    "type": "close",
    "volume": "close",
}


def _ignored(place: str) -> tuple[str, ...]:
    return tuple(name for name, places in _IGNORED.items() if place in places.split())


def not_simulated(name: str) -> Refused:
    """Return the error for what Kraken documents and the fake does not do."""
    return Refused(f"EGeneral:Not simulated:{name}")


class _Check:
    """The tests of the parameters of a call, or of an object in it.

    Args:
        its: The parameters that there are.
        shown: How an error names a parameter; ``close[{}]`` in the object ``close``.
        also: Names that are taken with any value.
    """

    __slots__ = ("_required", "_shown", "_tests", "_unsimulated")

    def __init__(self, its: Iterable[Parameter], shown: str = "{}", also: Iterable[str] = ()) -> None:
        its = tuple(its)
        self._shown = shown
        self._required = tuple(each.name for each in its if each.is_required)
        self._unsimulated = frozenset(each.name for each in its if not each.is_simulated)
        self._tests: dict[str, Test] = {each.name: _test_of(each, shown) for each in its}
        self._tests |= dict.fromkeys(also, lambda _: True)

    def __call__(self, params: Mapping[str, Any]) -> bool:
        for name in self._required:
            if name not in params:
                raise invalid(self._shown.format(name))
        tests = self._tests
        for name, value in params.items():
            try:
                is_right = tests[name](value)
            except (KeyError, TypeError):  # an unknown name; a list where a text belongs
                is_right = False
            if not is_right:
                raise invalid(self._shown.format(name))
        if self._unsimulated and not self._unsimulated.isdisjoint(params):
            raise not_simulated(self._shown.format(next(name for name in params if name in self._unsimulated)))
        return True


def check(documented: Mapping[str, Method], name: str, params: Mapping[str, Any]) -> None:
    """Refuse a call with a parameter that is missing, unknown or wrong, and what is not simulated.

    Args:
        documented: The private methods, or the public ones.
        name: The method.
        params: Its parameters, with ``nonce`` and ``otp``.

    Raises:
        Refused: ``EGeneral:Unknown method``, ``EGeneral:Invalid arguments`` or ``EGeneral:Not simulated``, the last two
            with the name of what they mean.
    """
    its = documented.get(name)
    if its is None:
        raise Refused("EGeneral:Unknown method")
    if not its.is_simulated:
        raise not_simulated(name)
    _CHECKS[id(documented)][name](params)


def _test_of(its: Parameter, shown: str) -> Test:
    if its.kind == "choice":
        return _of_choice(its, "{}" if shown == "{}" else f"{shown.format(its.name)}={{}}")
    if its.kind in ("choices", "texts"):
        return _of_list(its)
    if its.kind == "object":
        check_object = _Check(its.fields, f"{its.name}[{{}}]", also=_ignored(its.name))
        return lambda value: isinstance(value, dict) and check_object(value)
    if its.kind == "objects":
        check_each = _Check(its.fields)
        return lambda value: isinstance(value, list) and all(isinstance(x, dict) and check_each(x) for x in value)
    looks_right = re.compile(PATTERNS[its.kind]).fullmatch
    allowed = its.allowed
    if allowed is None:
        return looks_right
    return lambda value: looks_right(value) and int(value) in allowed


def _of_choice(its: Parameter, shown: str) -> Test:
    choices = frozenset(its.choices)

    def is_right(value: Any) -> bool:
        if value in its.unsimulated:
            raise not_simulated(shown.format(value))
        return value in choices

    return is_right if its.unsimulated else choices.__contains__


def _of_list(its: Parameter) -> Test:
    """Return the test of a list: texts between commas, or a list of texts, and of objects if it may have some."""
    allowed = frozenset(its.choices)
    check_each = _Check(its.fields) if its.fields else None

    def is_right(value: Any) -> bool:
        entries = value.split(",") if isinstance(value, str) else value
        return isinstance(entries, list) and bool(entries) and all(map(is_entry, entries))

    def is_entry(entry: Any) -> bool:
        if isinstance(entry, dict):
            return check_each is not None and check_each(entry)
        return isinstance(entry, str) and (entry.strip() in allowed if allowed else bool(entry.strip()))

    return is_right


def _checks(documented: Mapping[str, Method], also: tuple[str, ...]) -> dict[str, _Check]:
    return {name: _Check(its.parameters.values(), also=(*also, *_ignored(name))) for name, its in documented.items()}


_CHECKS = {
    id(DOCUMENTED_PUBLIC): _checks(DOCUMENTED_PUBLIC, ("nonce",)),
    id(DOCUMENTED_PRIVATE): _checks(DOCUMENTED_PRIVATE, ("nonce", "otp")),
}
