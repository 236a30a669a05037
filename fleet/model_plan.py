"""Which node fetches which file from where, so that every byte comes into the fleet once. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fleet import models
from fleet.model import Fleet, Node
from fleet.model_lock import Key, Lock, LockedFile, LockedModel, name_at
from ipex_node.cleanup.model_name import full_name

State = Literal["yes", "partly", "other", "no", "unlocked", "unknown", "undeclared", "-"]
"""yes: all of it is there. partly: some files are missing. other: another digest under its name. no: nothing of it.
unlocked: declared, and the lock does not know it. unknown: the node was not asked. undeclared: there, and declared by
nobody for this node. -: neither declared nor there."""


@dataclass(frozen=True)
class Stock:
    """What a node has, as `ipex-node models show` says.

    Attributes:
        files: service to path to length.
        manifests: service to path to the manifest's digest.
        wrong: service to files whose content is not what their names say; known only where that was verified.
        free_bytes: room on its disk.
        locked: service to model to the digest it was last given.
    """

    files: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    wrong: Mapping[str, Sequence[str]] = field(default_factory=dict)
    free_bytes: int = 0
    locked: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def has(self, service: str, file: LockedFile) -> bool:
        """Whether a file is there with its length."""
        return self.files.get(service, {}).get(file.path) == file.bytes


def stock(answer: Mapping[str, Any]) -> Stock:
    """Read a node's answer."""
    services = answer["services"]
    return Stock(
        {name: one["files"] for name, one in services.items()},
        {name: one["manifests"] for name, one in services.items()},
        {name: one["wrong"] for name, one in services.items()},
        answer["free_bytes"],
        answer["locked"],
    )


@dataclass(frozen=True)
class Work:
    """What one node is to fetch.

    Attributes:
        node: the node.
        models: the models it declares and the lock knows, in the order in which they are to appear.
        missing: their files that it lacks.
        first: those of them that nobody in the fleet has, and that this node fetches for all.
        keys: whether a model would be placed, or its digest remembered, without a byte.
    """

    node: Node
    models: tuple[tuple[Key, LockedModel], ...]
    missing: tuple[tuple[str, LockedFile], ...]
    first: frozenset[str]
    unplaced: tuple[Key, ...]

    @property
    def upstream_bytes(self) -> int:
        """What it brings into the fleet."""
        return sum(file.bytes for _, file in self.missing if file.digest in self.first)

    @property
    def copied_bytes(self) -> int:
        """What it copies from other nodes."""
        return sum(file.bytes for _, file in self.missing if file.digest not in self.first)


@dataclass(frozen=True)
class Plan:
    """What a run would fetch.

    Attributes:
        works: every node that was asked, with its work.
        holders: service and path to the nodes that have a file, or will.
    """

    works: tuple[Work, ...]
    holders: Mapping[tuple[str, str], tuple[Node, ...]]

    def order(self, work: Work, stocks: Mapping[str, Stock], *, upstream: bool) -> dict[str, Any]:
        """What a node is asked: first what it fetches for all, then what it copies."""
        store, known = work.node.models, stocks[work.node.name]
        files = {(key[0], file.path): (key[0], file) for key, model in work.models for file in model.files}
        lacking = {(service, file.path) for service, file in work.missing}
        return {
            "rate": store.rate if store else "",
            "keep_free_bytes": store.keep_free_gb * 10**9 if store else 0,
            "files": [
                {
                    "service": service,
                    "path": file.path,
                    "digest": file.digest,
                    "bytes": file.bytes,
                    "replace": file.path in known.wrong.get(service, ()),
                    "sources": self._sources(work, service, file, upstream) if (service, file.path) in lacking else [],
                    "again": [*self._mates(work, service, file), file.url],
                }
                for service, file in files.values()
            ],
            "models": [
                {
                    "service": service,
                    "name": name,
                    "digest": model.digest,
                    "files": [f"{service}/{file.path}" for file in model.files],
                    "place": model.place,
                    "manifest": model.manifest,
                    "upstream": model.source if model.place else "",
                }
                for (service, name), model in work.models
            ],
        }

    def _sources(self, work: Work, service: str, file: LockedFile, upstream: bool) -> list[str]:
        if upstream:
            return [file.url] if file.digest in work.first else []
        return self._mates(work, service, file)

    def _mates(self, work: Work, service: str, file: LockedFile) -> list[str]:
        """The other nodes that have a file, or will; of those that declare its model, where nobody lacks it."""
        holders = self.holders.get((service, file.path)) or tuple(
            one.node
            for one in self.works
            if any(file in model.files for (name, _), model in one.models if name == service)
        )
        peers = [node for node in holders if node != work.node and node.models]
        # Each node begins with another mate, so that fresh holders are asked, too, and the first one is not alone.
        spread = sorted(peers, key=lambda node: _mixed(f"{work.node.name} {node.name} {file.digest}"))
        return [f"http://{node.at(node.models.port)}/{service}/{file.path}" for node in spread if node.models]


def plan(fleet: Fleet, lock: Lock, stocks: Mapping[str, Stock]) -> Plan:
    """Decide who fetches what.

    Args:
        fleet: the fleet.
        lock: its models.
        stocks: what the nodes have that were asked, by name; nobody else takes part.
    """
    nodes = [node for node in fleet.with_role("gpu_nodes") if node.name in stocks]
    wanted = {node.name: _wanted(node, lock, place, len(nodes)) for place, node in enumerate(nodes)}
    missing = {node.name: _missing(wanted[node.name], stocks[node.name]) for node in nodes}
    holders = {
        (service, path): tuple(
            node for node in nodes if stocks[node.name].has(service, file) or (service, path) in missing[node.name]
        )
        for node in nodes
        for (service, path), file in missing[node.name].items()
    }
    first = _first(nodes, missing, stocks)
    works = tuple(
        Work(
            node,
            wanted[node.name],
            tuple((service, file) for (service, _), file in missing[node.name].items()),
            frozenset(first[node.name]),
            tuple(_unplaced(wanted[node.name], stocks[node.name])),
        )
        for node in nodes
    )
    return Plan(works, holders)


def _wanted(node: Node, lock: Lock, place: int, nodes: int) -> tuple[tuple[Key, LockedModel], ...]:
    """A node's models; each node begins with others, so that they soon have something to give each other."""
    keys = [(service.name, name) for service in node.services for name in models.locked_names(service)]
    found = [(key, lock[key]) for key in keys if key in lock]
    begin = len(found) * place // max(nodes, 1)
    return tuple(found[begin:] + found[:begin])


def _missing(wanted: Sequence[tuple[Key, LockedModel]], has: Stock) -> dict[tuple[str, str], LockedFile]:
    return {
        (service, file.path): file
        for (service, _), model in wanted
        for file in model.files
        if not has.has(service, file)
    }


def _first(
    nodes: Sequence[Node], missing: Mapping[str, Mapping[tuple[str, str], LockedFile]], stocks: Mapping[str, Stock]
) -> dict[str, set[str]]:
    """Give each file that nobody has to one of those that lack it: to whom has least to fetch so far."""
    load: dict[str, int] = defaultdict(int)
    found: dict[str, set[str]] = {node.name: set() for node in nodes}
    given: set[str] = set()
    for (service, path), file in {key: file for files in missing.values() for key, file in files.items()}.items():
        if file.digest in given or any(stocks[node.name].has(service, file) for node in nodes):
            continue
        able = [node.name for node in nodes if (service, path) in missing[node.name]]
        chosen = min(able, key=lambda name: (load[name], able.index(name)))
        load[chosen] += file.bytes
        found[chosen].add(file.digest)
        given.add(file.digest)
    return found


def _unplaced(wanted: Sequence[tuple[Key, LockedModel]], has: Stock) -> Iterator[Key]:
    for (service, name), model in wanted:
        placed = not model.place or has.manifests.get(service, {}).get(model.place) == model.digest
        if not placed or has.locked.get(service, {}).get(name) != model.digest:
            yield service, name


def _mixed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def parity(fleet: Fleet, lock: Lock, stocks: Mapping[str, Stock]) -> dict[Key, dict[str, State]]:
    """How each model stands on each GPU node: those that data declare, and those that somebody has."""
    nodes = fleet.with_role("gpu_nodes")
    table: dict[Key, dict[str, State]] = {}
    for node in nodes:
        for service in node.services:
            for name in models.locked_names(service):
                state = _state((service.name, name), lock, stocks.get(node.name))
                table.setdefault((service.name, name), {})[node.name] = state
    for node in nodes:
        for key in undeclared(node, stocks.get(node.name)):
            table.setdefault(key, {})[node.name] = "undeclared"
    return {key: {node.name: states.get(node.name, "-") for node in nodes} for key, states in sorted(table.items())}


def _state(key: Key, lock: Lock, has: Stock | None) -> State:
    if has is None:
        return "unknown"
    model = lock.get(key)
    if model is None:
        return "unlocked"
    service = key[0]
    there = sum(has.has(service, file) for file in model.files)
    manifest = has.manifests.get(service, {}).get(model.place, "") if model.place else model.digest
    if there == len(model.files) and manifest == model.digest:
        return "yes"
    if model.place and manifest:
        return "other"
    return "partly" if there else "no"


def undeclared(node: Node, has: Stock | None) -> list[Key]:
    """Models that a node has and does not declare, by their full names, without what Ollama adds by itself."""
    found: list[Key] = []
    for service in node.services if has else ():
        known = {full_name(name) for name in models.declared(service)}
        there = {name_at(path) for path in has.manifests.get(service.name, {})} if has else set()
        found += [(service.name, _short(name)) for name in sorted(there - known) if name]
    return found


def removable(fleet: Fleet, stocks: Mapping[str, Stock], names: Iterable[str]) -> dict[str, list[str]]:
    """Node to those of these models that it has and does not declare."""
    wanted = {full_name(name) for name in names}
    return {
        name: [model for _, model in undeclared(fleet[name], stock) if full_name(model) in wanted]
        for name, stock in stocks.items()
    }


def _short(name: str) -> str:
    return name.removeprefix("registry.ollama.ai/").removeprefix("library/")
