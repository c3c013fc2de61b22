"""Nine processes on three hosts share one key, by a state on a server; all of that fails in every way."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from krakenonce.testing import FakeKraken, FakeKrakenServer
from prove.campaign import MAX_WAIT, Broken, Campaign
from prove.fork_server import ForkServer
from prove.hosts.crew import ALL, Crew
from prove.hosts.faults import Faults
from prove.hosts.judge import judge
from prove.hosts.network import Network
from prove.hosts.servers import SERVERS, Valkey, require
from prove.hosts.worker import WAYS, Spec, make
from prove.pipe import Listener
from tests.hosts.folders import folder_of_servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prove.campaign import Figures, Trial
    from prove.hosts.servers import Servers
    from prove.hosts.worker import Maker

__all__ = ["HOSTS", "run"]

_LATENCY, _JITTER = 0.004, 0.003  # seconds, of Kraken
_AHEAD = (-3600.0, 0.0, 3600.0)  # seconds, of the hosts' clocks
_ROUND = 20.0  # seconds for each of the two parts of a round, at most
_SPLIT = (
    0.75  # of a part, in which a Valkey is split: in a long run more than the ten seconds that its old side goes on
)


def run(
    trial: Trial,
    maker: Maker = make,
    kinds: Sequence[type[Servers]] = SERVERS,
    only: Sequence[str] | None = None,
) -> Figures:
    """Rounds on all kinds of servers at the same time; at least one on each, which begins with new servers.

    Args:
        trial: Where, how long, and with which random choices.
        maker: Makes the processes' managers.
        kinds: Which servers.
        only: Which faults, besides that a holder is overtaken; None: all.
    """
    kinds = require(tuple(kinds))
    figures: Counter[str] = Counter()
    with ThreadPoolExecutor(len(kinds)) as pool:
        while not (trial.over and figures):
            rounds = [Round(trial, kind, maker, only, figures["rounds"] // len(kinds)) for kind in kinds]
            for found in pool.map(Round.run, rounds):
                figures.update(found)
    return dict(figures)


class Round:
    """A key and its state on servers of one kind, all of them new.

    Args:
        trial: Where, how long, and with which random choices.
        kind: Of the servers.
        maker: Makes the processes' managers.
        only: Which faults; None: all.
        number: Of the round; in every second one the server that is promoted lacks the last nonces.
    """

    def __init__(
        self, trial: Trial, kind: type[Servers], maker: Maker, only: Sequence[str] | None, number: int
    ) -> None:
        self._only = only
        self._kind = kind
        self._maker = maker
        self._seconds = min(trial.seconds / 4, _ROUND)
        self._seed = f"{trial.seed} {kind.name} {number}"
        self._is_lossy = (trial.seed + number) % 2 == 1
        self._folder = trial.directory / f"{kind.name}-{number}"

    def run(self) -> Figures:
        """First a holder is overtaken, alone, in several ways; then a Valkey is split, alone, too.

        Then all other kinds of faults happen, several at a time.
        """
        try:
            return self._run()
        except Broken as error:
            raise Broken(f"{self._kind.name}: {error}") from None

    def _run(self) -> Figures:
        self._folder.mkdir()
        fake = FakeKraken()
        account = fake.add_account("shared")
        with contextlib.ExitStack() as stack:
            network = stack.enter_context(Network())
            servers = self._kind(stack.enter_context(folder_of_servers()), network, lossy=self._is_lossy)
            stack.callback(servers.stop)
            servers.start()
            kraken = stack.enter_context(FakeKrakenServer(fake, latency=_LATENCY, jitter=_JITTER))
            listener = stack.enter_context(Listener(self._folder / "alive"))
            crew = Crew(
                stack.enter_context(ForkServer(listener)),
                listener,
                self._specs(network, servers, int(kraken.url.rpartition(":")[2]), (account.key, account.secret)),
                self._maker,
                random.Random(f"{self._seed} crew"),
            )
            stack.callback(crew.kill_all)
            crew.start_all()
            faults = Faults(crew, servers, network, random.Random(self._seed))
            if do_go_on := crew.all_go_on():
                faults.overtake(self._seconds)
                if self._only is None and isinstance(servers, Valkey):
                    faults.split(servers, self._seconds * _SPLIT)
                faults.disturb(self._seconds, self._only)
                do_go_on = crew.all_go_on()
            crew.kill_all()
            found = judge(listener.hear(), [each.nonce for each in fake.invalid_nonces()], crew.faults, servers.pause)
            if not do_go_on:
                raise Broken(f"not all processes go on within {MAX_WAIT:.0f} s after the last fault")
            return {"rounds": 1, **faults.count, "starts": crew.starts, **found}

    def _specs(self, network: Network, servers: Servers, kraken: int, key: tuple[str, str]) -> list[Spec]:
        """Three processes on each of three hosts, one of each way."""
        return [
            Spec(
                number,
                WAYS[number % len(WAYS)],
                servers.url_for(number),
                f"http://127.0.0.1:{network.way(f'kraken {number}', lambda: kraken)}",
                key,
                _AHEAD[number // len(WAYS)],
                servers.pause,
                str(self._folder),
            )
            for number in ALL
        ]


HOSTS = Campaign(
    "hosts",
    "three hosts whose processes are killed, stopped, cut off and overtaken, on servers that fail and are split",
    run,
    seconds=240,
    short=20,
)
