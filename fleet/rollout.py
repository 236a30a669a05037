"""How a change goes through the fleet, how gateways follow it, and what a person says of one run."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rollout:
    """How a change goes through the fleet.

    Attributes:
        canaries: how many GPU nodes change alone before all others.
        fractions: the size of each wave behind them, as a share of the rest; what is left is the last wave.
        lock_seconds: after how long the lock of a controller that died ends by itself.
        guard: what a run that changes anything must say: nothing, or --limit or a confirmation.
    """

    canaries: int
    fractions: tuple[float, ...]
    lock_seconds: int
    guard: Literal["none", "limit-or-confirm"]


@dataclass(frozen=True)
class Rotation:
    """How closely a gateway follows its nodes.

    Attributes:
        interval_seconds: time from one question to a node to the next.
        rise: good answers in a row that bring a node back.
        fall: questions in a row without a good answer that take it out.
        fail_open_share: if more than this share of a service's nodes look down at once, none is taken out.
        gather_seconds: how long a node's return waits for others, so that one reload serves them all.
        warm_seconds: least time from one reload to the next that only follows which models are loaded where.
    """

    interval_seconds: int
    rise: int
    fall: int
    fail_open_share: float
    gather_seconds: int
    warm_seconds: int


@dataclass(frozen=True)
class Request:
    """What `--data KEY=VALUE` says of one run, beside the data of the fleet.

    Attributes:
        confirm: the environment that is meant to change as a whole, where its guard asks for that.
        break_lock: take the rollout lock from whoever holds it, or go on where it cannot be reached.
        force: try a generation again that has failed on its node.
        older: deploy a release that comes before the one that nodes have.
        reason: why, for the lock, the record and a drain.
        to: the generation to roll back to; each node's previous one without it.
        json: answer for programs.
        nodes: the nodes a silence is about, with commas between; all alerts without it.
        minutes: how long a silence lasts.
        only_needed: leave alone the nodes that need no reboot.
        service: whose data are restored.
        origin: the node whose data they are; the node's own without it.
        at: nothing younger than that is restored, such as 2026-11-26T02-00-00Z.
        overwrite: what is there may be overwritten by a restore.
        action: what tasks/models.py is to do; `declared` lets tasks/tune.py measure the declared setting alone.
        model: the models it is about, with commas between.
        verify: read every file of the models, instead of believing its name and length.
    """

    confirm: str = ""
    break_lock: bool = False
    force: bool = False
    older: bool = False
    reason: str = ""
    to: str = ""
    json: bool = False
    nodes: str = ""
    minutes: int | None = None
    only_needed: bool = True
    service: str = ""
    origin: str = ""
    at: str = ""
    overwrite: bool = False
    action: str = ""
    model: str = ""
    verify: bool = False
