"""`ipex-node publish`, on the depot's node: take in what a controller publishes, whole or not at all."""

from __future__ import annotations

import base64
import io
import tarfile
import time
from typing import TYPE_CHECKING, Any

from ipex_node import border, files, signature
from ipex_node.failure import FailedError, failed
from ipex_node.update.offer import SETTINGS
from ipex_node.update.publication import INDEX, parse, parted
from ipex_node.world import progress

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.update.publication import Publication
    from ipex_node.world import World

_KEPT = 2
"""So many publications stay: a node may be at it while the next one comes."""


def take_in(world: World, encoded: bytes) -> dict[str, Any]:
    """Put a publication where nodes find it; its index comes last, so that what it names is there.

    Args:
        world: The depot's node.
        encoded: A tar archive in base64: the index, and the bundles it names.

    Raises:
        FailedError: This node keeps no depot, the signature is not to be believed, a newer publication is there, or
            there is no room.
    """
    place = _place(world)
    found = _unpacked(encoded)
    name = INDEX.rpartition("/")[2]
    content = found.pop(name, b"")
    seal, text = parted(content)
    signature.verify(world.run, text, seal, signature.FLEET, world.paths.on_node(signature.SIGNERS))
    publication = parse(text)
    if publication.serial <= (there := _serial(place / name)):
        raise failed(
            "the depot", f"has publication {there}, and this is {publication.serial}", "set the clock; publish again"
        )
    _complete(publication, found)
    try:
        for path, data in found.items():
            files.make_directory((place / path).parent)
            files.write(place / path, data)
        files.write(place / name, content)
    except OSError as error:
        files.remove_tree(place / str(publication.serial))
        raise failed(str(place), f"cannot be written: {error.strerror}", "make room, and publish again") from error
    _forget(place)
    progress(f"publication {publication.serial}: {len(found)} nodes")
    return {
        "ok": True,
        "failures": [],
        "serial": publication.serial,
        "nodes": sorted(publication.members),
        "at": time.time(),
    }


def _place(world: World) -> Path:
    try:
        directory = border.load(world.paths.on_node(SETTINGS))["directory"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise failed(SETTINGS, f"cannot be read: {error!r}", "deploy first: it makes the depot") from error
    if not directory:
        raise failed(SETTINGS, "this node keeps no depot", "deploy once: the depot has moved")
    return world.paths.on_node(directory) / INDEX.rpartition("/")[0]


def _unpacked(encoded: bytes) -> dict[str, bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(encoded)), mode="r:") as archive:
            found = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
            return {name: file.read() for name, file in found.items() if file}
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise failed("what is to be published", f"is cut off: {error}", "publish again") from error


def _complete(publication: Publication, found: dict[str, bytes]) -> None:
    """Check that the bundles are those that the index names, below its own number."""
    named = {member.file for member in publication.members.values()}
    if named != set(found) or any(file.partition("/")[0] != str(publication.serial) for file in named):
        raise failed("what is to be published", "does not hold what its index names", "publish again")
    if strange := [file for file in named if ".." in file.split("/") or file.count("/") != 1]:
        raise failed(strange[0], "is no place for a bundle", "publish again")


def _serial(path: Path) -> int:
    try:
        return parse(parted(path.read_bytes())[1]).serial
    except FileNotFoundError:
        return 0
    except (FailedError, OSError) as error:
        progress(f"what was published before cannot be read, and counts as none: {error}")
        return 0


def _forget(place: Path) -> None:
    """Remove what no index names any more."""
    kept = sorted((one for one in place.iterdir() if one.name.isdecimal()), key=lambda one: int(one.name))
    for old in kept[:-_KEPT]:
        files.remove_tree(old)
