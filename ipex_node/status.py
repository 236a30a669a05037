"""`ipex-node status`: what the node has, and where it differs from what it should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipex_node import backup, drift, firewall, marker, quarantine, settings, store
from ipex_node.drift import Drift
from ipex_node.failure import FailedError
from ipex_node.health import verdict
from ipex_node.manifest import Manifest
from ipex_node.optimizer import baseline
from ipex_node.patching import needs
from ipex_node.systemd import Systemd
from ipex_node.update import memory

if TYPE_CHECKING:
    from ipex_node.world import World


def _current(world: World, current: str | None) -> tuple[Manifest, dict[str, str], list[Drift]]:
    """Read the current generation; that it is damaged is an answer, too."""
    try:
        return store.manifest(world.paths, current), store.closures(world.paths, current), []
    except FailedError as error:
        return Manifest(), {}, [Drift("generation", current or "", str(error))]


def status(world: World) -> dict[str, Any]:
    """Return the node's answer to the one question a deploy asks it.

    `ok` says that the question could be answered; differences are data, in `drift`.
    """
    paths = world.paths
    # Somebody's edit of the settings is drift to be mended and must not hide the rest.
    node = settings.load_leniently(paths.settings)
    current = store.linked(paths.current)
    manifest, closures, damage = _current(world, current)
    differences = [
        *damage,
        *drift.of_files(paths, manifest),
        *drift.of_closures(paths, closures),
        *firewall.drift(world, manifest),
        *drift.of_units(manifest, Systemd(world.run).states(manifest.units)),
    ]
    held = verdict.read(paths.verdict)
    return {
        "ok": True,
        "failures": [],
        "node": node.node,
        "environment": node.environment,
        "revision": node.revision,
        "generation": current,
        "previous": store.linked(paths.previous),
        "staged": store.staged(paths),
        "quarantined": quarantine.load(paths),
        "rotation": marker.rotation(paths),
        "condemned": held.out([service.name for service in node.services], ()),
        "firewall": firewall.state(paths),
        "reboot_needed": held.node is not None,
        "reboot_reasons": needs.reboot_reasons(paths),
        "verified": paths.verified.read_text() if paths.verified.exists() else None,
        **baseline.verdict(paths, node),
        "update": memory.summary(paths),
        "last_backup": backup.summary(paths),
        "closures": closures,
        "held": sorted({path for one in store.staged(paths) for path in store.closures(paths, one).values()}),
        "units": sorted(manifest.units),
        "drift": [difference.as_json() for difference in differences],
    }
