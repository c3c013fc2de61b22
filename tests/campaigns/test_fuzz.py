"""The fuzz campaign runs, and every one of its promises can be seen broken."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError, RequestNotSent
from krakenonce.gateway import client_call
from krakenonce.key import answers
from krakenonce.kraken import request as requests
from krakenonce.kraken import wire
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.transport import Transport
from krakenonce.testing.delivery import Delivery
from krakenonce.testing.private import PRIVATE
from krakenonce.testing.public import PUBLIC
from prove.campaign import Broken, Trial
from prove.fuzz import TARGETS, run
from prove.fuzz.requests import own_signature
from prove.fuzz.targets import fuzz
from tests.unit.kraken.test_wire import NONCE, SECRET, VECTORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_campaign_runs_every_target(tmp_path: Path) -> None:
    """Each target has its examples, also when there is hardly any time."""
    figures = run(Trial(tmp_path, 1, 0.0))
    assert figures.keys() == {target.name for target in TARGETS}
    assert min(figures.values()) >= 10


def test_a_seed_repeats_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was broken once can be broken again."""
    target = next(target for target in TARGETS if target.name == "nonces")
    given: list[list[bytes]] = []
    real = wire.nonce_of

    def noted(text: bytes, kind: str) -> str | None:
        given[-1].append(text)
        return real(text, kind)

    monkeypatch.setattr(wire, "nonce_of", noted)
    for seed in (1, 1, 2):
        given.append([])
        fuzz(target, seed)
    assert given[0] == given[1] != given[2]


@pytest.mark.parametrize("name", VECTORS)
def test_the_other_signature_is_the_published_one(name: str) -> None:
    """What ours is compared with gives Kraken's own signatures, and shares no code with it."""
    path, _, text, signature = VECTORS[name]
    assert own_signature(path.encode(), str(NONCE).encode(), text.encode(), base64.b64decode(SECRET)) == signature


def _quoting(text: str) -> wire.Secret:
    try:
        return decode_secret(text)
    except ConfigError as error:
        raise ConfigError(f"{error} It was: {text}") from None


def _refused(*_: object) -> Any:
    raise ConfigError("everything is refused")


def _without_path(path: str, nonce: Any, text: Any, secret: wire.Secret) -> str:
    return sign("/", nonce, text, secret)


def _verified_anyway(path: str, text: bytes, kind: str, secret: wire.Secret, _: str) -> bool:
    return verify(path[:-1], text, kind, secret, sign(path[:-1], nonce_of(text, kind) or "", text, secret))


def _without_blanks(path: str, text: bytes, kind: str) -> Any:
    call = read_call(path, text, kind)
    return call and call._replace(before=call.before.lstrip() if wire.is_json(kind) else call.before)


def _of_another_nonce(path: str, text: bytes, kind: str) -> Any:
    call = read_call(path, text, kind)
    return call and call._replace(nonce=call.nonce[:-1] or "1")


def _without_params(path: str, text: bytes, kind: str) -> Any:
    call = read_call(path, text, kind)
    return call and call._replace(params={})


def _first_only(path: str, text: bytes, kind: str) -> Any:
    """Takes a form with two nonces."""
    one, both, rest = text.partition(b"&nonce=1")
    call = read_call(path, one, kind)
    return call and call._replace(after=call.after + both + rest)


def _of_any_status(request: Any, host: str, received: requests.Answer) -> Any:
    return read_answer(request, host, received._replace(status=200))


def _first_error(strings: Any, now: float | None = None) -> Any:
    return error_from(strings[:1], now)


def _sure(strings: Any, now: float | None = None) -> Any:
    error = error_from(strings, now)
    error.may_have_executed = "no"
    return error


def _not_sent(*_: object) -> Any:
    raise RequestNotSent("a guess")


async def _not_sent_either(*_: object) -> Any:
    raise RequestNotSent("a guess")


def _crash(*_: object) -> Any:
    raise KeyError("pair")


async def _crashed(*_: object, **__: object) -> Any:
    raise KeyError("pair")


def _no_shape(*_: object) -> Any:
    return {1, 2}


encode_form, encode_json = wire.encode_form, wire.encode_json
sign, verify, nonce_of, decode_secret = wire.sign, wire.verify, wire.nonce_of, wire.decode_secret
read_call = client_call.read_call
read_answer, error_from = requests.read_answer, answers.error_from
BREAKS: list[tuple[str, object, str, Callable[..., Any]]] = [
    ("forms", wire, "encode_form", lambda params: encode_form({name.strip(): each for name, each in params.items()})),
    ("JSON bodies", wire, "encode_json", lambda params: encode_json(dict(sorted(params.items())))),
    ("secrets", wire, "decode_secret", lambda text: wire.Secret(text.encode())),
    ("secrets", wire, "decode_secret", _quoting),
    ("requests", requests, "sign", _without_path),
    ("requests", requests.PrivateCall, "request", _refused),
    ("signatures", wire, "sign", _without_path),
    ("signatures", wire, "verify", _verified_anyway),
    ("nonces", wire, "nonce_of", lambda text, _: "12" if b"12" in text else None),
    ("nonces", wire, "nonce_of", lambda *_: None),
    ("other nonces", client_call, "read_call", _without_blanks),
    ("other nonces in damaged bodies", client_call, "read_call", _of_another_nonce),
    ("other nonces in damaged bodies", client_call, "read_call", _without_params),
    ("other nonces in damaged bodies", client_call, "read_call", _first_only),
    ("other nonces in damaged bodies", client_call, "read_call", lambda *_: None),
    ("answers", requests, "read_answer", _of_any_status),
    ("answers", answers, "error_from", _first_error),
    ("answers", answers, "error_from", _sure),
    ("calls", answers, "error_from", _sure),
    ("answers over HTTP", Transport, "send", _not_sent),
    ("answers over HTTP", AsyncTransport, "send", _not_sent_either),
    ("requests over HTTP", Delivery, "bring", _crashed),
]


@pytest.mark.parametrize(("name", "place", "what", "broken"), BREAKS, ids=[f"{each[0]}-{each[2]}" for each in BREAKS])
def test_a_broken_promise_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, place: object, what: str, broken: object
) -> None:
    """Code that breaks one rule is found out within a few batches."""
    target = next(target for target in TARGETS if target.name == name)
    monkeypatch.setattr(place, what, broken)
    with pytest.raises(Broken, match=f"{name}.*: Broken: "):
        _batches(target)


def test_an_error_that_is_not_ours_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that crashes has found something, too."""
    monkeypatch.setattr(answers, "_UNREADABLE", ())
    with pytest.raises(Broken, match=r"^calls: (?!Broken)\w+: "):
        _batches(next(target for target in TARGETS if target.name == "calls"))


@pytest.mark.parametrize("handler", [_crash, _no_shape])
@pytest.mark.parametrize(("name", "table"), [("calls of the fake", PRIVATE), ("requests to the fake", PUBLIC)])
def test_a_fake_that_crashes_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, table: dict[str, Any], handler: object
) -> None:
    """One method that raises, or answers what JSON does not have, is enough."""
    target = next(target for target in TARGETS if target.name == name)
    monkeypatch.setitem(table, "Balance" if table is PRIVATE else "Ticker", handler)
    with pytest.raises(Broken, match=name):
        _batches(target)


def _batches(target: Any) -> None:
    for batch in range(40):
        fuzz(target, 1, batch, shrink=False)
