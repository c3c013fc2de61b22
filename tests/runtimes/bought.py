"""Orders whose answers are lost, and the check that one was asked for and one was placed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken
    from tests.runtimes.processes import Program

ORDER_TIMEOUT = 4.0  # seconds that the gateway waits for the answer to an order before it asks what became of it
GIVES_UP = 1  # seconds after which proxies and clients give up a call and repeat it


class Trouble(NamedTuple):
    """What becomes of the answers to the first few orders, all of which Kraken executes."""

    fault: str
    details: dict[str, float]

    def begin(self, fake: FakeKraken) -> None:
        """Let it begin. Without the gateway's help each repetition would be one more order."""
        fake.faults.add("AddOrder", self.fault, times=3, **self.details)  # type: ignore[arg-type] # one of its names


LOST = Trouble("process_then_cut", {})
# The gateway cannot say what became of the order when it is asked first.
LOST_AND_HIDDEN = Trouble("process_then_cut", {"hidden_for": ORDER_TIMEOUT + 1})
A_PAGE = Trouble("process_then_html", {"status": 504})  # from what is in front of Kraken
LATE = Trouble("slow_answer", {"seconds": GIVES_UP + 1.5})


def orders_of(account: FakeAccount) -> list[str]:
    """Return the ids of all orders of an account."""
    return [*account.orders, *account.done]


def assert_bought_once(account: FakeAccount, program: Program, answer: Any = None) -> None:
    """Kraken has one order, and the program has ended and knows its id: by its last line, or by this *answer*."""
    code = program.ended()
    orders = orders_of(account)
    assert len(orders) == 1, (
        f"{len(orders)} orders; the program ended with {code} and printed {program.printed[-2000:]}"
    )
    assert (program.result() if answer is None else answer) == orders
