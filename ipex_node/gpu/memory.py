"""How much memory a GPU has and how much of it is used: asked of its driver, and added up from its clients.

The questions are ioctls on the render node, numbers and structures of Linux' include/uapi/drm/i915_drm.h
(DRM_IOCTL_I915_QUERY with DRM_I915_QUERY_MEMORY_REGIONS) and include/uapi/drm/xe_drm.h (DRM_IOCTL_XE_DEVICE_QUERY
with DRM_XE_DEVICE_QUERY_MEM_REGIONS). Both say the size of a card's own memory to everybody. How much of it is used
i915 says to CAP_PERFMON alone, and to others that nothing is; xe says 0 to others before Linux 6.18
(i915_query.c, xe_query.c). Such an answer is none, and what the clients hold is counted instead.
"""

from __future__ import annotations

import fcntl
import os
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ipex_node.gpu.cards import Card
    from ipex_node.gpu.clients import Client

I915_QUERY = 0xC0106479
"""DRM_IOWR(0x40 + 0x39, struct drm_i915_query)."""
XE_DEVICE_QUERY = 0xC0286440
"""DRM_IOWR(0x40 + 0x00, struct drm_xe_device_query)."""
_I915_MEMORY_REGIONS, _XE_MEM_REGIONS = 4, 1
_OWN_MEMORY = 1
"""I915_MEMORY_CLASS_DEVICE and DRM_XE_MEM_REGION_CLASS_VRAM; 0 is the machine's memory in both."""
_QUERY = struct.Struct("=IIQ")
"""struct drm_i915_query: num_items, flags, items_ptr."""
_ITEM = struct.Struct("=QiIQ")
"""struct drm_i915_query_item: query_id, length, flags, data_ptr."""
_DEVICE_QUERY = struct.Struct("=QIIQ16x")
"""struct drm_xe_device_query: extensions, query, size, data, reserved."""
_REGION = struct.Struct("=HHIQQ64x")
"""struct drm_i915_memory_region_info: class, instance, reserved, probed_size, unallocated_size, more; struct
drm_xe_mem_region: mem_class, instance, min_page_size, total_size, used, more."""
_I915_HEADER, _XE_HEADER = 16, 8
"""Bytes before the first region: their number and reserved ones."""
_LARGEST = 64 * 1024
"""Bytes of an answer; a card with two tiles takes 280."""


class Ioctl(Protocol):
    """fcntl.ioctl, as far as it is used here."""

    def __call__(self, descriptor: int, request: int, argument: bytearray, mutate: bool, /) -> int:
        """Let the kernel change `argument`."""


@dataclass(frozen=True)
class Region:
    """Memory of a card's own.

    Attributes:
        name: vram0, vram1.
        total: Bytes.
        used: Bytes, by whomever; none where the driver does not say it to this process.
    """

    name: str
    total: int
    used: int | None


def regions(card: Card, render_nodes: Path, ioctl: Ioctl = fcntl.ioctl) -> list[Region]:
    """Ask the driver for a card's own memory; an integrated GPU has none.

    Args:
        card: The GPU.
        render_nodes: Where its device is, /dev/dri on a real machine.
        ioctl: Asks the kernel.

    Raises:
        OSError: The device cannot be opened, or its driver does not answer.
    """
    if card.render_node is None or card.driver not in _DRIVERS:
        return []
    ask, read = _DRIVERS[card.driver]
    descriptor = os.open(render_nodes / card.render_node, os.O_RDWR | os.O_CLOEXEC)
    try:
        return read(ask(descriptor, ioctl))
    finally:
        os.close(descriptor)


def _ask_i915(descriptor: int, ioctl: Ioctl) -> bytes:
    """Ask for the length of the answer, then for the answer; the kernel reports an error as a negative length."""
    answer = array("B")
    for _ in range(2):
        place = answer.buffer_info()[0] if answer else 0
        item = array("B", _ITEM.pack(_I915_MEMORY_REGIONS, len(answer), 0, place))
        ioctl(descriptor, I915_QUERY, bytearray(_QUERY.pack(1, 0, item.buffer_info()[0])), True)  # noqa: FBT003 - its signature
        length = _ITEM.unpack(item)[1]
        if not 0 < length <= _LARGEST:
            raise OSError(max(0, -length), "DRM_I915_QUERY_MEMORY_REGIONS is not answered")
        answer = answer or array("B", bytes(length))
    return answer.tobytes()


def _ask_xe(descriptor: int, ioctl: Ioctl) -> bytes:
    """Ask for the size of the answer, then for the answer."""
    answer = array("B")
    for _ in range(2):
        place = answer.buffer_info()[0] if answer else 0
        query = bytearray(_DEVICE_QUERY.pack(0, _XE_MEM_REGIONS, len(answer), place))
        ioctl(descriptor, XE_DEVICE_QUERY, query, True)  # noqa: FBT003 - its signature
        size = _DEVICE_QUERY.unpack(query)[2]
        if not 0 < size <= _LARGEST:
            raise OSError(0, "DRM_XE_DEVICE_QUERY_MEM_REGIONS is not answered")
        answer = answer or array("B", bytes(size))
    return answer.tobytes()


def read_i915(answer: bytes) -> list[Region]:
    """Read struct drm_i915_query_memory_regions."""
    own = _own(answer, _I915_HEADER)
    return [
        Region(f"vram{index}", probed, probed - unallocated if unallocated < probed else None)
        for index, (probed, unallocated) in enumerate(own)
    ]


def read_xe(answer: bytes) -> list[Region]:
    """Read struct drm_xe_query_mem_regions.

    The regions' instances count all memory, the machine's first; fdinfo counts the card's own from 0.
    """
    own = _own(answer, _XE_HEADER)
    return [
        Region(f"vram{index}", total, used if 0 < used <= total else None) for index, (total, used) in enumerate(own)
    ]


def _own(answer: bytes, header: int) -> Iterator[tuple[int, int]]:
    """Return the two sizes of each region that is the card's own, as far as the answer reaches."""
    if len(answer) < header:
        return
    number = int.from_bytes(answer[:4], "little")
    for start in range(header, min(header + number * _REGION.size, len(answer) - _REGION.size + 1), _REGION.size):
        kind, _, _, size, second = _REGION.unpack_from(answer, start)
        if kind == _OWN_MEMORY:
            yield size, second


_DRIVERS: dict[str, tuple[Callable[[int, Ioctl], bytes], Callable[[bytes], list[Region]]]] = {
    "i915": (_ask_i915, read_i915),
    "xe": (_ask_xe, read_xe),
}


def held(clients: Iterable[Client], pci_slot: str) -> dict[str, int]:
    """Return how much memory the clients of one GPU hold, region to bytes.

    What clients share is counted once: every client says how much of its own is shared, none says with whom, so of
    all shares the largest one is taken.
    """
    own: dict[str, int] = {}
    shared: dict[str, int] = {}
    for client in clients:
        if client.pci_slot == pci_slot:
            for region, size in client.resident.items():
                common = min(size, client.shared.get(region, 0))
                own[region] = own.get(region, 0) + size - common
                shared[region] = max(shared.get(region, 0), common)
    return {region: size + shared[region] for region, size in own.items()}


def samples(gpu: str, own: Iterable[Region], clients: dict[str, int]) -> Iterator[Sample]:
    """Return a GPU's memory.

    Args:
        gpu: The GPU's name.
        own: The card's own memory, as its driver says.
        clients: What the clients hold, region to bytes.
    """
    used = dict(clients)
    for region in own:
        yield Sample("ipex_gpu_memory_total_bytes", {"gpu": gpu, "region": region.name}, region.total)
        if region.used is not None:
            used[region.name] = region.used
    for name, size in sorted(used.items()):
        yield Sample("ipex_gpu_memory_used_bytes", {"gpu": gpu, "region": name}, size)
