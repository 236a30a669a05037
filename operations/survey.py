"""Ask every node its one question, refuse what is not fit, and say what the run will do."""

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import gevent
from gevent import Greenlet
from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State

from facts.node_state import NodeState
from fleet import desired, fitness, load, plan
from fleet.generation import Generation
from fleet.model import Fleet
from fleet.observed import Observed
from fleet.plan import Work
from fleet.problems import Problem, report


@dataclass(frozen=True)
class Survey:
    """What a run found and will do.

    Attributes:
        fleet: the whole fleet, whatever --limit leaves out.
        works: each node's part, by node name; only nodes that are in the run.
    """

    fleet: Fleet
    works: dict[str, Work]

    def __getitem__(self, host: Host) -> Work:
        """One node's part."""
        return self.works[load.node_name(host)]

    @property
    def changes(self) -> bool:
        """Whether any node needs anything."""
        return any(work.activate or work.verify for work in self.works.values())

    @property
    def unchanged(self) -> str:
        """The sentence for a run with nothing to do."""
        return f"Nothing to change: {len(self.works)} of {len(self.works)} nodes are as declared"


_surveys: "WeakKeyDictionary[State, Greenlet[[State], Survey | load.RefusedError]]" = WeakKeyDictionary()


def of(state: State) -> Survey:
    """The survey of this run: taken by the first node that asks, awaited by all others.

    Raises:
        RefusedError: with every problem of every node; nothing has been changed on any.
    """
    if state not in _surveys:
        _surveys[state] = gevent.spawn(_take_or_refuse, state)
    survey = _surveys[state].get()
    if isinstance(survey, load.RefusedError):
        raise survey
    return survey


def _take_or_refuse(state: State) -> Survey | load.RefusedError:
    """Hand a refusal over as a value: gevent would print the traceback of one that is raised."""
    try:
        return _take(state)
    except load.RefusedError as refused:
        return refused


def _take(state: State) -> Survey:
    fleet = load.from_inventory(state.inventory)
    generations = {node.name: desired.generation(node, fleet) for node in fleet.nodes}
    hosts = [host for host in state.inventory if state.is_host_in_limit(host)]
    reached = [host for host in hosts if host.connected]
    questions = {load.node_name(host): gevent.spawn(_ask, host, fleet, generations) for host in reached}
    answers = {name: question.get() for name, question in questions.items()}

    problems = [_unreachable(host) for host in hosts if host not in reached]
    problems += [problem for name, answer in answers.items() for problem in fitness.problems(fleet[name], answer)]
    if problems:
        raise load.RefusedError(f"No node was changed:\n{report(fleet.environment, problems)}")
    warnings = [warning for name, answer in answers.items() for warning in fitness.warnings(fleet[name], answer)]
    if warnings:
        logger.warning("--> Warnings:\n%s", report(fleet.environment, warnings))
    survey = Survey(fleet, _works(fleet, generations, answers))
    _print_plan(survey)
    return survey


def _ask(host: Host, fleet: Fleet, generations: dict[str, Generation]) -> Observed:
    node = fleet[load.node_name(host)]
    observed: Observed = host.get_fact(
        NodeState, sysfs=node.paths.sysfs, procfs=node.paths.procfs, packages=generations[node.name].packages
    )
    return observed


def _unreachable(host: Host) -> Problem:
    return Problem(
        load.node_name(host),
        "cannot be reached over SSH",
        "Bring it up, mend its ssh_ settings, or leave it out with --exclude.",
    )


def _works(fleet: Fleet, generations: dict[str, Generation], answers: dict[str, Observed]) -> dict[str, Work]:
    works = {name: plan.work(fleet[name], generations[name], answer) for name, answer in answers.items()}
    wanted = plan.digest(generations.values())
    anything = any(work.activate for work in works.values())
    for name, work in works.items():
        if work.node.gateway and (anything or answers[name].status.get("verified") != wanted):
            works[name] = replace(work, verify=wanted)
    return works


def _print_plan(survey: Survey) -> None:
    if not survey.changes:
        return
    lines = [
        f"  {name}: {line}" for name, work in survey.works.items() for line in (list(work.lines()) or ["as declared"])
    ]
    logger.info("--> Plan for %s:\n%s", survey.fleet.environment, "\n".join(lines))
