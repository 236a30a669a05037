"""A publication: what each node that updates itself is to take, in which order, and how much must go on meanwhile."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import pyrage

from fleet import waves
from fleet.generation import Generation
from fleet.model import ROLES, Fleet, Node
from fleet.observed import Observed
from fleet.problems import Problem
from ipex_node.signature import FLEET
from ipex_node.update.publication import FORMAT, INDEX, Member, Publication, Service, sealed

NAMESPACE = FLEET
"""What an index is signed for (ssh-keygen(1), -n)."""
_DAY_SECONDS = 86400


@dataclass(frozen=True)
class Bundle:
    """One node's part, as it lies in the depot.

    Attributes:
        file: where, below `generations/`.
        content: the generation's bundle, encrypted for the node.
        sha256: its digest.
    """

    file: str
    content: bytes
    sha256: str


def encrypted(content: bytes, host_key: str) -> bytes:
    """Encrypt with age for the node that has this SSH host key, and for nobody else.

    Raises:
        ValueError: it is no key for which age can encrypt.
    """
    try:
        return bytes(pyrage.encrypt(content, [pyrage.ssh.Recipient.from_str(host_key)]))
    except pyrage.RecipientError as error:
        raise ValueError(str(error)) from error


def problems(fleet: Fleet, answers: Mapping[str, Observed]) -> Iterator[Problem]:
    """Why nothing can be published."""
    if not fleet.depot_node:
        yield Problem(fleet.environment, "has no depot", "Declare depot in group_data/ (docs/operate/depot.md).")
    if not any(node.updates for node in fleet.nodes):
        yield Problem(fleet.environment, "says nothing of updates", "Declare updates (docs/operate/updates.md).")
    for name, said in answers.items():
        if takes(fleet[name]) and not said.host_key:
            cure = "Look at /etc/ssh/ssh_host_ed25519_key.pub there; `ssh-keygen -A` makes what is missing."
            yield Problem(name, "has no ed25519 host key, for which its bundle could be encrypted", cure)


def takes(node: Node) -> bool:
    """Whether a node takes by itself what is published."""
    return bool(node.updates and node.updates.enable)


def index(
    fleet: Fleet,
    generations: Mapping[str, Generation],
    bundles: Mapping[str, Bundle],
    changing: frozenset[str],
    now: int,
) -> bytes:
    """What is signed.

    Args:
        fleet: all of it.
        generations: what should be on each node.
        bundles: of the nodes that something is published for.
        changing: those of them that have something else now.
        now: seconds since 1970; the publication's number, too.
    """
    updates = next(node.updates for node in fleet.nodes if node.updates)
    first = canaries(fleet, changing & set(bundles))
    publication = Publication(
        environment=fleet.environment,
        serial=now,
        created=now,
        expires=now + updates.valid_days * _DAY_SECONDS,
        concurrent=updates.concurrent,
        soak_seconds=updates.soak_seconds,
        members={
            name: _member(fleet[name], generations[name], bundle, canary=name in first)
            for name, bundle in bundles.items()
        },
        services={service.name: _service(fleet, service.name, service.floor) for service in fleet.services()},
    )
    return (json.dumps({"format": FORMAT, **asdict(publication)}, indent=1, sort_keys=True) + "\n").encode()


def files(index: bytes, seal: bytes, bundles: Mapping[str, Bundle]) -> dict[str, bytes]:
    """All that goes into the depot, below `generations/`."""
    return {INDEX.rpartition("/")[2]: sealed(seal, index), **{one.file: one.content for one in bundles.values()}}


def canaries(fleet: Fleet, changing: frozenset[str]) -> frozenset[str]:
    """Who goes first: as many GPU nodes as a deploy's first wave has; where none changes, one of the others."""
    gpus = [node.name for node in fleet.nodes if node.is_gpu and node.name in changing]
    others = [node.name for node in fleet.nodes if node.name in changing]
    return frozenset(gpus[: fleet.rollout.canaries] if gpus else others[: min(1, fleet.rollout.canaries)])


def _member(node: Node, generation: Generation, bundle: Bundle, *, canary: bool) -> Member:
    return Member(
        generation=generation.id,
        file=bundle.file,
        sha256=bundle.sha256,
        packages=generation.packages,
        address=node.address,
        agent_port=node.agent.port,
        role=next(role for role in ROLES if role in node.roles),
        canary=canary,
    )


def _service(fleet: Fleet, name: str, floor: int | str) -> Service:
    nodes = tuple(node.name for node in fleet.backends(name))
    return Service(nodes, waves.floor(floor, len(nodes)))
