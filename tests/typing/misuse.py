"""What the type checkers must refuse: an ignore comment on a line that they accept is an error itself."""

from krakenonce import NonceManager, guard
from krakenonce.brokers import Account, BrokerManager
from krakenonce.guards import Turns
from krakenonce.kraken import AsyncKraken, Kraken


class HalfABackend:
    """A backend without most methods."""

    def advance(self, scope: str) -> int:
        """Issue the next nonce."""
        return len(scope)


def adapter(client: object) -> None:
    """An adapter that takes no turns."""


def refused(manager: NonceManager, kraken: Kraken, turns: Turns, brokers: BrokerManager) -> None:
    """One wrong use a line."""
    NonceManager(HalfABackend())  # type: ignore[arg-type] # a backend has all methods
    NonceManager(".", shared="world")  # type: ignore[arg-type] # one of three words
    NonceManager(5)  # type: ignore[arg-type] # a store is no number
    manager.next(5)  # type: ignore[arg-type] # a counter has a name
    manager.lane("key", "10")  # type: ignore[arg-type] # seconds are a number
    with manager:
        manager.shut()  # type: ignore[attr-defined] # no such method
    guard(kraken, kraken)  # type: ignore[arg-type] # not a manager
    guard(kraken, adapter=adapter)  # type: ignore[arg-type] # an adapter takes the client and its turns
    guard(kraken).publik("Time")  # type: ignore[attr-defined] # guard() returns the client's own type
    turns.next(None, 1)  # type: ignore[call-arg] # a key is all
    Kraken("key", "secret", manager)  # type: ignore[call-arg, arg-type] # by name only
    kraken.add_order("XBTUSD", "buy", 0.1)  # type: ignore[arg-type] # a float is not exact
    kraken.cancel_all_after("60")  # type: ignore[arg-type] # whole seconds
    Account("MASTER")  # type: ignore[call-overload] # no key
    Account("MASTER", "key", "secret", keys=[("key", "secret")])  # type: ignore[call-overload] # one key or several
    Account("MASTER", keys=["key", "secret"])  # type: ignore[list-item] # each is a pair
    brokers.copy_order({}, scale=0.5)  # type: ignore[arg-type] # a float is not exact
    brokers.call_all("Balance", on_outcome=refused)  # type: ignore[arg-type] # a hook takes one outcome


async def refused_in_tasks(kraken: AsyncKraken, manager: NonceManager) -> int:
    """One wrong use a line."""
    async with manager:  # type: ignore[attr-defined] # a manager is closed by `with`
        pass
    total: int = kraken.cancel_all()  # type: ignore[assignment] # not awaited
    return total
