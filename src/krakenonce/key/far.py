"""Steps of a state on a server, for which an event loop does not wait: each is a round trip or several."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from krakenonce.key.callers import act_as, current_owner

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from krakenonce.backends import Backend


_T = TypeVar("_T")


def is_far(store: Backend) -> bool:
    """Whether a step of the state takes more than microseconds."""
    return store.shared == "hosts"


async def take(store: Backend, step: Callable[[], _T], threads: Executor | None = None) -> _T:
    """Take a step and return its result: at once, or in a thread if it takes long. It has the turns of this task.

    It comes to its end even if the task is cancelled.

    Args:
        store: The state.
        step: The step.
        threads: Where; None: the event loop's own.
    """
    if not is_far(store):
        return step()
    return await asyncio.get_running_loop().run_in_executor(threads, act_as, current_owner(), step)
