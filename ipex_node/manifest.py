"""A generation's manifest: everything that should be on one node."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
ENGINES = ("ollama", "comfyui", "http")


@dataclass(frozen=True)
class File:
    """One file as it should lie on the node.

    Attributes:
        sha256: Digest of the content, hexadecimal.
        mode: Permission bits.
        owner: Name of the user.
        group: Name of the group.
        seed: Only the beginning: another program owns the file once it is there.
    """

    sha256: str
    mode: int
    owner: str
    group: str
    seed: bool = False


@dataclass(frozen=True)
class Unit:
    """One unit that should be active.

    Attributes:
        enabled: Whether it should start with the machine.
        on_change: `restart` or `reload`: what makes it read a changed input.
        inputs: Files and profiles it reads.
    """

    enabled: bool
    on_change: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """How a unit proves that it does its work.

    Attributes:
        engine: `ollama`, `comfyui` or `http`: what is asked of it.
        unit: The unit that answers.
        url: Scheme, address and port.
        path: Path that answers 200 when the API is up.
        model: Model that must generate; none where the engine needs none.
        deadline_seconds: Time it has to become healthy.
    """

    engine: str
    unit: str
    url: str
    path: str
    model: str | None
    deadline_seconds: float


@dataclass(frozen=True)
class Manifest:
    """A generation: files, closures, units, validators and probes, named by their digest.

    Attributes:
        id: The generation's name; empty for the node that has none yet.
        node: Name of the node it was made for.
        files: Absolute path to file.
        closures: Profile path to flake reference.
        units: Unit name to unit.
        validators: Commands that must accept the staged files; `{root}` stands for their root.
        probes: Proofs of work.
    """

    id: str = ""
    node: str = ""
    files: Mapping[str, File] = field(default_factory=dict)
    closures: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    validators: tuple[tuple[str, ...], ...] = ()
    probes: tuple[Probe, ...] = ()


def digest(manifest: Mapping[str, Any]) -> str:
    """Return the generation's name: the first 16 hex digits of the canonical JSON's SHA-256."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def parse(text: str | bytes, where: str) -> Manifest:
    """Return the manifest a text holds.

    Args:
        text: The JSON text.
        where: Named in an error.

    Raises:
        FailedError: The text is not a manifest this program understands.
    """
    try:
        raw = json.loads(text)
        return _manifest(raw)
    except KeyError as missing:
        raise failed(where, f"key {missing} is missing", "stage the generation again") from missing
    except (ValueError, TypeError, AttributeError) as error:
        raise failed(where, f"is no manifest of format {FORMAT}: {error}", "deploy again") from error


def _manifest(raw: dict[str, Any]) -> Manifest:
    if raw["format"] != FORMAT:
        message = f"format is {raw['format']!r}"
        raise ValueError(message)
    return Manifest(
        id=digest(raw),
        node=str(raw["node"]),
        files={_absolute(path): _file(entry) for path, entry in raw["files"].items()},
        closures={_absolute(path): str(reference) for path, reference in raw["closures"].items()},
        units={name: _unit(entry) for name, entry in raw["units"].items()},
        validators=tuple(tuple(map(str, command)) for command in raw["validators"]),
        probes=tuple(_probe(entry) for entry in raw["probes"]),
    )


def _absolute(path: str) -> str:
    """Refuse what could leave the staged root: the manifest decides what root writes."""
    parts = path.split("/")
    if parts[0] != "" or any(part in {"", ".", ".."} for part in parts[1:]):
        message = f"{path!r} is no plain absolute path"
        raise ValueError(message)
    return path


def _file(entry: dict[str, Any]) -> File:
    return File(entry["sha256"], int(entry["mode"], 8), entry["owner"], entry["group"], bool(entry.get("seed")))


def _unit(entry: dict[str, Any]) -> Unit:
    if entry["on_change"] not in {"restart", "reload"}:
        message = f"on_change is {entry['on_change']!r}, not restart or reload"
        raise ValueError(message)
    return Unit(bool(entry["enabled"]), entry["on_change"], tuple(entry["inputs"]))


def _probe(entry: dict[str, Any]) -> Probe:
    if entry["engine"] not in ENGINES:
        message = f"engine is {entry['engine']!r}, not one of {', '.join(ENGINES)}"
        raise ValueError(message)
    return Probe(
        engine=entry["engine"],
        unit=entry["unit"],
        url=entry["url"].rstrip("/"),
        path=entry["path"],
        model=entry.get("model"),
        deadline_seconds=float(entry["deadline_seconds"]),
    )
