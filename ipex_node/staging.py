"""`ipex-node stage`: bring a generation to the node; no service is touched."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node import files, store
from ipex_node.depot import settings
from ipex_node.depot.take import take
from ipex_node.drift import file_difference
from ipex_node.failure import FailedError, Failure
from ipex_node.manifest import Manifest, parse
from ipex_node.nix import Nix
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.manifest import File
    from ipex_node.world import World


def stage(world: World, bundle: Path) -> dict[str, Any]:
    """Take in a bundle: check every file, keep it under its digest, realise its closures.

    Doing it twice changes nothing; a damaged earlier stage is mended.

    Raises:
        FailedError: The bundle is not what its manifest says, or a closure cannot be realised.
    """
    with store.locked(world.paths, "stage"):
        text = _read(bundle / "manifest.json")
        manifest = parse(text, str(bundle / "manifest.json"))
        contents = _contents(bundle / "root", manifest)
        changed = _keep(world, manifest, text, contents)
        realised = _realise(world, manifest)
        # The newest stage is the last to be cleaned up, also where nothing of it was new.
        os.utime(store.directory(world.paths, manifest.id))
    return {
        "ok": True,
        "failures": [],
        "generation": manifest.id,
        "changed": changed or bool(realised),
        "realised": realised,
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FailedError(Failure(str(path), f"cannot be read: {error.strerror}", "deploy again")) from error


def _contents(root: Path, manifest: Manifest) -> dict[str, bytes]:
    """Read what will be kept; the digest is taken of these very bytes."""
    contents: dict[str, bytes] = {}
    failures = []
    for path, entry in manifest.files.items():
        source = root / path.lstrip("/")
        if source.is_symlink() or not source.is_file():
            failures.append(Failure(path, "is in the manifest, but not in the bundle", "deploy again"))
            continue
        contents[path] = source.read_bytes()
        if hashlib.sha256(contents[path]).hexdigest() != entry.sha256:
            failures.append(Failure(path, "is damaged: its digest is not the manifest's", "deploy again"))
    failures += [
        Failure(path, "is in the bundle, but not in the manifest", "deploy again")
        for path in sorted(_files_below(root) - set(manifest.files))
    ]
    if failures:
        raise FailedError(*failures)
    return contents


def _files_below(root: Path) -> set[str]:
    """Name everything that is no directory, as absolute paths on the node."""
    return {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def _keep(world: World, manifest: Manifest, text: bytes, contents: dict[str, bytes]) -> bool:
    """Write the generation; a new one appears whole, by rename, an old one is mended file by file."""
    # Secrets are among the files, and digests of secrets in the manifest.
    files.make_private_directory(world.paths.generations)
    final = store.directory(world.paths, manifest.id)
    if final.exists():
        return _fill(final, manifest, text, contents)
    fresh = final.with_name(f".{manifest.id}.new")
    files.remove_tree(fresh)
    files.make_directory(fresh / "root")
    _fill(fresh, manifest, text, contents)
    fresh.rename(final)
    files.sync_directory(final.parent)
    return True


def _fill(target: Path, manifest: Manifest, text: bytes, contents: dict[str, bytes]) -> bool:
    """Write what is not there as it should be, and remove what should not be there."""
    changed = False
    root = target / "root"
    for path, entry in manifest.files.items():
        if staged_difference(root, path, entry):
            files.write(root / path.lstrip("/"), contents[path], entry.mode, _owner(entry))
            changed = True
    for extra in _files_below(root) - set(manifest.files):
        (root / extra.lstrip("/")).unlink()
        changed = True
    if not (target / "manifest.json").exists() or (target / "manifest.json").read_bytes() != text:
        files.write(target / "manifest.json", text)
        changed = True
    return changed


def _owner(entry: File) -> tuple[int, int] | None:
    """Name the owner; root's own until activation has made a user that comes with the generation."""
    try:
        return files.owner_ids(entry.owner, entry.group)
    except LookupError:
        return None


def staged_difference(root: Path, path: str, entry: File) -> str:
    """Say how a staged file differs from its entry, apart from an owner the node does not know yet."""
    why = file_difference(root / path.lstrip("/"), entry)
    return "" if why.startswith("owner ") and _owner(entry) is None else why


def verify(world: World, manifest: Manifest) -> None:
    """Check that a staged generation is still what its manifest says.

    Raises:
        FailedError: Some files are not; it must be staged again.
    """
    root = store.directory(world.paths, manifest.id) / "root"
    differences = ((path, staged_difference(root, path, entry)) for path, entry in manifest.files.items())
    failures = [Failure(f"staged {path}", f"is damaged: {why}", "deploy again") for path, why in differences if why]
    if failures:
        raise FailedError(*failures)


def _closure(world: World, reference: str, out_link: Path, root: Path) -> str:
    """Take a closure from the depot, or build or fetch it here where the fleet has none.

    The generation's own settings are not installed yet, and already say where from and whom to believe.
    """
    depot = settings.load(root / settings.PATH.lstrip("/"))
    if depot:
        held = _held(world, reference)
        if held and Nix(world.run).root(held, out_link):
            return held
        return take(world, depot, reference, out_link, root)
    return Nix(world.run).realise(reference, out_link, root / "etc/nix/nix.conf")


def _held(world: World, reference: str) -> str | None:
    """The store path of a closure that the current generation has, too: a change of settings alone needs no depot."""
    current, paths = store.readable(world.paths, store.linked(world.paths.current))
    known = (paths[profile] for profile, other in current.closures.items() if other == reference and profile in paths)
    return next((path for path in known if Path(path).exists()), None)


def _realise(world: World, manifest: Manifest) -> dict[str, str]:
    """Bring the closures into the store, rooted in the generation, and record them: the stage is complete."""
    target = store.directory(world.paths, manifest.id)
    realised: dict[str, str] = {}
    found: dict[str, str] = {}
    failures: list[Failure] = []
    for profile, reference in manifest.closures.items():
        out_link = target / "closures" / profile.rpartition("/")[2]
        try:
            if not out_link.exists():
                progress(f"realise {reference}")
                files.make_directory(out_link.parent)
                realised[profile] = _closure(world, reference, out_link, target / "root")
            found[profile] = os.path.realpath(out_link)
        except FailedError as error:
            failures += error.failures
            break  # the others come from the same flake, and may take hours to say the same
    if failures:
        raise FailedError(*failures)
    text = json.dumps(found, sort_keys=True).encode()
    record = target / "closures.json"
    if not record.exists() or record.read_bytes() != text:
        files.write(record, text)
    return realised
