"""The fake Kraken's own paths, under ``/fake/``, for other processes and languages.

========  ====================  ==============================================================================
GET       /fake/arrivals        the log: one object for each private request
POST      /fake/reset           empties the log; accepted nonces stay accepted
POST      /fake/faults          adds a fault: ``{"method": "AddOrder", "fault": "process_then_cut", "times": 1}``
GET       /fake/faults          the faults still to come
DELETE    /fake/faults          removes them
GET       /fake/rules           the switches: :class:`~krakenonce.testing.rules.Rules`
POST      /fake/rules           changes some of them: ``{"status": "maintenance"}``
POST      /fake/price           sets the price of a pair: ``{"pair": "XBTUSD", "price": "37000"}``
POST      /fake/fill            fills an open order: ``{"txid": "O...", "volume": "0.5"}``
POST      /fake/sockets/cut     cuts all WebSocket connections
POST      /fake/accounts        adds an account, with the arguments of ``FakeKraken.add_account``:
                                ``{"name": "bot", "balances": {"ZUSD": "100"}, "last_nonce": 5}``; answers with its
                                ``api_key`` and ``api_secret``
POST      /fake/keys            adds a key to the account of another one, with the arguments of ``add_key``:
                                ``{"account": "its api_key", "last_nonce": 5}``; answers in the same way
POST      /fake/revoke          revokes a key: ``{"key": "its api_key"}``
========  ====================  ==============================================================================
"""

from __future__ import annotations

import json
from dataclasses import asdict
from inspect import signature
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.fake_kraken import FakeKraken
    from krakenonce.testing.keys import ApiKey


def control(fake: FakeKraken, verb: str, path: str, body: bytes) -> tuple[int, Any]:
    """Return the HTTP status and the JSON with which one of the fake's own paths answers.

    Args:
        fake: The fake Kraken that is read or changed.
        verb: Such as ``GET``.
        path: Such as ``/fake/arrivals``.
        body: JSON, where the path takes any.
    """
    handler = _PATHS.get((verb, path.removeprefix("/fake/").rstrip("/")))
    if handler is None:
        known = ", ".join(f"{other} /fake/{name}" for other, name in _PATHS)
        return 404, {"error": f"There is no {verb} {path}; there are: {known}."}
    try:
        answer = handler(fake, _object(body))
    except ConfigError as error:
        return 400, {"error": str(error)}
    return 200, {} if answer is None else answer


def _object(body: bytes) -> dict[str, Any]:
    try:
        described = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        raise ConfigError("The body is not a JSON object.")
    return described


def _add_fault(fake: FakeKraken, described: dict[str, Any]) -> dict[str, int]:
    fake.faults.add_from(described)
    return {"waiting": len(fake.faults)}


def _add_account(fake: FakeKraken, described: dict[str, Any]) -> dict[str, str]:
    names = list(signature(fake.add_account).parameters)
    is_named = described.get("name") and described.keys() <= set(names)
    if not is_named or not isinstance(described.get("balances", {}), dict):
        raise ConfigError(
            f"An account has a name, may have balances: an object of amounts by asset, and of all names only "
            f"these: {', '.join(names)}."
        )
    account = fake.add_account(**described)
    return _shown(account.keys[0])


def _add_key(fake: FakeKraken, described: dict[str, Any]) -> dict[str, str]:
    known = fake.keys.get(_text(described, "account"))
    if known is None:
        raise ConfigError("The fake Kraken has no key with this account's api_key.")
    return _shown(fake.add_key(known.account, **{name: each for name, each in described.items() if name != "account"}))


def _shown(key: ApiKey) -> dict[str, str]:
    return {"name": key.name, "api_key": key.key, "api_secret": key.secret}


def _change_rules(fake: FakeKraken, described: dict[str, Any]) -> dict[str, Any]:
    fake.rules.change(**described)
    return fake.rules.described()


def _price(fake: FakeKraken, described: dict[str, Any]) -> None:
    _refuse_others(described, "pair", "price")
    fake.set_price(_text(described, "pair"), _text(described, "price"))


def _revoke(fake: FakeKraken, described: dict[str, Any]) -> None:
    _refuse_others(described, "key")
    fake.revoke(_text(described, "key"))


def _fill(fake: FakeKraken, described: dict[str, Any]) -> None:
    _refuse_others(described, "txid", "volume")
    fake.fill(_text(described, "txid"), _text(described, "volume") if "volume" in described else None)


def _refuse_others(described: dict[str, Any], *names: str) -> None:
    others = described.keys() - set(names)
    if others:
        raise ConfigError(f"The body has {', '.join(sorted(others))}; it may have: {', '.join(names)}.")


def _text(described: dict[str, Any], name: str) -> str:
    if not isinstance(described.get(name), str | int | float):
        raise ConfigError(f"The body needs a {name}.")
    return str(described[name])


_PATHS: dict[tuple[str, str], Callable[[FakeKraken, dict[str, Any]], Any]] = {
    ("GET", "arrivals"): lambda fake, _: [asdict(each) for each in fake.arrivals],
    ("POST", "reset"): lambda fake, _: fake.arrivals.clear(),
    ("POST", "faults"): _add_fault,
    ("GET", "faults"): lambda fake, _: [asdict(each) for each in fake.faults.waiting()],
    ("DELETE", "faults"): lambda fake, _: fake.faults.clear(),
    ("GET", "rules"): lambda fake, _: fake.rules.described(),
    ("POST", "rules"): _change_rules,
    ("POST", "price"): _price,
    ("POST", "fill"): _fill,
    ("POST", "sockets/cut"): lambda fake, _: fake.cut_sockets(),
    ("POST", "accounts"): _add_account,
    ("POST", "keys"): _add_key,
    ("POST", "revoke"): _revoke,
}
