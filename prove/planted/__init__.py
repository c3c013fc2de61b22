"""Planted bugs: the tests that keep the promises are seen failing, again and again."""

from ..campaign import Campaign, Figures, Trial
from .bug import Planted
from .clients import CLIENTS
from .gateway import GATEWAY
from .guards import GUARDS
from .judges import JUDGES
from .lanes import LANES
from .limits import LIMITS
from .marks import MARKS
from .planting import check_fit, plant
from .rule import RULE
from .secrets import SECRETS
from .store import STORE

__all__ = ["ALL", "CAMPAIGN", "Planted", "check_fit", "plant", "run"]

ALL: tuple[Planted, ...] = (
    *MARKS,
    *STORE,
    *RULE,
    *LANES,
    *CLIENTS,
    *GUARDS,
    *LIMITS,
    *SECRETS,
    *GATEWAY,
    *JUDGES,
)


def run(trial: Trial) -> Figures:
    """Plant all bugs, in a short run as well."""
    return plant(trial, ALL)


CAMPAIGN = Campaign(
    "planted", "our own code broken on purpose, one small change at a time", run, seconds=600, short=150
)
