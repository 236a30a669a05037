"""What the kernel answers on a render node of a machine that has none: DRM's questions about memory.

Numbers and structures: Linux' include/uapi/drm/i915_drm.h and xe_drm.h; who is told what: i915_query.c, xe_query.c.
"""

import ctypes
import errno
import os
import struct

from lab import hardware_clients
from lab.hardware import KINDS, Card

_I915_QUERY, _XE_DEVICE_QUERY = 0xC0106479, 0xC0286440
_MACHINES_MEMORY, _OWN_MEMORY = 0, 1
_MACHINE_BYTES = 32_651_892 * 1024
_DRIVERS_OWN_BYTES = 96 * hardware_clients.MIB


class Kernel:
    """Answers as the drivers of one kind of machine would, to a process without CAP_PERFMON.

    Args:
        kind: one of hardware.KINDS.
    """

    def __init__(self, kind: str) -> None:
        cards = (card for card in KINDS[kind] if card.driver)
        self._cards = {f"renderD{128 + index}": card for index, card in enumerate(cards)}

    @property
    def render_nodes(self) -> list[str]:
        """Names of the devices."""
        return list(self._cards)

    def ioctl(self, descriptor: int, request: int, argument: bytearray, _mutate: bool, /) -> int:
        """Answer as the kernel does on an open file that is called as the device is.

        Raises:
            OSError: The driver of that device does not know the question.
        """
        card = self._cards[os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))]  # noqa: PTH115, PTH119 - no path to follow
        if (card.driver, request) == ("i915", _I915_QUERY):
            _answer_i915(card, argument)
        elif (card.driver, request) == ("xe", _XE_DEVICE_QUERY):
            _answer_xe(card, argument)
        else:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return 0


def _answer_i915(card: Card, argument: bytearray) -> None:
    _, _, item = struct.unpack("=IIQ", argument)
    query, length, _, place = struct.unpack("=QiIQ", ctypes.string_at(item, 24))
    answer = i915_regions(card)
    good = query == 4 and length in {0, len(answer)}
    ctypes.memmove(item + 8, struct.pack("=i", len(answer) if good else -errno.EINVAL), 4)
    if good and length:
        ctypes.memmove(place, answer, length)


def _answer_xe(card: Card, argument: bytearray) -> None:
    extensions, query, size, place = struct.unpack_from("=QIIQ", argument)
    answer = xe_regions(card)
    if query != 1 or size not in {0, len(answer)}:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    struct.pack_into("=QIIQ", argument, 0, extensions, query, len(answer), place)
    if size:
        ctypes.memmove(place, answer, size)


def i915_regions(card: Card) -> bytes:
    """Return struct drm_i915_query_memory_regions; nothing of it looks used."""
    regions = [(_MACHINES_MEMORY, _MACHINE_BYTES), *([(_OWN_MEMORY, card.vram)] if card.vram else [])]
    records = b"".join(struct.pack("=HHIQQ64x", kind, 0, 0, size, size) for kind, size in regions)
    return struct.pack("=I12x", len(regions)) + records


def xe_regions(card: Card) -> bytes:
    """Return struct drm_xe_query_mem_regions; before Linux 6.18 nothing of it looks used."""
    uses = hardware_clients.USES
    held = (sum(use.own_mib - use.shared_mib for use in uses) + uses[0].shared_mib) * hardware_clients.MIB
    used = 0 if card.is_early else held + _DRIVERS_OWN_BYTES
    machine = struct.pack("=HHIQQ64x", _MACHINES_MEMORY, 0, 4096, _MACHINE_BYTES // 2, 0)
    return struct.pack("=II", 2, 0) + machine + struct.pack("=HHIQQ64x", _OWN_MEMORY, 1, 65536, card.vram, used)
