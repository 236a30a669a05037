"""A depot's node and what takes from it, in one directory: real signatures, no network."""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fleet import depot, secrets_file
from fleet.depot import FLEET_KEY
from fleet.secrets import Secret
from ipex_node import signature
from ipex_node.paths import Paths
from ipex_node.update import offer, shelf
from ipex_node.update.publication import FORMAT, Member, Publication, sealed
from ipex_node.world import World, run
from operations.signing import signed

NOW = 1_800_000_000.0
DAY = 86400.0


def member(name: str, serial: int, bundle: bytes, **more: Any) -> Member:
    """One node's part of a publication."""
    known: dict[str, Any] = {
        "generation": "0" * 16,
        "file": f"{serial}/{name}.age",
        "sha256": hashlib.sha256(bundle).hexdigest(),
    }
    known |= {"packages": (), "address": "127.0.0.1", "agent_port": 1, "role": "gpu_nodes"}
    return Member(**{**known, **more})


class Shop:
    """The node, the controller's key, and what is published.

    Attributes:
        world: the depot's node, which takes from itself.
        place: where publications lie.
    """

    def __init__(self, root: Path) -> None:
        self.world = World(Paths(root), run)
        self.key = Secret(FLEET_KEY, secrets_file.new_signing_key())
        self.place = root / "depot" / "generations"
        signers = self.world.paths.on_node(signature.SIGNERS)
        signers.parent.mkdir(parents=True)
        signers.write_text(f'{signature.FLEET} namespaces="{signature.FLEET}" {depot.ssh_public(self.key)}\n')
        told = {"source": (root / "depot").as_uri(), "directory": "/depot"}
        self.world.paths.on_node(offer.SETTINGS).write_text(json.dumps(told))

    def publication(self, serial: int, bundles: Mapping[str, bytes], **changed: Any) -> Publication:
        """One that is good, but for what is changed."""
        members = {name: member(name, serial, content) for name, content in bundles.items()}
        return replace(Publication("lab", serial, NOW, NOW + DAY, 1, 0, members), **changed)

    def index(self, publication: Publication, key: Secret | None = None) -> bytes:
        """Its sealed index."""
        text = json.dumps({"format": FORMAT, **asdict(publication)}).encode()
        return sealed(signed(text, key or self.key, signature.FLEET), text)

    def publish(self, serial: int, bundles: Mapping[str, bytes], **changed: Any) -> dict[str, Any]:
        """Hand a publication to the depot's node as a controller does."""
        found = self.publication(serial, bundles, **changed)
        files = {one.file: bundles[name] for name, one in found.members.items()}
        return shelf.take_in(self.world, archive({"index": self.index(found), **files}))

    def there(self) -> dict[str, bytes]:
        """All that lies in the depot."""
        return {
            str(path.relative_to(self.place)): path.read_bytes() for path in self.place.rglob("*") if path.is_file()
        }


def archive(files: Mapping[str, bytes]) -> bytes:
    """What `ipex-node publish` reads."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as found:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            found.addfile(entry, io.BytesIO(content))
    return base64.encodebytes(buffer.getvalue())
