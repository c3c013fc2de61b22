"""What an error report shows: the variables of every frame, also of the errors that led to the error.

docs/explanation/security.md says what holds. The frames of the tests are left out: their variables are a bot's own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import inspect
import json
import logging
import pkgutil
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import krakenex
import pytest

import krakenonce
from krakenonce import errors, guard
from krakenonce.brokers import (
    Account,
    AsyncBrokerManager,
    BrokerManager,
    KeyPair,
    KrakenBroker,
    load_account,
    load_accounts,
)
from krakenonce.cli import main as cli
from krakenonce.gateway.activity import Activity
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.key.pair import checked_pairs
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.request import Key, PrivateCall
from krakenonce.kraken.transport import Transport
from krakenonce.kraken.wire import decode_secret, sign
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.gateway.conftest import RunningGateway, call
from tests.integration.kraken.helpers import CUT, HTML_502, OK, SILENCE, ScriptedServer, Twin, held
from tests.integration.reports import chain, frames, our_frames, report, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "4/SDrDBcOOPnm3nPlNfEMMJDeRcIVqPz+QhRxIodyZbI9po/aVRiHsgX"
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
SOURCE = Path(krakenonce.__file__).parent
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "20123.4", "volume": "0.5123"}
OF_THE_SECRET = (SECRET[:20], repr(base64.b64decode(SECRET))[2:40], base64.b64decode(SECRET)[:20].decode("latin-1"))
OTP = "853172"
OF_THE_CALL = (KEY[:20], "API-Sign", "20123.4", "0.5123", OTP)


def assert_blind(error: BaseException) -> None:
    """No part of secret, key, signature or order is in any frame of the error, nor in its texts."""
    text = report(error)
    for hidden in (*OF_THE_SECRET, *OF_THE_CALL):
        assert hidden not in text, f"{hidden} in {text[:3000]}"


def error_of(function: Callable[..., object], *args: Any, **more: Any) -> BaseException:
    """Return the error that a call raises."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is
        function(*args, **more)
    return caught.value


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken with an account of this key."""
    fake = FakeKraken()
    fake.add_account("MASTER", key=KEY, secret=SECRET, balances={"ZUSD": "1.0000"})
    return fake


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP."""
    with FakeKrakenServer(fake) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def twin(request: pytest.FixtureRequest) -> Iterator[Callable[..., Twin]]:
    """Makes a client of either kind, with this key."""
    with contextlib.ExitStack() as made:

        def make(url: str, **options: Any) -> Twin:
            options = {"manager": NonceManager("memory:"), "tier": "none", "secret": SECRET, "otp": OTP, **options}
            return made.enter_context(Twin(request.param, KEY, base_url=url, **options))

        yield make


# --- our clients -----------------------------------------------------------------------------------------------


class Odd:
    """A parameter that cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


REFUSED_HERE: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "no number": ("private", ("AddOrder",), {**ORDER, "leverage": float("nan")}),
    "no number in a nested order": ("private", ("AddOrderBatch",), {"pair": "X", "orders": [ORDER, {"a": {1, 2}}]}),
    "bad method name": ("private", ("Add Order",), ORDER),
    "bad method name, once": ("query_private", ("Add Order", ORDER), {}),
    "bad method name, public": ("query_public", ("Tick er", ORDER), {}),
    "a nonce as text": ("query_private", ("AddOrder", {**ORDER, "nonce": "now"}), {}),
    "a nonce that is not wanted": ("private", ("AddOrder",), {**ORDER, "nonce": 1}),
    "an argument too many": ("add_order", ("XBTUSD", "buy", "limit", "0.5123", "20123.4"), {"leverage": 1, "close": 5}),
    "half a surrogate": ("private", ("AddOrder",), {**ORDER, "leverage": "\ud800"}),
    "a timeout of no kind": ("query_private", ("AddOrder", ORDER), {"timeout": "soon"}),
}


@pytest.mark.parametrize("name", REFUSED_HERE)
def test_a_call_that_is_refused_here_shows_nothing_of_itself(twin: Callable[..., Twin], name: str) -> None:
    """Wrong values, methods and nonces: the error has no variable with the secret, the key or the order."""
    method, args, more = REFUSED_HERE[name]
    error = error_of(twin("http://127.0.0.1:9"), method, *args, **more)
    assert isinstance(error, errors.ConfigError | TypeError)
    assert_blind(error)


@pytest.mark.parametrize("secret", [SECRET + "*", SECRET[:-1], ""], ids=["not base64", "cut", "none"])
def test_a_secret_that_cannot_be_used_is_in_no_variable(twin: Callable[..., Twin], secret: str) -> None:
    """It is refused with the first private call."""
    error = error_of(twin("http://127.0.0.1:9", secret=secret), "private", "AddOrder", **ORDER)
    assert type(error) is errors.ConfigError
    assert_blind(error)


@pytest.mark.parametrize("kind", [Kraken, AsyncKraken])
@pytest.mark.parametrize(
    "wrong",
    [{"tier": "gold"}, {"base_url": "kraken"}, {"timeout": -1}, {"transport": 5}, {"secret": SECRET.encode()}],
    ids=str,
)
def test_a_client_that_is_not_made_shows_no_secret(kind: type[Kraken | AsyncKraken], wrong: dict[str, Any]) -> None:
    """The constructor refuses another argument, and the secret that was passed with it is in no variable."""
    error = error_of(kind, **{"key": KEY, "secret": SECRET, **wrong})
    assert type(error) is errors.ConfigError
    assert_blind(error)


@pytest.mark.parametrize("script", [CUT, SILENCE, HTML_502], ids=["cut", "silence", "HTML"])
def test_a_lost_answer_shows_nothing_of_its_call(twin: Callable[..., Twin], script: bytes | None) -> None:
    """Neither our frames nor those of the HTTP library are kept; the reason is."""
    with ScriptedServer(OK, script) as server:  # the first answer is that to Time
        client = twin(server.url, timeout=0.2)
        error: Any = error_of(client, "private", "AddOrder", **ORDER)
        client.wait(client.client.close())
        _, sent = server.requests
    assert type(error) is errors.OutcomeUnknown
    assert_blind(error)
    (signature,) = (line[10:] for line in sent.decode().splitlines() if line.lower().startswith("api-sign: "))
    assert signature not in report(error)
    assert error.order.cl_ord_ids[0] in repr(error.order)
    assert script is HTML_502 or error.__cause__ is not None
    assert len(our_frames(error)) == 1


def test_a_call_that_finds_no_connection_shows_nothing_of_itself(twin: Callable[..., Twin]) -> None:
    """RequestNotSent, with the library's error as its cause."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    error = error_of(twin(url), "query_private", "AddOrder", ORDER)
    assert type(error) is errors.RequestNotSent
    assert error.__cause__ is not None
    assert_blind(error)


@pytest.mark.parametrize(
    ("string", "kind"),
    [
        ("EAPI:Invalid nonce", errors.InvalidNonce),
        ("EAPI:Invalid signature", errors.InvalidSignature),
        ("EOrder:Insufficient funds", errors.InsufficientFunds),
        ("EGeneral:Temporary lockout", errors.LockedOut),
        ("EAPI:Rate limit exceeded", errors.RateLimited),
        ("EService:Unavailable", errors.ServiceUnavailable),
        ("ENew:Never seen", errors.UnknownKrakenError),
    ],
)
def test_a_refusal_shows_nothing_of_its_call(
    twin: Callable[..., Twin], fake: FakeKraken, server: FakeKrakenServer, string: str, kind: type[errors.KrakenError]
) -> None:
    """Kraken's errors, as often as the call is repeated."""
    fake.faults.add("any", "error", error=string, times=9)
    error = error_of(twin(server.url, max_wait=0), "private", "AddOrder", **ORDER, userref=7)
    assert isinstance(error, kind)
    assert_blind(error)


def test_a_call_whose_turn_does_not_come_shows_nothing_of_itself(
    twin: Callable[..., Twin], server: FakeKrakenServer
) -> None:
    """LaneTimeout."""
    manager = NonceManager("memory:")
    client = twin(server.url, manager=manager)
    steps = client.client.calls.private("AddOrder", ORDER)
    with held(manager.lane(KEY)):
        error = error_of(client, "run", steps, within=0.05)
    assert type(error) is errors.LaneTimeout
    assert_blind(error)


def test_a_call_without_a_nonce_shows_nothing_of_itself(
    twin: Callable[..., Twin], server: FakeKrakenServer, tmp_path: Path
) -> None:
    """NonceStoreError: the state directory is a file."""
    (tmp_path / "state").write_text("")
    error = error_of(twin(server.url, manager=NonceManager(tmp_path / "state")), "private", "AddOrder", **ORDER)
    assert type(error) is errors.NonceStoreError
    assert_blind(error)


def test_an_error_that_is_not_ours_says_where_it_came_from(twin: Callable[..., Twin]) -> None:
    """Its frames are left out like those of ours, and a note names their places instead: it may be a bug."""
    error = error_of(twin("http://127.0.0.1:9"), "private", "AddOrder", **ORDER, leverage=Odd())
    assert type(error) is RuntimeError
    assert_blind(error)
    (note,) = error.__notes__
    assert 'wire.py", line ' in note
    assert note.endswith("in __str__")


def test_a_cancelled_call_shows_nothing_of_itself() -> None:
    """Asyncio's TimeoutError has the CancelledError as its cause, which comes from the middle of the HTTP library."""

    async def order(url: str) -> None:
        async with AsyncKraken(KEY, SECRET, manager=NonceManager("memory:"), base_url=url) as client:
            async with asyncio.timeout(0.2):
                await client.private("AddOrder", **ORDER)

    with ScriptedServer(OK, SILENCE) as server:
        error = error_of(asyncio.run, order(server.url))
    assert type(error) is TimeoutError
    assert any(isinstance(each, asyncio.CancelledError) for each in chain(error))
    assert_blind(error)


def test_an_interrupted_call_shows_nothing_of_itself() -> None:
    """KeyboardInterrupt, while the client waits for an answer."""
    with ScriptedServer(OK, SILENCE) as server, Kraken(KEY, SECRET, manager=NonceManager("memory:")) as client:
        client._transport = type(client._transport)(server.url)
        sent = threading.Thread(target=_interrupt_when, args=(server,))
        sent.start()
        error = error_of(client.private, "AddOrder", **ORDER)
        sent.join()
    assert type(error) is KeyboardInterrupt
    assert_blind(error)


def _interrupt_when(server: ScriptedServer) -> None:
    while len(server.requests) < 2:
        threading.Event().wait(0.002)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_the_error_that_a_bot_is_handling_keeps_its_frames(twin: Callable[..., Twin]) -> None:
    """A call in an except block: the bot's own error is the context of ours, with all its frames."""
    client = twin("http://127.0.0.1:9")
    try:
        json.loads("{")
    except ValueError as error:
        ours, own = error_of(client, "private", "Add Order"), error
    assert own in chain(ours)
    assert [frame.f_code.co_name for frame in frames(own)] == ["loads", "decode", "raw_decode"]


# --- accounts --------------------------------------------------------------------------------------------------

PAIR = {"KRAKEN_MASTER_API_KEY": KEY, "KRAKEN_MASTER_API_SECRET": SECRET}
WRONG_ENVIRONMENTS = {
    "half a pair": {**PAIR, "KRAKEN_USER_A_API_KEY": KEY},
    "a secret that is not base64": {**PAIR, "KRAKEN_MASTER_API_SECRET": SECRET + "*"},
    "a key with a space": {**PAIR, "KRAKEN_MASTER_API_KEY": KEY + " x"},
    "another tier": {**PAIR, "KRAKEN_MASTER_API_TIER": "gold"},
    "a name twice": {**PAIR, "KRAKEN_USER_A_API_KEY": KEY, "KRAKEN_USER_a_API_SECRET": SECRET},
    "a gap": {**PAIR, "KRAKEN_MASTER_API_KEY_3": KEY, "KRAKEN_MASTER_API_SECRET_3": SECRET},
    "the same key twice": {**PAIR, "KRAKEN_MASTER_API_KEY_2": KEY, "KRAKEN_MASTER_API_SECRET_2": SECRET},
    "no file": {**PAIR, "KRAKENONCE_CREDENTIALS": "/no/such/file"},
}
WRONG_FILES = {
    "no TOML": f'[MASTER]\napi_key = "{KEY}"\napi_secret = "{SECRET}\n',
    "another table": f'[MASTR]\napi_key = "{KEY}"\napi_secret = "{SECRET}"\n',
    "another entry": f'[MASTER]\nkey = "{KEY}"\napi_secret = "{SECRET}"\n',
    "a second key without its secret": f'[MASTER]\nkeys = [{{api_key = "{KEY}", api_secret = "{SECRET}"}}, {{}}]\n',
    "half a pair": f'[MASTER]\napi_secret = "{SECRET}"\n',
    "not UTF-8": f'[MASTER]\napi_key = "{KEY}"\napi_secret = "{SECRET}" # \udcff\n',
    "a user twice": f'[USER.a]\napi_key = "{KEY}"\napi_secret = "{SECRET}"\n[USER.A]\napi_key = "{KEY}"\n',
}


@pytest.mark.parametrize("name", WRONG_ENVIRONMENTS)
def test_a_wrong_environment_is_in_no_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """load_accounts() and all that call it, with a dict and with os.environ."""
    wrong = WRONG_ENVIRONMENTS[name]
    assert_blind(error_of(load_accounts, wrong))
    assert_blind(error_of(load_account, wrong, "USER:nobody"))
    for variable, value in wrong.items():
        monkeypatch.setenv(variable, value)
    for makes in (BrokerManager, BrokerManager.from_env, AsyncBrokerManager.from_env):
        error = error_of(makes)
        assert type(error) is errors.ConfigError
        assert_blind(error)


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_in_no_variable(name: str, tmp_path: Path) -> None:
    """What was read of it, and what of it was understood."""
    path = tmp_path / "krakenonce.toml"
    path.write_bytes(WRONG_FILES[name].encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    error = error_of(load_accounts, {}, path)
    assert type(error) is errors.ConfigError
    assert_blind(error)


@pytest.mark.parametrize(
    "keys", [[(KEY, SECRET)], [("a", "YQ=="), (KEY, SECRET, OTP)]], ids=["one key", "several keys"]
)
def test_accounts_that_cannot_be_used_together_are_in_no_variable(keys: list[Any]) -> None:
    """Two accounts with one key, which may be any of theirs."""
    error = error_of(BrokerManager, [Account("MASTER", KEY, SECRET), Account("USER:a", keys=keys)])
    assert type(error) is errors.ConfigError
    assert_blind(error)


@pytest.mark.parametrize(
    "wrong",
    [(SECRET, KEY), (KEY, SECRET), (KEY,), (KEY[1:], SECRET, 5)],
    ids=["swapped", "twice", "half a pair", "no second factor"],
)
def test_keys_that_cannot_be_used_are_in_no_variable(wrong: tuple[Any, ...]) -> None:
    """One of several keys of an account, beside one that is fine."""
    for makes in (checked_pairs, lambda keys: Account("MASTER", keys=keys)):
        error = error_of(makes, [(KEY, SECRET, OTP), wrong])
        assert type(error) is errors.ConfigError
        assert_blind(error)


def test_a_pair_and_an_account_show_no_part_of_their_keys() -> None:
    """Also where a report shows the parts of what looks like a container."""
    shown = text_of([KeyPair(KEY, SECRET, OTP), Account("MASTER", keys=[(KEY, SECRET, OTP), ("a", "YQ==")])])
    assert "Account MASTER 2 keys" in shown
    assert not any(hidden in shown for hidden in (KEY[:20], SECRET[:20], OTP))


@pytest.mark.parametrize(
    "proxy", ["socks5://me:a-password@host:1", "http://me:a-password@host:x", "http://me:a-password@"]
)
def test_a_proxy_that_cannot_be_used_is_in_no_variable(proxy: str) -> None:
    """Its address may have a password; for all that take one."""
    for makes in (Kraken, AsyncKraken, Transport, AsyncTransport, lambda proxy: KrakenBroker("MASTER", proxy=proxy)):
        error = error_of(makes, proxy=proxy)
        assert type(error) is errors.ConfigError
        assert "a-password" not in report(error)
    for kind in (BrokerManager, AsyncBrokerManager):
        assert "a-password" not in report(error_of(kind, [], proxy=proxy))


# --- many accounts, guarded clients, the gateway, the command line ---------------------------------------------


@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager])
@pytest.mark.parametrize("order", [ORDER, {**ORDER, "leverage": float("nan")}], ids=["lost", "wrong"])
def test_the_outcomes_of_many_accounts_show_nothing_of_their_calls(kind: Any, order: dict[str, Any]) -> None:
    """The error in each outcome has no frame at all."""
    nonces = GlobalKrakenNonceManager(NonceManager("memory:"))
    with ScriptedServer(CUT) as server:
        brokers = kind([Account("MASTER", KEY, SECRET, "none")], nonces=nonces, base_url=server.url)

        async def ask() -> Any:
            async with brokers:
                return await brokers.call_all("AddOrder", order)

        made = asyncio.run(ask()) if kind is AsyncBrokerManager else brokers.call_all("AddOrder", order)
    error = made["MASTER"].error
    assert isinstance(error, errors.OutcomeUnknown | errors.ConfigError)
    assert_blind(error)
    assert our_frames(error) == []


@pytest.mark.parametrize("client", [None, krakenex.API(KEY, SECRET)], ids=["own", "krakenex"])
def test_the_errors_of_a_broker_show_nothing_of_their_calls(client: Any) -> None:
    """With our client, and with krakenex, whose frames have the headers in their variables."""
    nonces = GlobalKrakenNonceManager(NonceManager("memory:"))
    with ScriptedServer(CUT) as server:
        if client is not None:
            client.uri = server.url
        credentials = Account("MASTER", KEY, SECRET, "none")
        broker = KrakenBroker("MASTER", client, credentials=credentials, nonces=nonces, base_url=server.url)
        error = error_of(broker.call, "AddOrder", ORDER)
    assert_blind(error)


def test_a_guarded_client_shows_no_secret_in_our_errors(tmp_path: Path) -> None:
    """There is no nonce; the client's own frames have the parameters, but neither key nor secret."""
    (tmp_path / "state").write_text("")
    api = guard(krakenex.API(KEY, SECRET), NonceManager(tmp_path / "state"))
    error = error_of(api.query_private, "AddOrder", ORDER)
    assert type(error) is errors.NonceStoreError
    assert all(hidden not in report(error) for hidden in (*OF_THE_SECRET, KEY[:20]))


def test_a_guarded_client_whose_secret_is_not_base64_shows_no_part_of_it(tmp_path: Path) -> None:
    """The error comes before krakenex decodes the secret, whose own error would keep it in a variable."""
    api = guard(krakenex.API("your key", f"*{SECRET}"), NonceManager(tmp_path / "state"))
    error = error_of(api.query_private, "Balance")
    assert type(error) is errors.ConfigError
    assert SECRET[:20] not in report(error)
    error = error_of(Account, "MASTER", KEY, f"*{SECRET}")
    assert type(error) is errors.ConfigError
    assert_blind(error)


@pytest.mark.parametrize("content", ["{", '{"format": 1, "keys": [%s, {}]}', '{"format": 2, "keys": [%s]}'])
def test_the_local_keys_are_in_no_variable(tmp_path: Path, content: str) -> None:
    """A key file that is damaged, for whoever reads or changes it."""
    entry = {"name": "bot", "account": "MASTER", "allow": ["query"], "strict_nonce": False, "created": 1}
    path = tmp_path / "gateway_keys.json"
    path.write_text(content.replace("%s", json.dumps({**entry, "key": KEY, "secret": SECRET})))
    path.chmod(0o600)
    keys = LocalKeys(path)
    for act in (
        lambda: keys.find(KEY),
        keys.all,
        lambda: keys.add("b", "MASTER", frozenset()),
        lambda: keys.rotate("bot"),
    ):
        error = error_of(act)
        assert type(error) is errors.ConfigError
        assert_blind(error)


def test_local_keys_that_cannot_be_written_are_in_no_variable(tmp_path: Path) -> None:
    """All keys are written as one text; a folder is where the new file should go."""
    keys = LocalKeys(tmp_path / "gateway_keys.json")
    made = keys.add("bot", "MASTER", frozenset({"query"}))
    (tmp_path / "gateway_keys.new").mkdir()
    error = error_of(keys.rotate, "bot")
    assert type(error) is errors.ConfigError
    assert made.secret not in report(error)
    assert "secret" not in report(error)


def test_an_error_of_the_gateway_shows_nothing_of_the_call(
    fake: FakeKraken, server: FakeKrakenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug after Kraken's answer: HTTP status 500, and the error is logged with its places, without variables."""
    logged: list[logging.LogRecord] = []

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Activity, "forwarded", fail)
    logger = logging.getLogger("krakenonce.http")
    monkeypatch.setattr(logger, "handle", logged.append)
    with RunningGateway(server.url, [Account("MASTER", KEY, SECRET, "none")], tmp_path / "state") as gateway:
        pair = gateway.add("bot")
        got = call(gateway.url, pair, "AddOrder", "&".join(f"{name}={value}" for name, value in ORDER.items()))
    assert got.status == 500
    assert gateway.complaints == []
    (error,) = (record.exc_info[1] for record in logged if record.exc_info)
    assert isinstance(error, RuntimeError)
    assert_blind(error)
    text = report(error)
    assert pair.key not in text
    assert pair.secret not in text
    assert "in send" in error.__notes__[0]


@pytest.mark.parametrize(
    "words",
    [("call", "AddOrder", "price=1"), ("balance",), ("adopt", "--yes"), ("balance", "--account", "nobody")],
    ids=" ".join,
)
def test_an_error_of_the_command_line_shows_no_secret(
    words: tuple[str, ...], server: FakeKrakenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames of the commands: they have the account, which shows neither key nor secret."""
    caught: list[BaseException] = []
    known = {
        **PAIR,
        "KRAKEN_MASTER_API_KEY": f"{KEY}0",
        "KRAKENONCE_STATE_DIR": str(tmp_path),
    }  # not to the fake Kraken
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "_explain", caught.append)
    cli.main([*words, "--base-url", server.url])
    for error in caught:
        text = report(error)
        assert all(hidden not in text for hidden in (*OF_THE_SECRET, KEY[:20], "API-Sign"))
    assert caught


# --- what signs, and reprs -------------------------------------------------------------------------------------


def test_the_secret_is_in_no_variable_of_what_signs() -> None:
    """Not even in the frames that no error of a client keeps."""
    order = PrivateCall("AddOrder", {**ORDER, "leverage": float("nan")})
    for error in (
        error_of(order.request, Key(KEY, SECRET), 1, 1_800_000_000),
        error_of(Key(KEY, SECRET + "*").secret),
        error_of(decode_secret, SECRET + "*"),
        error_of(sign, "\ud800", 1, b"", decode_secret(SECRET)),
    ):
        assert our_frames(error)
        assert all(hidden not in report(error) for hidden in OF_THE_SECRET)


def test_a_request_shows_neither_headers_nor_body() -> None:
    """Its repr has the method's path, and it is no tuple, whose parts error reports show."""
    request: object = PrivateCall("AddOrder", ORDER).request(Key(KEY, SECRET), 1, 1_800_000_000)
    assert repr(request) == "Request(verb='POST', path='/0/private/AddOrder')"
    assert not isinstance(request, tuple)


def classes_with_a_repr() -> list[type]:
    """All classes of ours that have a repr of their own."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(krakenonce.__path__, "krakenonce."):
        if module.name.endswith("__main__") or "__pyinstaller" in module.name:
            continue
        for value in vars(importlib.import_module(module.name)).values():
            ours = isinstance(value, type) and value.__module__.startswith("krakenonce.") and "__repr__" in vars(value)
            # Those that dataclass and NamedTuple write are left out: all fields are there before any check.
            if ours and Path(inspect.unwrap(value.__repr__).__code__.co_filename).is_relative_to(SOURCE):
                found[value.__qualname__] = value
    return sorted(found.values(), key=lambda each: each.__qualname__)


@pytest.mark.parametrize("kind", classes_with_a_repr(), ids=lambda kind: kind.__qualname__)
def test_an_object_that_was_not_made_has_a_repr(kind: type) -> None:
    """Else a debugger would show an AttributeError, and not the error of the constructor."""
    assert kind.__name__ in repr(object.__new__(kind))
