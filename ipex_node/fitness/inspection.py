"""What the doctor sees of the machine it runs on: the same as the deploy's question (facts/node_state.py), and more.

What is not there, or cannot be read, is left out: see machine.py.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
from typing import TYPE_CHECKING

from ipex_node import store
from ipex_node.failure import FailedError
from ipex_node.fitness.machine import Access, Card, Machine, RenderNode
from ipex_node.gpu import cards, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ipex_node.fitness.needs import Needs
    from ipex_node.paths import Paths
    from ipex_node.settings import Settings
    from ipex_node.world import World

_UNIT_PROPERTIES = "LoadState,User,DynamicUser,Group,SupplementaryGroups,PrivateDevices,DevicePolicy,DeviceAllow"


def inspect(world: World, settings: Settings, needs: Needs) -> Machine:
    """Look at this machine.

    Args:
        world: The node.
        settings: Where its sysfs and procfs are.
        needs: Which units' access and which directory of render nodes are of interest.
    """
    paths = world.paths
    return Machine(
        distribution=distribution(paths),
        kernel=_text(settings.procfs / "sys/kernel/osrelease"),
        memory_bytes=memory_bytes(settings.procfs),
        cards=tuple(_cards(settings.sysfs)),
        render_nodes={node.path.rpartition("/")[2]: node for node in _render_nodes(paths, needs.render_nodes)},
        firmware=_firmware(paths.on_node("/lib/firmware")),
        free_bytes={"/var/lib": _free(paths.on_node("/var/lib")), "/nix": _free(paths.on_node("/nix"))},
        cgroup=_cgroup(paths),
        clock=clock(world),
        vram_bytes=dict(_vram(settings.sysfs, paths.render_nodes)),
        closure_bytes=_closure_bytes(world),
        access=dict(_accesses(world, [service.unit for service in needs.services if service.unit])),
    )


def distribution(paths: Paths) -> str:
    """Return `ID:VERSION_ID` of /etc/os-release (os-release(5): lines a shell could read)."""
    said: dict[str, str] = {}
    for line in _text(paths.on_node("/etc/os-release")).splitlines():
        key, _, value = line.partition("=")
        said[key] = "".join(shlex.split(value)) if value.count('"') % 2 == value.count("'") % 2 == 0 else value
    return f"{said.get('ID', '')}:{said.get('VERSION_ID', '')}" if said else ""


def memory_bytes(procfs: Path) -> int:
    """Return the kernel's MemTotal; 0 where it is not said."""
    found = re.search(r"^MemTotal:\s+(\d+) kB$", _text(procfs / "meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def access_of(properties: str) -> Access | None:
    """Read what a unit's processes may open from `systemctl show`; None where systemd does not know the unit.

    Source: systemd.exec(5), User= to PrivateDevices=; systemd.resource-control(5), DevicePolicy= and DeviceAllow=.
    """
    said: dict[str, list[str]] = {}
    for line in properties.splitlines():
        key, _, value = line.partition("=")
        said.setdefault(key, []).append(value)

    def last(key: str) -> str:
        return said.get(key, [""])[-1]

    if last("LoadState") != "loaded":
        return None
    allowed = [rule.split() for rule in said.get("DeviceAllow", []) if rule]
    listed = any(_is_render_rule(name) and {"r", "w"} <= set("".join(rights) or "rwm") for name, *rights in allowed)
    open_to_all = last("DevicePolicy") in {"", "auto"} and not allowed
    return Access(
        user="" if last("DynamicUser") == "yes" else last("User") or "root",
        groups=tuple(dict.fromkeys([*last("Group").split(), *last("SupplementaryGroups").split()])),
        devices=last("PrivateDevices") != "yes" and (listed or open_to_all),
    )


def _is_render_rule(name: str) -> bool:
    return name in {"char-drm", "char-*"} or name.startswith("/dev/dri")


def _cards(sysfs: Path) -> Iterator[Card]:
    for device in _children(sysfs / "bus/pci/devices"):
        if not _text(device / "class").startswith("0x03") or _text(device / "vendor") != "0x8086":
            continue
        driver = os.path.realpath(device / "driver").rpartition("/")[2] if (device / "driver").exists() else ""
        renders = [node.name for node in _children(device / "drm") if node.name.startswith("renderD")]
        yield Card(
            device.name, f"8086:{_text(device / 'device').removeprefix('0x')}", driver, renders[-1] if renders else ""
        )


def _render_nodes(paths: Paths, directory: str) -> Iterator[RenderNode]:
    for node in _children(paths.on_node(directory)) if directory else ():
        if node.name.startswith("renderD"):
            seen = node.stat()
            owner = _name(lambda number: pwd.getpwuid(number).pw_name, seen.st_uid)
            group = _name(lambda number: grp.getgrgid(number).gr_name, seen.st_gid)
            yield RenderNode(f"{directory}/{node.name}", seen.st_mode & 0o7777, owner, group)


def _name(name_of: Callable[[int], str], number: int) -> str:
    try:
        return name_of(number)
    except KeyError:
        return str(number)


def _vram(sysfs: Path, render_nodes: Path) -> Iterator[tuple[str, int]]:
    for card in cards.listed(sysfs):
        try:
            total = sum(region.total for region in memory.regions(card, render_nodes))
        except OSError:  # the driver says it to those only who may open the render node
            continue
        if total:
            yield card.pci_slot, total


def _firmware(directory: Path) -> frozenset[str] | None:
    if not directory.is_dir():
        return None
    found = (path for driver in ("i915", "xe") for path in _children(directory / driver) if "guc" in path.name)
    names = (str(path.relative_to(directory)) for path in found)
    return frozenset(name.removesuffix(".zst").removesuffix(".xz") for name in names)


def _free(path: Path) -> int:
    """Return what an unprivileged user may still write where a path is, or will be."""
    there = next((place for place in (path, *path.parents) if place.exists()), path)
    seen = os.statvfs(there)
    return seen.f_bavail * seen.f_frsize


def _cgroup(paths: Paths) -> str:
    """Name the control groups' layout by what systemd mounts (systemd's docs/CGROUP_DELEGATION.md)."""
    signs = {"cgroup.controllers": "unified", "unified": "hybrid", "memory": "legacy"}
    tree = paths.on_node("/sys/fs/cgroup")
    return next((name for sign, name in signs.items() if (tree / sign).exists()), "")


def clock(world: World) -> str:
    """Say what keeps the clock; timedated knows of chrony and ntpd, too, but is only asked where no file tells."""
    if world.paths.on_node("/run/systemd/container").exists():
        return "container"
    if world.paths.on_node("/run/systemd/timesync/synchronized").exists():
        return "synchronized"
    said = world.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).stdout.strip()
    return {"yes": "synchronized", "no": "adrift"}.get(said, "")


def _closure_bytes(world: World) -> int:
    """Return what the current closures take together; what they share counts once for each."""
    try:
        closures = store.closures(world.paths, store.linked(world.paths.current))
    except FailedError:
        return 0
    if not closures:
        return 0
    features = ("--extra-experimental-features", "nix-command")
    said = world.run(["nix", *features, "path-info", "--closure-size", *closures.values()]).stdout
    return sum(int(size) for line in said.splitlines() if (size := line.split()[-1] if line else "").isdigit())


def _accesses(world: World, units: Iterable[str]) -> Iterator[tuple[str, Access]]:
    for unit in units:
        done = world.run(["systemctl", "show", "--property", _UNIT_PROPERTIES, "--", unit])
        access = access_of(done.stdout)
        if access:
            yield unit, access


def _children(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
