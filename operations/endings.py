"""How each node of a run ended, from what it answered, and from what it says now where its answer was lost."""

from time import monotonic
from typing import TYPE_CHECKING

import gevent
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fleet.load import node_name
from fleet.observed import Observed
from fleet.outcome import Ending, Outcome
from fleet.plan import Work
from operations import question
from operations.generations import ACTIVATE
from operations.node_command import Answer, answers, failure_lines

if TYPE_CHECKING:
    from operations.rollout import Rollout

# How long the end of a run waits for a node whose connection was lost; a drain may take longer than anybody waits.
_SETTLE_SECONDS = 45
_PAUSE_SECONDS = 1


def of(rollout: "Rollout") -> list[Outcome]:
    """Every node's end, in the order of the inventory; nodes that --limit leaves out are none of this run's."""
    run = rollout.survey
    hosts = {node_name(host): host for host in rollout.state.inventory}
    return [
        Outcome(node.name, Ending.DOWN)
        if node.name in run.answers.unreached
        else _ending(rollout, hosts[node.name], run.works[node.name])
        for node in run.fleet.nodes
        if node.name not in run.answers.left_out
    ]


def _ending(rollout: "Rollout", host: Host, work: Work) -> Outcome:
    state, name = rollout.state, work.node.name
    failed, begun = host in state.failed_hosts, rollout.begun.get(name, [])
    doing = begun[-1] if failed and begun else ""
    why = _why(state, host, name) if failed else ()
    settled = next((one["ending"] for one in reversed(answers(state).get(name, [])) if "ending" in one), None)
    if settled:
        return Outcome(name, Ending[settled], work.current or "", doing, why)
    activation = next((one for one in reversed(answers(state).get(name, [])) if "to" in one), None)
    if activation:
        return Outcome(name, *_activated(activation), doing, why)
    if ACTIVATE in begun:
        return _lost(rollout, host, work, why)
    ending = Ending.UNTOUCHED if work.activate else Ending.UNCHANGED
    return Outcome(name, ending, work.current or "", doing, why)


def _activated(answer: Answer) -> tuple[Ending, str]:
    if answer["ok"]:
        return Ending.NEW, str(answer["to"])
    stuck = any(one["what"].startswith(("undo:", "after rolling back:")) for one in answer["failures"])
    return (Ending.BROKEN, "") if stuck else (Ending.OLD, str(answer.get("from") or ""))


def _lost(rollout: "Rollout", host: Host, work: Work, why: tuple[str, ...]) -> Outcome:
    """Ask again a node whose answer never came: its transaction ends without us."""
    name, said = work.node.name, _settled(rollout, host)
    if said is None or said.is_busy:
        doing = "has not ended its activation yet" if said else "cannot be reached any more"
        return Outcome(name, Ending.UNKNOWN, "", ACTIVATE, (*why, f"the connection was lost; the node {doing}"))
    generation = said.generation or ""
    if generation == work.target:
        return Outcome(name, Ending.NEW, generation)
    return Outcome(name, Ending.OLD, generation, ACTIVATE, (*why, "the connection was lost; the node went back"))


def _settled(rollout: "Rollout", host: Host) -> Observed | None:
    """What a node says once its transaction has ended; its last word where that takes too long."""
    deadline = monotonic() + _SETTLE_SECONDS
    while True:
        said = question.ask(host, rollout.survey.answers)
        if said is None or not said.is_busy or monotonic() >= deadline:
            return said
        gevent.sleep(_PAUSE_SECONDS)


def _why(state: State, host: Host, name: str) -> tuple[str, ...]:
    """The reasons a node gave, or the last lines of the operation that failed."""
    for answer in reversed(answers(state).get(name, [])):
        if not answer.get("ok", True):
            return tuple(failure_lines(answer))
    for op_hash in reversed(host.op_hash_order):
        meta = state.ops[host][op_hash].operation_meta
        if meta.is_complete() and not meta.did_succeed():
            return tuple([*meta.stderr_lines, *meta.stdout_lines][-3:])
    return ()
