"""Processes that use a GPU, as the kernel accounts for them in /proc/PID/fdinfo; hardware.py says on which machine.

Keys, order and units are those of Linux' Documentation/gpu/drm-usage-stats.rst and of the two drivers'
i915_drm_client.c and xe_drm_client.c. The directory `fd` is left out: it is closed to whoever has no more than
CAP_SYS_PTRACE.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MIB = 1024 * 1024
XE_CLOCK_HERTZ = 19_200_000
"""The clock by which xe counts (xe_gt_clock.c); it differs between chips."""

_OPEN_FILE = "pos:\t0\nflags:\t{flags}\nmnt_id:\t{mount}\nino:\t{inode}"
_RENDER_NODE = _OPEN_FILE.format(flags="02100002", mount=27, inode=684)
OTHER_FILE = _OPEN_FILE.format(flags="0100002", mount=15, inode=9)
EVENTS = _OPEN_FILE.format(flags="02", mount=16, inode=1062) + "\ntfd:       18 events:       19 data:       12"


@dataclass(frozen=True)
class Use:
    """What one process does with a GPU.

    Attributes:
        pid: Its number.
        command: Its comm.
        client: The kernel's number of its open render node.
        shares: Engine class, in i915's words, to the share of time it keeps it busy.
        own_mib: What it holds of the card's own memory; of the machine's, where the GPU has none.
        shared_mib: How much of that others hold, too.
    """

    pid: int
    command: str
    client: int
    shares: dict[str, float]
    own_mib: int
    shared_mib: int = 0


LLAMA = Use(1201, "llama-server", 12, {"render": 0.05, "compute": 0.6}, own_mib=4861, shared_mib=64)
COMFYUI = Use(1313, "python3", 17, {"compute": 0.25, "copy": 0.1, "video": 0.02}, own_mib=2310, shared_mib=64)
USES = (LLAMA, COMFYUI)

# The xe driver's names of engine classes (xe_hw_engine.c), which are also those of single engines in sysfs.
_NAMES = {"render": "rcs", "copy": "bcs", "video": "vcs", "video-enhance": "vecs", "compute": "ccs"}

# How many engines of each class a chip shows.
ALCHEMIST = {"render": 1, "copy": 1, "video": 2, "video-enhance": 2, "compute": 1}
METEOR_LAKE = {**ALCHEMIST, "video-enhance": 1}
GEN9 = {"render": 1, "copy": 1, "video": 1, "video-enhance": 1}


def i915_engines(engines: Mapping[str, int]) -> Iterator[str]:
    """Return the names of the engines' directories in sysfs."""
    for engine, number in engines.items():
        yield from (f"{_NAMES[engine]}{index}" for index in range(number))


def xe_engines(engines: Mapping[str, int]) -> dict[str, int]:
    """Return the names of the engine classes' directories in sysfs, and the GT each stands below."""
    return {_NAMES[engine]: int(engine.startswith("video")) for engine in engines}


def i915(use: Use, slot: str, engines: Mapping[str, int], *, discrete: bool, seconds: int) -> str:
    """Return the fdinfo of a render node of i915 after so many seconds."""
    regions = {"system0": 16} | ({"local0": use.own_mib} if discrete else {"system0": use.own_mib})
    lines = [*_memory(regions, use, "local0" if discrete else "system0")]
    for engine, number in engines.items():
        busy = round((1000 + seconds) * use.shares.get(engine, 0.0) * number * 1e9)
        lines.append(f"drm-engine-{engine}:\t{busy} ns")
        lines += [f"drm-engine-capacity-{engine}:\t{number}"] if number > 1 else []
    return "\n".join([_RENDER_NODE, *_head("i915", use, slot), *lines])


def xe(use: Use, slot: str, engines: Mapping[str, int], *, seconds: int) -> str:
    """Return the fdinfo of a render node of xe after so many seconds."""
    lines = [*_memory({"system": 0, "gtt": 12, "vram0": use.own_mib, "stolen": 0}, use, "vram0")]
    for engine, number in engines.items():
        name = _NAMES[engine]
        cycles = round((1000 + seconds) * use.shares.get(engine, 0.0) * number * XE_CLOCK_HERTZ)
        lines += [f"drm-cycles-{name}:\t{cycles}", f"drm-total-cycles-{name}:\t{(9000 + seconds) * XE_CLOCK_HERTZ}"]
        lines += [f"drm-engine-capacity-{name}:\t{number}"] if number > 1 else []
    return "\n".join([_RENDER_NODE, *_head("xe", use, slot), *lines])


def _head(driver: str, use: Use, slot: str) -> list[str]:
    return [f"drm-driver:\t{driver}", f"drm-client-id:\t{use.client}", f"drm-pdev:\t{slot}"]


def _memory(regions: dict[str, int], use: Use, where: str) -> Iterator[str]:
    for region, mib in regions.items():
        size = f"{mib * 1024} KiB" if mib else "0"
        shared = f"{use.shared_mib} MiB" if use.shared_mib and region == where else "0"
        yield f"drm-total-{region}:\t{size}"
        yield f"drm-shared-{region}:\t{shared}"
        yield f"drm-active-{region}:\t0"
        yield f"drm-resident-{region}:\t{size}"
        yield f"drm-purgeable-{region}:\t0"
