"""Ollama's manifests: which models a store has, and of which blobs each consists.

Source: ollama/ollama, manifest/manifest.go and server/layer.go: a manifest is JSON with `config` and `layers`, each
with `digest` and `size`; a layer that `ollama create` took from another model says so in `from`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node import border
from ipex_node.cleanup.model_name import full_name
from ipex_node.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from ipex_node.backups.settings import Kept

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_CURE = "let Ollama pull or create the model again, or remove it"


@dataclass(frozen=True)
class Model:
    """A model of a store.

    Attributes:
        name: As a person writes it.
        path: Its manifest, below the directory of manifests.
        blobs: Name of each blob's file to its bytes.
        derived: Whether Ollama has made it here of another one.
    """

    name: str
    path: str
    blobs: dict[str, int]
    derived: bool


def listed(manifests: Path) -> tuple[list[Model], list[Failure]]:
    """Return all models below a directory of manifests that nobody else writes to, and what cannot be read there."""
    models: list[Model] = []
    failures: list[Failure] = []
    for path in sorted(path for path in manifests.rglob("*") if not path.is_dir() or path.is_symlink()):
        name = str(path.relative_to(manifests))
        try:
            models.append(_model(name, border.load(path)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            failures.append(Failure(f"manifest {border.words(name)}", f"cannot be read: {error}", _CURE))
    return models, failures


def irreplaceable(models: Collection[Model], kept: Kept) -> list[Model]:
    """Return the models that cannot be downloaded again.

    Those that data name, those that Ollama made of others here, and all that nobody has declared: of them nothing is
    known.
    """
    created = set(map(full_name, kept.created))
    declared = set(map(full_name, kept.declared)) - created
    return [one for one in models if one.derived or full_name(one.name) not in declared]


def _model(path: str, said: dict[str, object]) -> Model:
    config, layers = said.get("config"), said.get("layers") or []
    parts = [*(layers if isinstance(layers, list) else ()), *([config] if isinstance(config, dict) else [])]
    blobs = dict(_blobs(parts))
    return Model(_name(path), path, blobs, any(bool(part.get("from")) for part in parts))


def _blobs(parts: list[dict[str, object]]) -> Iterator[tuple[str, int]]:
    for part in parts:
        digest = str(part.get("digest") or "")
        if not digest:
            continue
        found = _DIGEST.fullmatch(digest)
        if found is None:
            raise ValueError(f"{border.words(digest)} is no digest")
        yield f"sha256-{found[1]}", int(str(part.get("size") or 0))


def _name(path: str) -> str:
    """Return the name of a model by its manifest: HOST/NAMESPACE/MODEL/TAG, without what Ollama completes."""
    place, slash, tag = path.rpartition("/")
    name = f"{place}:{tag}" if slash else tag
    return name.removeprefix("registry.ollama.ai/").removeprefix("library/")
