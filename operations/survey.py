"""From what the nodes said: refuse what is not fit, and say what the run will do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fleet import channels, depot, fitness, load, matrix, models, plan, release, waves
from fleet.model import Fleet
from fleet.observed import Observed
from fleet.plan import Work
from fleet.problems import Problem, report
from fleet.waves import Wave
from operations import capacity, command_line, question
from operations.lock import RolloutLock
from operations.once import once
from operations.question import Answers

Edges = Callable[[Answers, list[str]], tuple[Wave, ...]]
"""Parts the gateways and monitors that change into waves."""


@dataclass(frozen=True)
class Survey:
    """What a run found and will do.

    Attributes:
        answers: what the nodes said.
        works: each node's part, by node name; only nodes that could be reached.
        gpu_waves: the GPU nodes to change, wave by wave.
        edge_waves: the gateways and monitors to change behind them.
    """

    answers: Answers
    works: dict[str, Work]
    gpu_waves: tuple[Wave, ...] = ()
    edge_waves: tuple[Wave, ...] = ()

    def __getitem__(self, host: Host) -> Work:
        """One node's part."""
        return self.works[load.node_name(host)]

    @property
    def fleet(self) -> Fleet:
        """The whole fleet."""
        return self.answers.fleet

    @property
    def activates(self) -> bool:
        """Whether any node will change."""
        return any(work.activate for work in self.works.values())

    @property
    def changes(self) -> bool:
        """Whether any node needs anything."""
        return self.activates or any(work.verify for work in self.works.values())

    @property
    def closures(self) -> list[str]:
        """What the depot must have: every closure of every node, where a node of this run changes."""
        found = self.answers.generations.values() if self.fleet.depot_node and self.activates else ()
        return sorted({one for generation in found for one in generation.manifest["closures"].values()})

    @property
    def opens_depot(self) -> bool:
        """Whether the depot's node must change before all others: they take from it, and it does not serve yet."""
        node = self.fleet.depot_node
        said = self.answers.answers.get(node.name) if node else None
        serves = said is not None and depot.UNIT in said.status.get("units", ()) and said.runs(depot.UNIT)
        return self.activates and said is not None and not serves

    @property
    def unchanged(self) -> str:
        """The sentence for a run with nothing to do."""
        nodes = len(self.works) + len(self.answers.unreached)
        down = ", ".join(self.answers.unreached)
        return f"Nothing to change: {len(self.works)} of {nodes} nodes are as declared" + (
            f"; {down} cannot be reached" if down else ""
        )


def of(state: State) -> Survey:
    """The survey of a deploy.

    Raises:
        RefusedError: with every problem of every node; nothing has been changed on any.
    """
    return once(state, _deploy)


def _deploy(state: State) -> Survey:
    found = question.answers(state)
    refuse_unfit(found)
    return planned(state, found, _works(found))


def refuse_unfit(found: Answers) -> None:
    """Let nothing come to nodes that do not fit it, or whose release it is not; say what is odd.

    Raises:
        RefusedError: with every problem.
    """
    fleet = found.fleet
    _refuse(fleet, [*_foreign(fleet), *_older(found)])
    _refuse(fleet, [one for generation in found.generations.values() for one in plan.unknown_secrets(generation)])
    _refuse(fleet, [one for name, answer in found.answers.items() for one in _problems(fleet, name, answer)])
    _warn(found)


def planned(
    state: State, found: Answers, works: dict[str, Work], edges: Edges | None = None, *, singly: bool = False
) -> Survey:
    """Part each node's work into waves, print the plan, and refuse what must not be done like that.

    Args:
        state: pyinfra's.
        found: what the nodes said.
        works: each node's part.
        edges: parts gateways and monitors into waves; as for a deploy without it.
        singly: one GPU node after the other, whatever the rollout's fractions.

    Raises:
        RefusedError: a floor cannot be held, a generation has failed before, or the environment's guard forbids it.
    """
    works = {name: replace(work, force=found.request.force) for name, work in works.items()}
    problems = [_busy(name) for name, said in found.answers.items() if said.is_busy]
    if problems and not command_line.current().dry:
        RolloutLock(state, found).refuse_if_held()
    problems += [one for name, work in works.items() for one in plan.quarantined(work, found.answers[name])]
    _refuse(found.fleet, problems)
    changing = [name for name, work in works.items() if work.activate]
    gpu_waves = _gpu_waves(state, found, changing, singly=singly)
    survey = Survey(found, works, gpu_waves, (edges or _edge_waves)(found, changing))
    _print_plan(survey)
    _guard(survey)
    return survey


def _gpu_waves(state: State, found: Answers, changing: list[str], *, singly: bool) -> tuple[Wave, ...]:
    nodes = _holder_last(found, [name for name in changing if found.fleet[name].is_gpu])
    rollout = found.fleet.rollout
    try:
        serving = (*capacity.of(state, found), _gateways(found.fleet, nodes)) if nodes else ()
        # A share of nothing is one node.
        canaries, fractions = (0, (0.0,) * len(nodes)) if singly else (rollout.canaries, rollout.fractions)
        return waves.plan(nodes, serving, canaries, fractions)
    except waves.FloorError as error:
        problems = [*(_unreachable(name) for name in found.unreached), *error.problems]
        _refuse(found.fleet, problems)
        raise


def _edge_waves(found: Answers, changing: list[str]) -> tuple[Wave, ...]:
    nodes = _holder_last(found, [name for name in changing if not found.fleet[name].is_gpu])
    return waves.plan(nodes, [_gateways(found.fleet, nodes)], 0, ())


def one_by_one(found: Answers, changing: list[str]) -> tuple[Wave, ...]:
    """Part monitors and gateways for what takes them away: each alone, monitors first, the holder last."""
    nodes = _holder_last(found, [name for name in changing if not found.fleet[name].is_gpu])
    return tuple(Wave((name,)) for name in sorted(nodes, key=lambda name: found.fleet[name].gateway is not None))


def _gateways(fleet: Fleet, changing: Iterable[str]) -> waves.Capacity:
    """Change half of the gateways at a time: nginx is only reloaded, but a bad one must not be everywhere."""
    gateways = frozenset(name for name in changing if fleet[name].gateway)
    return waves.Capacity("gateway", gateways, gateways, len(gateways) // 2)


def _holder_last(found: Answers, changing: Iterable[str]) -> list[str]:
    """Change the gateway with the floating address behind the others: what they refuse never reaches users."""
    return sorted(changing, key=lambda name: found.answers[name].holds_floating)


def _works(found: Answers) -> dict[str, Work]:
    works = {name: plan.work(found.fleet[name], found.generations[name], said) for name, said in found.answers.items()}
    wanted = plan.digest(found.generations.values())
    anything = any(work.activate for work in works.values())
    for name, work in works.items():
        if work.node.gateway and (anything or found.answers[name].status.get("verified") != wanted):
            works[name] = replace(work, verify=wanted)
    return works


def _refuse(fleet: Fleet, problems: Iterable[Problem]) -> None:
    problems = list(problems)
    if problems:
        raise load.RefusedError(f"No node was changed:\n{report(fleet.environment, problems)}")


def _problems(fleet: Fleet, name: str, answer: Observed) -> Iterator[Problem]:
    yield from fitness.problems(fleet[name], answer)
    yield from matrix.lockout(fleet[name], answer, fleet)


def _foreign(fleet: Fleet) -> Iterator[Problem]:
    """An environment that follows a channel takes what that names, made by that release's own tool."""
    first = fleet.nodes[0]
    if first.channel:
        digests = (channels.tool_digest(), channels.models_digest())
        for what, cure in release.foreign(first.release, first.channel, *digests):
            yield Problem(fleet.environment, what, cure)


def _older(found: Answers) -> Iterator[Problem]:
    for name, said in found.answers.items():
        has, wanted = str(said.status.get("revision") or ""), found.fleet[name].release
        if wanted and not found.request.older and release.is_older(wanted.version, has):
            yield Problem(
                name,
                f"has release {has}, and this is {wanted.version}",
                "Promote a newer one, or go back on purpose: --data older=true.",
            )


def _warn(found: Answers) -> None:
    warnings = [*models.warnings(found.fleet), *(_unreachable(name) for name in found.unreached)]
    warnings += [one for name, answer in found.answers.items() for one in fitness.warnings(found.fleet[name], answer)]
    if warnings:
        logger.warning("--> Warnings:\n%s", report(found.fleet.environment, warnings))


def _busy(name: str) -> Problem:
    return Problem(
        name,
        "is being changed at this moment (a rollout whose controller is gone, or a person)",
        "Its transaction ends by itself, done or taken back: run the same command again in a minute.",
    )


def _unreachable(name: str) -> Problem:
    return Problem(
        name,
        "cannot be reached over SSH",
        "Bring it up or mend its ssh_ settings; the next run brings it up to date.",
    )


def _print_plan(survey: Survey) -> None:
    if survey.changes:
        logger.info("--> Plan for %s:\n%s", survey.fleet.environment, "\n".join(f"  {line}" for line in _lines(survey)))


def _lines(survey: Survey) -> Iterator[str]:
    for name, work in survey.works.items():
        for line in list(work.lines()) or ["as declared"]:
            yield f"{name}: {line}"
    for name in survey.answers.unreached:
        yield f"{name}: left as it is, cannot be reached"
    for number, wave in enumerate(survey.gpu_waves, 1):
        yield f"wave {number} of {len(survey.gpu_waves)}: {wave}"
    for wave in survey.edge_waves:
        yield f"then: {wave}"


def _guard(survey: Survey) -> None:
    """Let nobody change a whole environment by accident, where its data asks for that."""
    fleet, typed = survey.fleet, command_line.current()
    excused = typed.dry or typed.limited or survey.answers.request.confirm == fleet.environment
    if fleet.rollout.guard == "none" or not survey.activates or excused:
        return
    raise load.RefusedError(
        f"No node was changed: this would change all of {fleet.environment}, which its guard asks you to confirm. "
        f"If the plan above is what you mean, type:\n  {typed.again('--data', f'confirm={fleet.environment}')}"
    )
