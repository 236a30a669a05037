"""What there is on a node's disk that cleanup may judge."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ipex_node import store
from ipex_node.cleanup import outputs
from ipex_node.cleanup.nix_store import size
from ipex_node.cleanup.plan import File, Generation, Inventory, ProfileLink
from ipex_node.failure import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ipex_node.cleanup.plan import Model
    from ipex_node.paths import Paths
    from ipex_node.settings import Cleanup, Service, Settings


def take(paths: Paths, node: Settings, doubt: str) -> Inventory:
    """Look at what a transaction needs of the node's disk, and at what it may have left.

    Args:
        paths: The node's places.
        node: Its settings.
        doubt: Why the age of files is not believed; empty where it is.
    """
    return Inventory(
        now=time.time(),
        generations=tuple(_generations(paths)),
        serving=tuple(store.serving(paths)),
        links=tuple(_links(paths)),
        leftovers=tuple(_leftovers(paths)),
        declared={service.name: _declared(service) for service in node.services},
        doubt=doubt,
    )


def _declared(service: Service) -> tuple[str, ...]:
    """Return what data declare for a service: the settings of an earlier deploy name no more than the proving one."""
    return (*service.models, *([service.model] if service.model else []))


def with_engines(there: Inventory, paths: Paths, limits: Cleanup, models: Iterable[Model]) -> Inventory:
    """Look at what the engines have on the disk as well.

    Args:
        there: What else there is.
        paths: The node's places.
        limits: Where engines leave files, and the age at which those may go.
        models: What models the engines have; asked of them by the caller.
    """
    before = there.oldest(limits.outputs_days)
    found = (file for folder in limits.outputs for file in outputs.listed(paths.private, folder, before))
    return replace(there, outputs=tuple(found), models=tuple(models))


def out_links(paths: Paths, generation: str) -> list[str]:
    """Return the links by which a generation keeps its closures in Nix's store."""
    return sorted(map(str, (store.directory(paths, generation) / "closures").glob("*")))


def _generations(paths: Paths) -> Iterator[Generation]:
    for path in sorted(paths.generations.glob("[0-9a-f]*")):
        yield Generation(path.name, size(path), path.stat().st_mtime, _closures(paths, path.name))


def _closures(paths: Paths, generation: str) -> Mapping[str, str] | None:
    """Read what a generation needs; none where its manifest names a profile that its record lacks."""
    try:
        found = {str(paths.on_node(name)): path for name, path in store.closures(paths, generation).items()}
        wanted = {str(paths.on_node(name)) for name in store.manifest(paths, generation).closures}
    except FailedError:
        return None
    return found if wanted <= set(found) else None


def _links(paths: Paths) -> Iterator[ProfileLink]:
    for link in sorted(paths.profiles.glob("*-*-link")):
        name = re.fullmatch(r"(.+)-[0-9]+-link", link.name)
        if name and link.is_symlink():
            profile = link.with_name(name[1])
            shown = profile.is_symlink() and profile.readlink().name == link.name
            yield ProfileLink(str(link), str(profile), os.path.realpath(link), shown)


def _leftovers(paths: Paths) -> Iterator[File]:
    """Find what a stage, or a write, has left that was cut off: names that only those use."""
    found = (
        *paths.state.glob("incoming.*"),
        *paths.state.glob(".*.ipex-new"),
        *paths.generations.glob(".*.new"),
    )
    for path in sorted(found):
        yield File(str(path), size(path), path.lstat().st_mtime)
