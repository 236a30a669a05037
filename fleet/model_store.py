"""How models come to GPU nodes: once into the fleet, then from node to node."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fleet.problems import Problem

if TYPE_CHECKING:
    from fleet.model import Fleet, Node, Service


@dataclass(frozen=True)
class ModelStore:
    """How a GPU node fetches models, and serves them to the others.

    Attributes:
        port: where it serves them to the other GPU nodes, read-only.
        rate: most bytes a second of one node's fetching, as curl spells it (--limit-rate): `100M`; empty for no limit.
        keep_free_gb: so much of the disk stays free (10^9 bytes).
        registry: where models without a host of their own come from; it speaks Ollama's protocol.
        lock: the file that says which digest each declared model has, from the repository's root; the environment's own
            beside its inventory where it is empty.
    """

    port: int
    rate: str
    keep_free_gb: int
    registry: str
    lock: str = ""

    def lock_of(self, environment: str) -> str:
        """The path of an environment's lock."""
        return self.lock or f"inventory/{environment}.models.lock"


@dataclass(frozen=True)
class Download:
    """Where a file of a model comes from.

    Attributes:
        url: its address.
        sha256: the digest of its content, hexadecimal.
    """

    url: str
    sha256: str


def problems(fleet: "Fleet") -> Iterator[Problem]:
    """What of it cannot be meant, with its cure."""
    first = next((node.models for node in fleet.nodes if node.models), None)
    for node in fleet.nodes:
        for what, cure in (*_store(node, first), *(found for one in node.services for found in _downloads(one))):
            yield Problem(node.name, what, cure)


def _store(node: "Node", first: ModelStore | None) -> Iterator[tuple[str, str]]:
    store = node.models
    if store is None:
        if node.is_gpu and first:
            yield "models is missing, and other GPU nodes have it", "Set it for all GPU nodes, or for none."
        return
    if first and (store.port, store.registry, store.lock) != (first.port, first.registry, first.lock):
        yield "models.port, registry or lock differ from the first GPU node's", "Set them for an environment."
    if not re.fullmatch(r"([1-9]\d*[kKMG]?)?", store.rate):
        yield f"models.rate is {store.rate!r}", "Write it like 100M, bytes a second, or nothing for no limit."
    if store.keep_free_gb < 0:
        yield f"models.keep_free_gb is {store.keep_free_gb}", "Write 0 or more."
    if not is_trusted(store.registry) or store.registry.endswith("/"):
        yield f"models.registry is {store.registry!r}", "Write https://, a name, and no slash at the end."
    for service in node.services:
        yield from _place(service)


def _place(service: "Service") -> Iterator[tuple[str, str]]:
    """Models are put where the engine looks for them."""
    wanted = f"%S/{service.name}/models"
    if service.engine == "ollama" and service.environment.get("OLLAMA_MODELS") != wanted:
        yield f"services.{service.name}.environment.OLLAMA_MODELS is not {wanted}", f"Set it to {wanted}."


def _downloads(service: "Service") -> Iterator[tuple[str, str]]:
    where = f"services.{service.name}.downloads"
    if service.downloads and service.engine != "comfyui":
        yield f"{where} is set", "Take it out: Ollama's models come from a registry, by their names in models."
    for path, one in service.downloads.items():
        if not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9._@+-]*/)+[A-Za-z0-9_][A-Za-z0-9._@+-]*", path):
            yield f"{where} has {path!r}", "Write folder and name below models/, such as checkpoints/sdxl.safetensors."
        if not re.fullmatch(r"[0-9a-f]{64}", one.sha256):
            yield f"{where}.{path}.sha256 is {one.sha256!r}", "Write the 64 digits that `sha256sum` prints."
        if not is_trusted(one.url):
            yield f"{where}.{path}.url is {one.url!r}", "Write an https:// address."


def is_trusted(url: str) -> bool:
    """Whether what an address gives may be believed the first time: TLS, or a machine of the fleet's own network."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https":
            return bool(parts.hostname) and not re.search(r"\s", url)
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_private
    except ValueError:
        return False
