"""What an adapter uses: turns, nonces and a timeout.

An adapter is a function of a client and its :class:`Turns`. It replaces two methods of that one object: the method that
sends a private call holds the key's lane meanwhile, and the method that makes the nonce takes it from the manager::

    def adapter(client, turns):
        send = client.private

        def private(method, **params):
            with turns.lane(client.key):
                return send(method, **params)

        client.private = private
        client.make_nonce = lambda: turns.next(client.key)

    krakenonce.guard(Client(key, secret), adapter=adapter)

It also gives ``turns.timeout`` to a client that would wait for ever, and makes sure that no call is sent twice. If it
passes Kraken's decoded answer to ``turns.heard(client.key, answer)`` within the turn, no process sends anything with
the key during a lockout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from krakenonce.errors import ConfigError
from krakenonce.key.methods import is_urgent
from krakenonce.key.pair import wrong_pair
from krakenonce.manager import NonceManager
from krakenonce.process import ForkCheck
from krakenonce.shown import blind

if TYPE_CHECKING:
    from types import TracebackType

    from krakenonce.key.api_key import ApiKey


_shared: dict[str, NonceManager] = {}


class Turns:
    """The turns and nonces of one guarded client.

    Args:
        manager: Where they come from; None: one ``NonceManager()`` for the whole process, made when needed.
        timeout: Seconds after which a call times out, for a client without a timeout of its own.
        heed_lockout: Whether calls raise LockedOut while Kraken has locked the key out.
    """

    count: Callable[[], object] | None = None  # called for each call that has its turn; ``krakenonce run`` sets it

    def __init__(self, manager: NonceManager | None, timeout: float, *, heed_lockout: bool = True) -> None:
        self.account = ""  # its name for the journal, if the caller knows it
        self.use(manager, timeout, heed_lockout=heed_lockout)
        self.after_fork = ForkCheck()  # called with the function that closes the parent's connections

    @property
    def manager(self) -> NonceManager:
        """Where nonces and turns come from."""
        # setdefault is one step for all threads, and an unused manager has opened nothing.
        return self._manager or _shared.get("manager") or _shared.setdefault("manager", NonceManager())

    def use(self, manager: NonceManager | None, timeout: float, *, heed_lockout: bool) -> None:
        """Use this manager, timeout and setting from now on."""
        self._manager, self.timeout, self._heed_lockout = manager, timeout, heed_lockout
        self._made: tuple[NonceManager, ApiKey] | None = None  # the last API key as an object, and its manager

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_made": None}  # it leads to open files, which a copy must not have

    @blind
    def lane(
        self,
        key: str | None,
        secret: object = None,
        *,
        urgent: bool = False,
        method: str = "",
        params: Mapping[str, Any] | None = None,
    ) -> Turn:
        """Return the turn of an API key, to be held with ``with`` or ``async with`` until the answer is read.

        Entering it raises LockedOut while Kraken has locked the key out: send nothing then.

        Args:
            key: The client's key. Read it from the client for each call, because it may change.
            secret: Its secret, if the client shows it: a pair that is swapped or in quotes is refused.
            urgent: Whether the call goes before calls that wait.
            method: Kraken's name of the method, for the journal.
            params: Its parameters. With these, cancels are urgent (:func:`krakenonce.key.methods.is_urgent`), and an
                error that leaves open whether the call was executed is noted in the journal.

        Raises:
            ConfigError: There is no key, or the pair must not be sent.
        """
        if isinstance(key, str) and isinstance(secret, str) and (wrong := wrong_pair(key, secret)):
            raise ConfigError(f"{wrong} Nothing was sent.")
        urgent = urgent or (params is not None and is_urgent(method, params))
        heed = self._heed_lockout
        return Turn(self.api_key(key), heed_lockout=heed, urgent=urgent, method=method, params=params, count=self.count)

    @blind
    def next(self, key: str | None) -> int:
        """Return the nonce for the call that holds the turn: 19 digits.

        Raises:
            ConfigError: There is no key.
            NonceError: No nonce can be issued; send nothing.
        """
        return self.api_key(key).next()

    @blind
    def heard(self, key: str | None, answer: object, status: int = 0) -> None:
        """Act on Kraken's answer if it is a refusal: during a lockout no process sends anything with the key.

        To be called in the turn, also with an answer without an error: the call's outcome is known then.

        Args:
            key: The client's key.
            answer: Kraken's decoded answer; anything else is ignored.
            status: The HTTP status, if the client shows it. With 4xx and no answer of Kraken's, something in front of
                it has refused the call.
        """
        if not key or not (isinstance(answer, dict) or 400 <= status < 500):
            return
        api_key, refusal = self.api_key(key), None
        if isinstance(answer, dict) and answer.get("error"):
            from krakenonce.key.answers import refusal_in

            refusal = refusal_in(answer)
        api_key.answered = refusal is None or refusal.may_have_executed != "unknown"
        if refusal is not None:
            api_key.settle(api_key.place("", {}), refusal)

    def api_key(self, key: str | None) -> ApiKey:
        """Return the client's API key as an object. Raises ConfigError if it has none."""
        if not key:
            raise ConfigError("A private call needs an API key: give the client its key and secret first.")
        manager, made = self.manager, self._made
        if made is not None and made[0] is manager and made[1].key == key:
            return made[1]
        from krakenonce.key.api_key import ApiKey

        api_key = ApiKey(manager, key)
        api_key.account = self.account
        self._made = manager, api_key
        return api_key


class Turn:
    """A guarded client's turn: a context manager, sync and async.

    Args:
        api_key: The API key whose turn it is.
        heed_lockout: Whether entering it raises LockedOut during a lockout.
        urgent: Whether it comes before those of other calls that wait.
        method: Kraken's name of the method, for the journal.
        params: Its parameters, if they are known.
        count: Called when the call may be sent.
    """

    __slots__ = ("_api_key", "_before", "_count", "_heed_lockout", "_lane", "_method", "_params")

    def __init__(
        self,
        api_key: ApiKey,
        *,
        heed_lockout: bool,
        urgent: bool = False,
        method: str = "",
        params: Mapping[str, Any] | None = None,
        count: Callable[[], object] | None = None,
    ) -> None:
        self._api_key = api_key
        self._method = method
        self._params = params
        self._before = 0  # the nonce before that of this call
        self._count = count
        self._heed_lockout = heed_lockout
        self._lane = api_key.turn(urgent=urgent)

    def __enter__(self) -> Self:
        self._lane.acquire()
        return self._looked()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended(error)

    async def __aenter__(self) -> Self:
        await self._lane.__aenter__()
        return self._looked()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended(error)

    def _ended(self, error: BaseException | None) -> None:
        api_key = self._api_key
        was_sent, answered = api_key.sent != self._before, api_key.answered
        self._lane.release()
        if answered is False or (was_sent and error is not None and answered is None):
            from krakenonce.guards.lost import note_lost  # a call that goes well does without

            if self._params is not None:
                note_lost(api_key, self._method, self._params, error)

    def _looked(self) -> Self:
        api_key = self._api_key
        self._before, api_key.answered, api_key.method = api_key.sent, None, self._method
        try:
            if self._heed_lockout:
                api_key.check_open()
            if self._count is not None:
                self._count()
        except BaseException:
            self._lane.release()
            raise
        return self


Adapter = Callable[[Any, Turns], object]


def replace(client: Any, name: str, function: Callable[..., Any], turns: Turns) -> None:
    """Replace a method of this one object by *function*.

    It is called with the original method, the client, the turns, and then the caller's arguments.
    """
    before = vars(client).get(name)  # the object may already have a method of its own
    if before is None:
        method = getattr(type(client), name, None)
        # Not the bound method: a pickled copy would look it up by its name and find the replacement.
        before = partial(method, client) if method else getattr(client, name)
    setattr(client, name, partial(function, before, client, turns))


def decoded(response: Any) -> Any:
    """Return the JSON of a response, for :meth:`Turns.heard`; None if it is none: the client says so itself."""
    try:
        return response.json()
    except ValueError:
        return None


def refuse_repeats(session: Any) -> None:
    """Make sure that a ``requests`` session does not repeat a POST by itself.

    Raises:
        ConfigError: It has an adapter that does, although Kraken may have executed the first POST.
    """
    for adapter in getattr(session, "adapters", {}).values():
        retry = getattr(adapter, "max_retries", None)
        verbs = getattr(retry, "allowed_methods", ("GET",))  # none given: all verbs
        if getattr(retry, "total", 0) != 0 and (not verbs or "POST" in verbs):
            raise ConfigError(
                "The client's HTTP session repeats POST requests, so an order could be placed twice: mount an adapter "
                "whose Retry has the default allowed_methods."
            )
