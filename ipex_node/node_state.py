"""`ipex-node status --leave`: the node's own state as numbers, left for the agent.

What the agent may read itself (the generation, the wish to be out of rotation) it says itself, at the moment it is
asked. The rest needs root: files that only their owner reads, and systemd's word on every unit.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from ipex_node import backup, samples, store
from ipex_node.failure import FailedError
from ipex_node.samples import Sample
from ipex_node.status import status
from ipex_node.update import memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ipex_node.paths import Paths
    from ipex_node.world import World

_DRIFT = ("file", "unit", "closure", "generation")
"""What can drift (drift.py)."""
_PROGRAM = "/usr/local/bin/ipex-node"
_HASH = re.compile(r"narHash=sha256-([^#&]{12})")


def leave(world: World) -> dict[str, Any]:
    """Leave the node's state for the agent.

    It seals nothing and takes no lock. While services change, what differs is on its way and no drift: the last
    word stays until the next time.
    """
    if not world.paths.activating.exists():
        samples.write(world.paths.samples("status"), _samples(world.paths, status(world)))
    return {"ok": True, "failures": []}


def _samples(paths: Paths, now: Mapping[str, Any]) -> Iterator[Sample]:
    drifted = Counter(one["what"] for one in now["drift"])
    for what in _DRIFT:
        yield Sample("ipex_node_drift", {"what": what}, drifted[what])
    yield Sample("ipex_node_quarantined_generations", {}, len(now["quarantined"]))
    yield Sample("ipex_node_reboot_reasons", {}, len(now["reboot_reasons"]))
    yield Sample("ipex_node_staged_generations", {}, len(now["staged"]))
    if now["generation"]:
        # The link is made anew by every commit of another generation, and by nothing else.
        yield Sample("ipex_node_last_update_timestamp_seconds", {}, paths.current.lstat().st_mtime)
        yield from _release(paths, now["generation"])
    yield from backup.samples(paths)
    yield from memory.samples(paths)


def _release(paths: Paths, generation: str) -> Iterator[Sample]:
    """Yield what nodes of one release share, though each generation has a name of its own."""
    try:
        manifest = store.manifest(paths, generation)
    except FailedError:
        return  # damaged, which is drift and told as that
    program = manifest.files[_PROGRAM].sha256[:12] if _PROGRAM in manifest.files else ""
    pins = {found[1] for found in map(_HASH.search, manifest.closures.values()) if found}
    yield Sample("ipex_node_release_info", {"program": program, "flake": "+".join(sorted(pins))}, 1)
