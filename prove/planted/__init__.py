"""Planted bugs: small wrong changes to our code, and for each the one test that must fail."""

from prove.campaign import Campaign, Figures, Trial
from prove.planted.bug import Planted
from prove.planted.clients import CLIENTS
from prove.planted.command_line import COMMAND_LINE
from prove.planted.doctor import DOCTOR
from prove.planted.etcd import ETCD
from prove.planted.facts import FACTS
from prove.planted.fence import FENCE
from prove.planted.gateway import GATEWAY
from prove.planted.gateway_keys import GATEWAY_KEYS
from prove.planted.guards import GUARDS
from prove.planted.host_turns import HOST_TURNS
from prove.planted.hosts import HOSTS
from prove.planted.journal import JOURNAL
from prove.planted.judges import JUDGES
from prove.planted.keys import KEYS
from prove.planted.lanes import LANES
from prove.planted.limits import LIMITS
from prove.planted.lost_replies import LOST_REPLIES
from prove.planted.market import MARKET
from prove.planted.marks import MARKS
from prove.planted.moving import MOVING
from prove.planted.newer import NEWER
from prove.planted.planting import check_fit, plant
from prove.planted.public import PUBLIC
from prove.planted.rule import RULE
from prove.planted.running import RUNNING
from prove.planted.runtimes import RUNTIMES
from prove.planted.secrets import SECRETS
from prove.planted.shared_gateways import SHARED_GATEWAYS
from prove.planted.sockets import SOCKETS
from prove.planted.status_page import STATUS_PAGE
from prove.planted.store import STORE
from prove.planted.telling import TELLING
from prove.planted.valkey import VALKEY

__all__ = ["ALL", "CAMPAIGN", "Planted", "check_fit", "plant", "run"]

ALL: tuple[Planted, ...] = (
    *MARKS,
    *STORE,
    *RULE,
    *LANES,
    *KEYS,
    *RUNTIMES,
    *HOSTS,
    *HOST_TURNS,
    *SHARED_GATEWAYS,
    *MOVING,
    *ETCD,
    *VALKEY,
    *CLIENTS,
    *GUARDS,
    *RUNNING,
    *LIMITS,
    *SECRETS,
    *GATEWAY,
    *GATEWAY_KEYS,
    *STATUS_PAGE,
    *TELLING,
    *LOST_REPLIES,
    *FENCE,
    *PUBLIC,
    *NEWER,
    *JOURNAL,
    *DOCTOR,
    *JUDGES,
    *MARKET,
    *SOCKETS,
    *COMMAND_LINE,
    *FACTS,
)


_SHORT = 150.0  # seconds


def run(trial: Trial) -> Figures:
    """Plant all bugs; in a short run, of those whose tests start servers, a third, which the seed chooses."""
    servers = [bug for bug in ALL if bug.test.startswith("tests/hosts/")]
    left_out = {bug.name for at, bug in enumerate(servers) if (at + trial.seed) % 3} if trial.seconds <= _SHORT else ()
    return plant(trial, [bug for bug in ALL if bug.name not in left_out])


CAMPAIGN = Campaign(
    "planted", "our own code broken on purpose, one small change at a time", run, seconds=600, short=_SHORT
)
