"""What may go from a node's disk, and what stays and why. Pure: from what is there to what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ipex_node.cleanup.model_name import full_name
from ipex_node.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ipex_node.settings import Cleanup

    Kind = Literal["generation", "profile generation", "leftover", "output", "model", "store"]

_DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class Generation:
    """A generation's directory.

    Attributes:
        name: Its digest.
        bytes: What it takes without its closures.
        staged: When it was last staged (seconds since 1970).
        closures: Profile to store path; none where that cannot be read.
    """

    name: str
    bytes: int
    staged: float
    closures: Mapping[str, str] | None


@dataclass(frozen=True)
class ProfileLink:
    """A numbered link of a Nix profile: one generation of it, in Nix's own word.

    Attributes:
        path: The link.
        profile: The profile it belongs to.
        target: The store path it keeps.
        is_shown: Whether the profile shows it now.
    """

    path: str
    profile: str
    target: str
    is_shown: bool


@dataclass(frozen=True)
class File:
    """A file, or a directory with all it holds.

    Attributes:
        path: Where it is on the node.
        bytes: What its removal frees.
        modified: When it was last written (seconds since 1970).
        within: The directory under which it is told of.
    """

    path: str
    bytes: int
    modified: float
    within: str = ""


@dataclass(frozen=True)
class Model:
    """A model of an Ollama service.

    Attributes:
        name: As the service lists it.
        bytes: Its size; layers it shares with other models are counted.
        service: The service that has it.
    """

    name: str
    bytes: int
    service: str


@dataclass(frozen=True)
class Inventory:
    """All of a node's disk that this program may touch.

    Attributes:
        now: Seconds since 1970.
        generations: Staged generations, also half staged ones.
        serving: What must be able to serve: `current`, `previous` or `pinned` to generation.
        links: Numbered links of the node's Nix profiles.
        leftovers: What stages that were cut off have left.
        outputs: Files in the engines' output directories.
        models: Models of the Ollama services.
        declared: Service to the models that data declare for it.
        doubt: Why the age of files is not believed; empty where it is.
    """

    now: float
    generations: tuple[Generation, ...] = ()
    serving: tuple[tuple[str, str], ...] = ()
    links: tuple[ProfileLink, ...] = ()
    leftovers: tuple[File, ...] = ()
    outputs: tuple[File, ...] = ()
    models: tuple[Model, ...] = ()
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    doubt: str = ""

    def oldest(self, days: int) -> float:
        """Return the moment before which something is older than so many days."""
        return self.now - days * _DAY_SECONDS


@dataclass(frozen=True)
class Item:
    """One thing that goes or stays.

    Attributes:
        kind: What it is.
        name: Its path or name.
        bytes: What its removal frees.
        why: Why it goes or stays.
        within: The directory under which it is told of; its own name without one.
        owner: The service that has it, of a model.
        modified: When it was last written, of a file.
    """

    kind: Kind
    name: str
    bytes: int
    why: str
    within: str = ""
    owner: str = ""
    modified: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is, whatever is said of it."""
        return self.kind, self.name, self.owner


@dataclass(frozen=True)
class Plan:
    """What goes and what stays.

    Attributes:
        goes: What is removed.
        stays: What is not, with its reason.
        refused: Wishes that are not granted.
    """

    goes: tuple[Item, ...]
    stays: tuple[Item, ...]
    refused: tuple[Failure, ...] = ()


def decide(there: Inventory, limits: Cleanup, wanted: Iterable[str] = ()) -> Plan:
    """Decide what goes.

    Args:
        there: What there is.
        limits: Ages below which nothing goes.
        wanted: Names of models that shall go.
    """
    kept = _kept(there, limits)
    wishes = list(wanted)
    judged = [
        *_generations(there, limits, kept),
        *_links(there, kept),
        *_aged("leftover", there.leftovers, there, limits.staged_days),
        *_aged("output", there.outputs, there, limits.outputs_days),
        *_models(there, {full_name(name) for name in wishes}),
    ]
    return Plan(
        goes=tuple(item for goes, item in judged if goes),
        stays=tuple(item for goes, item in judged if not goes),
        refused=tuple(_refused(there, wishes)),
    )


def _kept(there: Inventory, limits: Cleanup) -> dict[str, str]:
    """Name the generations that stay, each with its reason."""
    oldest = there.oldest(limits.staged_days)
    days = f"{limits.staged_days} days"
    kept = {one.name: f"staged within {days}" for one in there.generations if one.staged > oldest}
    return kept | {name: role for role, name in reversed(there.serving)}


def _generations(there: Inventory, limits: Cleanup, kept: Mapping[str, str]) -> Iterator[tuple[bool, Item]]:
    why = f"neither current, previous nor pinned, nor staged within {limits.staged_days} days"
    for one in there.generations:
        goes = one.name not in kept
        yield goes, Item("generation", one.name, one.bytes, why if goes else kept[one.name])


def _links(there: Inventory, kept: Mapping[str, str]) -> Iterator[tuple[bool, Item]]:
    """Judge the profiles' links; where it is not known what is needed, none goes."""
    unknown = _unknown(there)
    needed = {path for _, path in _needs(there, kept)}
    profiles = {profile for profile, _ in _needs(there, kept)}
    for one in there.links:
        why = unknown
        if one.target in needed:
            why = "a kept generation needs it"
        elif one.is_shown and one.profile in profiles:
            why = "the profile shows it"
        yield not why, Item("profile generation", one.path, 0, why or "no kept generation needs it")


def _needs(there: Inventory, kept: Mapping[str, str]) -> set[tuple[str, str]]:
    return {need for one in there.generations if one.name in kept for need in (one.closures or {}).items()}


def _unknown(there: Inventory) -> str:
    """Say why it is not known what the node needs; nothing where it is."""
    readable = {one.name for one in there.generations if one.closures is not None}
    lost = next((name for _, name in there.serving if name not in readable), None)
    if lost:
        return f"generation {lost} cannot be read, so what it needs is not known"
    return "" if any(role == "current" for role, _ in there.serving) else "the node has no current generation"


def _aged(kind: Kind, found: Iterable[File], there: Inventory, days: int) -> Iterator[tuple[bool, Item]]:
    """Judge by age; what bears a time in the future is young."""
    for one in found:
        is_old = one.modified < there.oldest(days)
        why = there.doubt or (f"older than {days} days" if is_old else f"not older than {days} days")
        yield is_old and not there.doubt, Item(kind, one.path, one.bytes, why, one.within, modified=one.modified)


def _models(there: Inventory, wanted: set[str]) -> Iterator[tuple[bool, Item]]:
    for one in there.models:
        goes, why = False, f"not declared; to remove it: ipex-node cleanup --models {one.name}"
        if _is_declared(there, one):
            why = "declared"
        elif full_name(one.name) in wanted:
            goes, why = True, "not declared, and named with --models"
        yield goes, Item("model", one.name, one.bytes, why, owner=one.service)


def _is_declared(there: Inventory, model: Model) -> bool:
    return full_name(model.name) in map(full_name, there.declared.get(model.service, ()))


def _refused(there: Inventory, wanted: Iterable[str]) -> Iterator[Failure]:
    for name in wanted:
        found = [one for one in there.models if full_name(one.name) == full_name(name)]
        if not found:
            names = ", ".join(one.name for one in there.models) or "none"
            yield Failure(f"model {name}", f"is not there; there are: {names}")
        yield from (
            Failure(f"model {name}", f"is declared for {one.service}", "take it out of group_data first, and deploy")
            for one in found
            if _is_declared(there, one)
        )
