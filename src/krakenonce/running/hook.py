"""Guards clients as a program makes them: changes their classes when the program imports them. Imports none itself."""

from __future__ import annotations

import sys

from krakenonce.running.tally import Tally

TYPE_CHECKING = False  # each Python process of the program pays for what is imported here
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


# By the module: the kind of client, and its classes.
CLIENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "krakenex.api": ("krakenex", ("API",)),
    "ccxt.kraken": ("ccxt", ("kraken",)),
    "ccxt.async_support.kraken": ("ccxt", ("kraken",)),
    "kraken.base_api": ("python-kraken-sdk", ("SpotClient", "SpotAsyncClient")),
    "krakipy.krakipy": ("krakipy", ("KrakenAPI",)),
    "typed_kraken.core.transport.http": ("typed-kraken", ("HttpRpcClient",)),
    "kraken_py.rest.spot.client": ("kraken-py-sdk", ("RestClient",)),
}


def _by(attribute: str) -> Callable[..., str | None]:
    return lambda client, *_, **__: getattr(client, attribute)


# Those that make their nonce from a clock in the middle of a method. By the module: the kind, its methods or functions,
# the module with the clock, and what finds the API key in their arguments; None: the call is public.
CLOCKS: dict[str, tuple[str, tuple[str, ...], str, Callable[..., str | None]]] = {
    "cryptobob.kraken": (
        "cryptobob",
        ("KrakenClient.request",),
        "cryptobob.kraken",
        lambda client, api_method, **_: None if api_method in client.public_api_methods else client.api_key,
    ),
    "kraken_spot.private": ("kraken-spot", ("PrivateEndpoints._authorised_query",), "kraken_spot.auth", _by("api_key")),
    "krakentren.krakentren": (
        "krakentren",
        ("contact_kraken",),
        "krakentren.krakentren",
        lambda _, parameters=None, public_key="", private_key="": public_key or None,  # noqa: ARG005 - its own names
    ),
    "kraky.api": (
        "kraky",
        ("KrakyApiClient._private_request", "KrakyApiAsyncClient._private_request"),
        "kraky.api",
        _by("api_key"),
    ),
    "mcp_kraken.kraken.client": (
        "mcp-kraken",
        ("KrakenClient.private",),
        "mcp_kraken.kraken.signing",
        _by("_api_key"),
    ),
    "pulse_kraken.adapter": (
        "pulse-kraken",
        ("KrakenAdapter.call_api",),
        "pulse_kraken.adapter",
        lambda client, native_request: client._api_key if native_request.get("signed") else None,
    ),
    "pulse_tax.collectors.kraken": (
        "pulse-tax",
        ("KrakenCollector._post",),
        "pulse_tax.collectors.kraken",
        _by("api_key"),
    ),
    "tradebot.execution.kraken": (
        "cryptotradebot",
        ("KrakenClient._private_post",),
        "tradebot.execution.kraken",
        _by("_api_key"),
    ),
    "ziwia.api": ("ziwia", ("Api.private",), "ziwia.api", _by("public_key")),
}


_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.putenv", "os.unsetenv")
_TURNS = "krakenonce.guards.turns"  # when it is loaded, what the program guards itself is counted, too
_BY_ITSELF = "program"


def begin(folder: str) -> None:
    """Guard, in this process, each client that is made from now on.

    Args:
        folder: The directory in which the run counts.
    """
    global _tally
    _tally = Tally(folder)
    _tally.begin()
    sys.meta_path.insert(0, _Finder())
    for name in (*CLIENTS, *CLOCKS):
        if name in sys.modules:  # a .pth file may have imported it
            _change(sys.modules[name])
    sys.addaudithook(_watch)


def count_call(kind: str) -> None:
    """Count a private call that has its turn. A function of a module, so that guarded clients can be pickled."""
    if _tally is not None:
        _tally.add(kind, calls=1)


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event in _STARTS:  # of hundreds of other events
        from krakenonce.running.children import look_at_start

        look_at_start(event, args)


class _Finder:
    """Finds the modules of the clients as Python would, and has their classes changed when they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in CLIENTS and name not in CLOCKS and name != _TURNS:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                _change_when_loaded(spec)
                return spec  # type: ignore[no-any-return] # a finder's
        return None


def _change_when_loaded(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        if module.__name__ == spec.name:  # a loader may load several
            _change(module)

    loader.exec_module = exec_module


def _change(module: ModuleType) -> None:
    if module.__name__ == _TURNS:
        from functools import partial

        module.Turns.count = partial(count_call, _BY_ITSELF)
    elif module.__name__ in CLOCKS:
        _guard_methods(module)
    else:
        kind, names = CLIENTS[module.__name__]
        for name in names:
            if isinstance(found := getattr(module, name, None), type):
                _wrap_class(found, kind)


def _guard_methods(module: ModuleType) -> None:
    """Guard the methods of a module's classes, or its functions, for all calls of this process."""
    from functools import partial

    from krakenonce.errors import ConfigError
    from krakenonce.guards.clock import take_turns
    from krakenonce.guards.turns import Turns

    kind, names, clock, key = CLOCKS[module.__name__]
    turns = Turns(None, 30.0)
    turns.count = partial(count_call, kind)
    for name in names:
        owner, _, method = name.rpartition(".")
        try:
            found: Any = getattr(module, owner) if owner else module
            take_turns(turns, found, method, key=key, clock=sys.modules[clock])
        except (AttributeError, KeyError, TypeError, ConfigError):  # another version, or another program of that name
            continue
        if _tally is not None:
            _tally.add(kind, clients=1)


def _wrap_class(client: Any, kind: str) -> None:
    """Guard each new object of a class, and of its subclasses, when its outermost ``__init__`` has returned."""
    own = vars(client).get("__init_subclass__")

    def __init_subclass__(sub: Any, /, **how: Any) -> None:  # noqa: N807 - it becomes this method
        own.__get__(None, sub)(**how) if own else super(client, sub).__init_subclass__(**how)
        _wrap_init(sub, kind)

    client.__init_subclass__ = classmethod(__init_subclass__)
    _wrap_init(client, kind)


def _wrap_init(client: Any, kind: str) -> None:
    original: Callable[..., None] = client.__init__
    if original in _wrapped:
        return

    from functools import wraps

    @wraps(original)
    def __init__(self: Any, *args: Any, **how: Any) -> None:  # noqa: N807 - it becomes this method
        if id(self) in _beginning:  # a subclass has called its base
            original(self, *args, **how)
            return
        _beginning.add(id(self))
        try:
            original(self, *args, **how)
        finally:
            _beginning.discard(id(self))
        _guard(self, kind)

    _wrapped.add(__init__)
    client.__init__ = __init__


def _guard(client: Any, kind: str) -> None:
    from functools import partial

    from krakenonce.guards.entry import guard, turns_of

    if turns_of(client) is None:  # its own constructor may have guarded it, with a manager
        guard(client)
    turns = turns_of(client)
    if turns is not None and _tally is not None:
        turns.count = partial(count_call, kind)
        _tally.add(kind, clients=1)


_tally: Tally | None = None
_wrapped: set[Callable[..., None]] = set()
_beginning: set[int] = set()  # ids of the objects whose constructor runs
