"""What a node is asked to fetch, as the controller's plan has it: JSON on standard input."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node import border
from ipex_node.failure import failed

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.paths import Paths

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]*")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+ -]*")
_SOURCE = re.compile(r"https?://[!-~]+")


@dataclass(frozen=True)
class File:
    """One file of a service's models.

    Attributes:
        service: Whose.
        path: Below the service's directory of models.
        digest: `sha256:` and its content's digest.
        bytes: Its length.
        sources: Addresses it may be fetched from, the first first; none where it is only needed.
        again: Where it may be fetched from whenever it is missing later on.
        replace: Whether what is there in its place is known to be wrong, whatever its length.
    """

    service: str
    path: str
    digest: str
    bytes: int
    sources: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    replace: bool = False

    @property
    def key(self) -> str:
        """What it is called where files of several services are."""
        return f"{self.service}/{self.path}"


@dataclass(frozen=True)
class Model:
    """A model, which is there as soon as all of its files are.

    Attributes:
        service: Whose.
        name: As data write it.
        digest: Of its manifest, or of its one file.
        files: The keys of its files.
        place: Where its manifest belongs, below the service's directory; empty for a model without one.
        manifest: The manifest's text, written when all files are there.
        upstream: Where its manifest came from; empty for a model without one.
    """

    service: str
    name: str
    digest: str
    files: tuple[str, ...]
    place: str = ""
    manifest: str = ""
    upstream: str = ""


@dataclass(frozen=True)
class Order:
    """What a node is asked to have.

    Attributes:
        rate: Most bytes a second, in curl's spelling (`--limit-rate`); empty for no limit.
        keep_free_bytes: So much stays free on the disk.
        files: Files that the models need, in the order in which they are fetched.
        models: The models, in the order in which they are to appear.
    """

    rate: str
    keep_free_bytes: int
    files: tuple[File, ...]
    models: tuple[Model, ...]


def directory(paths: Paths, service: str) -> Path:
    """Return where a service's models are: OLLAMA_MODELS, ComfyUI's models/."""
    return paths.private / service / "models"


def parse(text: str) -> Order:
    """Read an order.

    Raises:
        FailedError: It is none, or asks for a place outside the services' own directories.
    """
    try:
        raw = border.parse(text)
        order = Order(
            rate=str(raw["rate"]),
            keep_free_bytes=int(raw["keep_free_bytes"]),
            files=tuple(map(_file, raw["files"])),
            models=tuple(Model(**{**one, "files": tuple(one["files"])}) for one in raw["models"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise failed("the order of models", f"cannot be understood: {error}", "deploy this node first") from error
    for what in _wrong(order):
        raise failed("the order of models", what, "lock the models again")
    return order


def _file(raw: dict[str, Any]) -> File:
    return File(**{**raw, "sources": tuple(raw["sources"]), "again": tuple(raw.get("again", ()))})


def _wrong(order: Order) -> list[str]:
    known = {file.key for file in order.files}
    found = [f"no limit of curl's: {order.rate!r}"] if not re.fullmatch(r"(\d+[kKMG]?)?", order.rate) else []
    found += [f"no file of a service's: {file!r}" for file in order.files if not _is_file(file)]
    for model in order.models:
        if set(model.files) - known:
            found.append(f"{model.name} needs {', '.join(sorted(set(model.files) - known))}, of which it says nothing")
        if bool(model.place) != bool(model.manifest) or (model.place and not _is_place(model.service, model.place)):
            found.append(f"no place for a manifest: {model.place!r}")
        if model.manifest and digest_of(model.manifest) != model.digest:
            found.append(f"the manifest of {model.name} has the digest {digest_of(model.manifest)}, not {model.digest}")
    return found


def digest_of(text: str) -> str:
    """Return a text's digest."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _is_file(file: Any) -> bool:  # noqa: ANN401 - JSON is anything
    return bool(
        _is_place(file.service, file.path)
        and _DIGEST.fullmatch(file.digest)
        and type(file.bytes) is int
        and file.bytes >= 0
        and all(_SOURCE.fullmatch(source) for source in (*file.sources, *file.again))
    )


def _is_place(service: str, path: str) -> bool:
    return bool(_SERVICE.fullmatch(service) and all(_SEGMENT.fullmatch(name) for name in path.split("/")))
