"""The lock of an environment's models: each declared model with its digest, its files and where they come from.

JSON, kept in the repository and changed by `tasks/models.py` alone. Sources of the form of manifests: the Docker
image manifest, version 2, schema 2, which Ollama's registry speaks (ollama/ollama, server/images.go and
manifest/manifest.go), and Ollama's own places: blobs/sha256-DIGEST, manifests/HOST/NAMESPACE/MODEL/TAG.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fleet.model_store import Download
from ipex_node.cleanup.model_name import HOST, full_name, parts

VERSION = 1
Key = tuple[str, str]
"""Service and model, as data write it."""


@dataclass(frozen=True)
class LockedFile:
    """One file of a model.

    Attributes:
        path: below the service's directory of models.
        digest: `sha256:` and its digest.
        bytes: its length.
        url: where the fleet gets it, once.
    """

    path: str
    digest: str
    bytes: int
    url: str


@dataclass(frozen=True)
class LockedModel:
    """One model.

    Attributes:
        digest: of its manifest; of its file where it has none.
        source: where the manifest came from, or the file.
        files: its files.
        place: where its manifest belongs; empty without one.
        manifest: the manifest's text, byte for byte.
    """

    digest: str
    source: str
    files: tuple[LockedFile, ...]
    place: str = ""
    manifest: str = ""

    @property
    def bytes(self) -> int:
        """What it takes on a disk."""
        return sum(file.bytes for file in self.files)


Lock = dict[Key, LockedModel]


def manifest_url(name: str, registry: str) -> str:
    """Where a model's manifest is: its own host's, or the registry of those that name none."""
    host, namespace, model, tag = parts(name)
    return f"{_registry(host, registry)}/v2/{namespace}/{model}/manifests/{tag}"


def _registry(host: str, registry: str) -> str:
    return registry if host == HOST else f"https://{host}"


def from_manifest(name: str, registry: str, content: bytes) -> LockedModel:
    """Make of a manifest what is locked.

    Raises:
        ValueError: it is none.
    """
    host, namespace, model, _ = parts(name)
    base = f"{_registry(host, registry)}/v2/{namespace}/{model}/blobs"
    try:
        text = content.decode()
        raw = json.loads(text)
        layers = [raw["config"], *raw["layers"]]
        files = {str(one["digest"]): int(one["size"]) for one in layers}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no manifest: {error!r}") from error
    if odd := [digest for digest in files if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)]:
        raise ValueError(f"no manifest: {odd[0]!r} is no digest")
    return LockedModel(
        digest=_digest(content),
        source=manifest_url(name, registry),
        files=tuple(
            LockedFile(f"blobs/{digest.replace(':', '-')}", digest, size, f"{base}/{digest}")
            for digest, size in files.items()
        ),
        place=place(name),
        manifest=text,
    )


def from_download(path: str, download: Download, size: int) -> LockedModel:
    """Make of a declared file what is locked."""
    digest = f"sha256:{download.sha256}"
    return LockedModel(digest, download.url, (LockedFile(path, digest, size, download.url),))


def place(name: str) -> str:
    """Where Ollama keeps a model's manifest."""
    return "/".join(("manifests", *parts(name)))


def name_at(path: str) -> str:
    """The full name of the model whose manifest is there; empty where none belongs there."""
    found = re.fullmatch(r"manifests/(.+)/([^/]+)/([^/]+)/([^/]+)", path)
    return full_name(f"{found[1]}/{found[2]}/{found[3]}:{found[4]}") if found else ""


def dump(lock: Mapping[Key, LockedModel]) -> str:
    """The file's text; the same for the same lock."""
    services: dict[str, dict[str, object]] = {}
    for (service, name), model in sorted(lock.items()):
        services.setdefault(service, {})[name] = asdict(model)
    return json.dumps({"version": VERSION, "models": services}, indent=2) + "\n"


def parse(text: str) -> Lock:
    """Read the file.

    Raises:
        ValueError: it is none, or was changed by hand.
    """
    try:
        raw = json.loads(text)
        if raw["version"] != VERSION:
            raise ValueError(f"its version is {raw['version']!r}, not {VERSION}")
        lock = {
            (service, name): LockedModel(**{**one, "files": tuple(LockedFile(**file) for file in one["files"])})
            for service, models in raw["models"].items()
            for name, one in models.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no lock of models: {error!r}") from error
    for (service, name), model in lock.items():
        if model.manifest and _digest(model.manifest.encode()) != model.digest:
            raise ValueError(f"the manifest of {service}/{name} is not what its digest says")
    return lock


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Change:
    """What locking again would change of one model.

    Attributes:
        key: service and model.
        before: its digest in the lock; empty for a new model.
        after: its digest now; empty for one that nobody declares any more.
    """

    key: Key
    before: str
    after: str

    @property
    def is_silent(self) -> bool:
        """Whether a model would become another one under the same name."""
        return bool(self.before and self.after)


def changes(before: Mapping[Key, LockedModel], after: Mapping[Key, LockedModel]) -> list[Change]:
    """What differs between two locks, by model."""
    keys = sorted({*before, *after})
    found = (Change(key, _digest_in(before, key), _digest_in(after, key)) for key in keys)
    return [change for change in found if change.before != change.after]


def _digest_in(lock: Mapping[Key, LockedModel], key: Key) -> str:
    return lock[key].digest if key in lock else ""
