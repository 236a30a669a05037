"""A generation: everything that should be on one node, named by the digest of its manifest."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Literal

from fleet.secrets import Secret

MANIFEST_FORMAT = 1


@dataclass(frozen=True)
class File:
    """A file on a node.

    Attributes:
        path: where it lands.
        content: its bytes.
        mode: four octal digits.
        owner: a user's name.
        group: a group's name.
        seed: whether it is only the beginning: installed when missing or declared anew, its own program's afterwards.
        secret: whether nobody is shown what it holds; readable to its owner and its group at most.
    """

    path: str
    content: bytes = field(repr=False)
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    seed: bool = False
    secret: bool = False

    def __post_init__(self) -> None:
        """Refuse what would let everybody on a node read a secret."""
        if self.secret and int(self.mode, 8) & 0o007:
            raise ValueError(f"{self.path} is secret and {self.mode}: others could read it")

    def shown(self) -> bytes:
        """What a person or a log may see of it."""
        return b"(a secret file: its content is never shown)\n" if self.secret else self.content


def secret(path: str, value: Secret, group: str = "root") -> File:
    """A file that holds one secret and a line's end, for root and for a group other than root's."""
    content = f"{value.reveal().strip()}\n".encode()
    return File(path, content, mode="0600" if group == "root" else "0640", group=group, secret=True)


@dataclass(frozen=True)
class Unit:
    """A systemd unit that is to be active.

    Attributes:
        name: the unit's name with its type.
        inputs: files and Nix profiles whose change it must be told of.
        on_change: how it is told.
        enabled: whether it starts at boot.
    """

    name: str
    inputs: tuple[str, ...]
    on_change: Literal["restart", "reload"] = "restart"
    enabled: bool = True


@dataclass(frozen=True)
class Part:
    """What one concern adds to a node.

    Attributes:
        packages: Debian packages.
        files: files, whole.
        closures: Nix profile to the pinned flake output it shows.
        units: units that are to be active.
        validators: commands that must pass on the staged files; `{root}` is where those lie.
        probes: proofs of work, as ipex_node's probe reads them.
    """

    packages: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    closures: Mapping[str, str] = field(default_factory=dict)
    units: tuple[Unit, ...] = ()
    validators: tuple[tuple[str, ...], ...] = ()
    probes: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Generation:
    """The sum of a node's parts."""

    node: str
    parts: tuple[Part, ...]

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """Debian packages, sorted."""
        return tuple(sorted({package for part in self.parts for package in part.packages}))

    @cached_property
    def files(self) -> tuple[File, ...]:
        """All files, by path."""
        return tuple(sorted(chain.from_iterable(part.files for part in self.parts), key=lambda file: file.path))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units, in the order of the parts: what others need comes first."""
        return tuple(chain.from_iterable(part.units for part in self.parts))

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the node is told, as plain data."""
        return {
            "format": MANIFEST_FORMAT,
            "node": self.node,
            "files": {file.path: _file_entry(file) for file in self.files},
            "closures": {profile: ref for part in self.parts for profile, ref in part.closures.items()},
            "units": {
                unit.name: {"enabled": unit.enabled, "on_change": unit.on_change, "inputs": list(unit.inputs)}
                for unit in self.units
            },
            "validators": [list(command) for part in self.parts for command in part.validators],
            "probes": [dict(probe) for part in self.parts for probe in part.probes],
        }

    @cached_property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the manifest's SHA-256."""
        return hashlib.sha256(self._canonical).hexdigest()[:16]

    @cached_property
    def _canonical(self) -> bytes:
        return json.dumps(self.manifest, sort_keys=True, separators=(",", ":")).encode()

    def bundle(self) -> bytes:
        """The manifest and the files as one gzipped tar archive, the same bytes for the same generation."""
        buffer = io.BytesIO()
        # Without a time: gzip's header would hold the second of its making.
        with (
            gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            _add(archive, "manifest.json", self._canonical, 0o644)
            for file in self.files:
                _add(archive, f"root{file.path}", file.content, int(file.mode, 8))
        return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))


def _file_entry(file: File) -> dict[str, str | bool]:
    digest = hashlib.sha256(file.content).hexdigest()
    entry = {"sha256": digest, "mode": file.mode, "owner": file.owner, "group": file.group}
    return {**entry, "seed": True} if file.seed else {**entry}
