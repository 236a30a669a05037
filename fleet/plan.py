"""What a run has to do on a node: the difference between what should be and what the node said."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fleet import optimization, waves
from fleet.generation import Generation
from fleet.model import Fleet, Node, Service
from fleet.observed import Observed
from fleet.problems import Problem
from fleet.secrets import missing
from fleet.waves import Capacity


@dataclass(frozen=True)
class Work:
    """One node's part of a run.

    Attributes:
        node: the node.
        generation: what should be on it.
        missing: Debian packages that are not installed.
        reasons: why it must be activated, one sentence each; empty when it is as declared.
        verify: the fleet's digest if this gateway's routes must be verified; empty if they need not.
        current: the generation the node serves now.
        target: the generation it is to serve.
        force: activate it even if it has failed on this node before.
    """

    node: Node
    generation: Generation
    missing: tuple[str, ...]
    reasons: tuple[str, ...]
    verify: str = ""
    current: str | None = None
    target: str = ""
    force: bool = False

    @property
    def activate(self) -> bool:
        """Whether anything on the node must change."""
        return bool(self.missing or self.reasons)

    def lines(self) -> Iterator[str]:
        """What will be done and why, for the plan."""
        if self.missing:
            yield f"install {', '.join(self.missing)}"
        yield from self.reasons
        if self.verify:
            yield "verify the routes through this gateway"


def work(node: Node, generation: Generation, observed: Observed) -> Work:
    """Compare what should be on a node with what it says."""
    return Work(
        node=node,
        generation=generation,
        missing=tuple(name for name in generation.packages if name not in observed.packages),
        reasons=tuple(_reasons(generation, observed)),
        current=observed.generation,
        target=generation.id,
    )


def rollback(node: Node, generation: Generation, observed: Observed, to: str) -> Work:
    """A node's part of a rollback: to a named generation, or to its previous one.

    A node that has no such generation, or serves it already, has nothing to do.
    """
    target = to or str(observed.status.get("previous") or "")
    goes = bool(target) and target in observed.status.get("staged", ()) and target != observed.generation
    reasons = (f"roll back from generation {observed.generation} to {target}",) if goes else ()
    return Work(node, generation, (), reasons, current=observed.generation, target=target if goes else "")


def reboot(node: Node, generation: Generation, observed: Observed, *, only_needed: bool) -> Work:
    """A node's part of a reboot; a machine that is no node yet cannot come back as one, and has none."""
    asked = observed.reboot_reasons or (() if only_needed else ("asked for by hand",))
    reasons = tuple(f"reboot: {reason}" for reason in asked) if observed.generation else ()
    current = observed.generation
    return Work(node, generation, (), reasons, current=current, target=current or "" if reasons else "")


def tuning(node: Node, generation: Generation, observed: Observed, *, declared: bool) -> Work:
    """A node's part of a tuning; whoever took it out of rotation keeps it, and nobody measures an ill one."""
    optimizer, current = node.optimizer, observed.generation
    services = [service.name for service in optimization.tuned(node)]
    able = optimizer and optimizer.enable and services and current and observed.rotation == "in"
    settings = 1 if declared or not optimizer else len(optimizer.tuning.settings())
    reasons = (f"measure {settings} settings of {', '.join(services)}",) if able else ()
    return Work(node, generation, (), reasons, current=current, target=current or "" if reasons else "")


def capacities(
    fleet: Fleet, answers: Mapping[str, Observed], left_out: Mapping[str, Collection[str]]
) -> tuple[Capacity, ...]:
    """What of each service serves now.

    Args:
        fleet: all of it.
        answers: what the nodes that answered said; any other node of the run is down.
        left_out: of the nodes that are not in the run, those that serve each service.
    """
    services = {service.name: service for service in fleet.services()}
    backends = {name: [node.name for node in fleet.backends(name)] for name in services}
    serving = {
        name: [
            node
            for node in backends[name]
            if (_serves(service, answers[node]) if node in answers else node in left_out.get(name, ()))
        ]
        for name, service in services.items()
    }
    out = [name for name, answer in answers.items() if answer.is_drained or answer.needs_reboot]
    return waves.capacities(backends, {name: service.floor for name, service in services.items()}, serving, out)


def _serves(service: Service, said: Observed) -> bool:
    return said.runs(service.unit) and service.name not in said.condemned


def quarantined(work: Work, observed: Observed) -> Iterator[Problem]:
    """Refuse a generation that has failed on its node before."""
    entry = observed.quarantined.get(work.target)
    if entry and work.activate and not work.force:
        yield Problem(
            work.node.name,
            f"generation {work.target} has failed here before ({entry.get('at', '')}): {_first_line(entry.get('why'))}",
            "Mend the cause in data, templates or flake; if it lay outside of them, add --data force=true.",
        )


def unknown_secrets(generation: Generation) -> Iterator[Problem]:
    """Refuse files that would land with a name in the place of a secret."""
    names = sorted({name for file in generation.files for name in missing(file.content)})
    if names:
        yield Problem(
            generation.node,
            f"needs secrets that are not known here: {', '.join(names)}",
            "See what this controller can open: python -m tools.secrets show INVENTORY (docs/operate/secrets.md).",
        )


def _first_line(text: object) -> str:
    return next(iter(str(text or "").splitlines()), "")


def digest(generations: Iterable[Generation]) -> str:
    """Names what a whole fleet should be."""
    ids = sorted(f"{generation.node}={generation.id}" for generation in generations)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def _reasons(generation: Generation, observed: Observed) -> Iterator[str]:
    current = observed.status.get("generation")
    if not observed.status:
        yield f"install generation {generation.id}"
    elif current != generation.id:
        yield f"change from generation {current or 'none'} to {generation.id}"
    else:
        for item in observed.status.get("drift", ()):
            yield f"mend {item['name']}: {item['why']}"
