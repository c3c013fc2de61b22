"""What the doctor has seen, and what it concludes. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.doctor.history import History


_FEW = 3  # states of a process that a line names


class Process(NamedTuple):
    """A running process that uses a state.

    Args:
        pid: Its process id.
        program: Its name.
        named: The state that its variable KRAKENONCE_STATE_DIR names, without a password; empty: it has none.
        variables: The names of its variables that begin with KRAKENONCE_, and no others.
        lanes: For each state directory of which it has files open, the names of the lanes among them.
        is_stopped: Whether it is stopped, by a signal or a debugger.
        begun: When it began, in seconds since 1970; 0.0: not known.
    """

    pid: int
    program: str
    named: str = ""
    variables: tuple[str, ...] = ()
    lanes: Mapping[str, frozenset[str]] = {}
    is_stopped: bool = False
    begun: float = 0.0

    def __str__(self) -> str:
        return f"{self.program} {self.pid}"

    @property
    def states(self) -> tuple[str, ...]:
        """The states that it uses: those of which it has files open, else the one that its variable names."""
        return tuple(self.lanes) or ((self.named,) if self.named else ())

    @property
    def places(self) -> str:
        """The first few of these states, for a line of text."""
        more = f" and {len(self.states) - _FEW} more" if len(self.states) > _FEW else ""
        return ", ".join(self.states[:_FEW]) + more


class HeldLane(NamedTuple):
    """A lane that somebody holds just now.

    Args:
        key: The fingerprint of the key, or the lane's name.
        holder: Who holds it and since when, in words.
        seconds: For how long; None: not known.
        waiting: How many processes wait for it.
        is_stopped: Whether the process that holds it is stopped.
    """

    key: str
    holder: str
    seconds: float | None = None
    waiting: int = 0
    is_stopped: bool = False


class Limit(NamedTuple):
    """The rate limit of a key.

    Args:
        key: The fingerprint of the key.
        level: How high its REST counter is, if it falls as slowly as in Kraken's lowest tier.
        waiting: How many calls wait.
        locked_out: Seconds until a lockout ends; 0.0: there is none.
    """

    key: str
    level: float
    waiting: int
    locked_out: float = 0.0


class Counter(NamedTuple):
    """A counter.

    Args:
        name: Its name.
        last: The last nonce.
        lead: Seconds by which it is ahead of the clock; negative if it is behind.
    """

    name: str
    last: int
    lead: float


class OtherState(NamedTuple):
    """Another state directory on this host in which a key of ours has a lane.

    Args:
        place: Its path.
        keys: When the lane of each such key was taken last, in seconds since 1970, by the key's fingerprint.
    """

    place: str
    keys: Mapping[str, float]


class StateFacts(NamedTuple):
    """What a state shows of itself.

    Args:
        place: Where it is, without a password.
        why: Who says that it is this one.
        is_named: Whether somebody has named it; else it is the usual one.
        shared: Who shares it, as the backend says.
        is_begun: Whether there is a nonce in it.
        wrong: What keeps it from being used, in sentences.
        details: File system, room, permissions and so on, by what is seen.
        counters: Its counters.
        keys: When the lane of each key was taken last, in seconds since 1970; 0.0: not known.
        has_global: Whether the lane for all keys was ever taken.
        held: The lanes that are held.
        limits: The rate limits that are not empty, and the lockouts.
        not_known: What could not be seen, in sentences.
    """

    place: str
    why: str
    is_named: bool = True
    shared: str = "host"
    is_begun: bool = True
    wrong: tuple[str, ...] = ()
    details: Mapping[str, str] = {}
    counters: tuple[Counter, ...] = ()
    keys: Mapping[str, float] = {}
    has_global: bool = False
    held: tuple[HeldLane, ...] = ()
    limits: tuple[Limit, ...] = ()
    not_known: tuple[str, ...] = ()


class Facts(NamedTuple):
    """All that was seen.

    Args:
        now: Seconds since 1970.
        since: What was before that time was not looked at.
        host: The name of this host.
        state: The state.
        history: What the journal says.
        processes: The running processes that use a state.
        others: Other states in which a key of this one has a lane.
        alive: Of the processes in the journal, by host and id, those that still run.
        not_known: What could not be seen, in sentences.
    """

    now: float
    since: float
    host: str
    state: StateFacts
    history: History
    processes: tuple[Process, ...] = ()
    others: tuple[OtherState, ...] = ()
    alive: frozenset[tuple[str, int]] = frozenset()
    not_known: tuple[str, ...] = ()

    @property
    def is_used(self) -> bool:
        """Whether a program has ever used the state."""
        return bool(self.state.is_begun or self.state.keys or self.state.has_global or self.history.lines)


class Finding(NamedTuple):
    """One thing that is wrong, or was.

    Args:
        cause: Its short name, for programs.
        what: What it is, in a sentence.
        certainty: ``sure``: the evidence leaves nothing else; ``likely``: it fits best; ``not known``.
        evidence: What was seen.
        do: What to do: one to three commands or steps.
        key: The fingerprint of the key.
        account: The account's name, if it is known.
        is_over: Whether it is over, so that nothing has to be done.
    """

    cause: str
    what: str
    certainty: Literal["sure", "likely", "not known"]
    evidence: tuple[str, ...]
    do: tuple[str, ...]
    key: str = ""
    account: str = ""
    is_over: bool = False
