"""What the kernel's log says of Intel GPUs, in the words of the i915 and the xe driver.

Records: Linux' Documentation/ABI/testing/dev-kmsg, `priority,sequence,microseconds,flags;text`, and lines that
begin with a space and belong to the record before them.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ipex_node import border
from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Kind = Literal["reset", "hang", "wedge"]
"""reset: an engine or a GT was reset. hang: work was given up. wedge: the driver has given the GPU up."""
KINDS: tuple[Kind, ...] = ("reset", "hang", "wedge")

_LONGEST = 8192
"""Longest record the kernel hands out (PRINTKRB_RECORD_MAX is below it; kernel/printk/printk.c)."""
_LARGEST = 64 * 1024 * 1024
"""Bytes read at most; the kernel's own buffer is far smaller (log_buf_len)."""
_SEQUENCES = 1 << 64

# Linux' include/drm/drm_print.h, i915/gt/intel_gt_print.h, i915/gt/uc/intel_guc_print.h, xe/xe_gt_printk.h and
# xe_tile_printk.h: what stands between the device's name and the message.
_MESSAGE = re.compile(
    r"(?:i915|xe) (?P<slot>[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]): "
    r"(?:\[drm[^\]]*\] )?(?:\*ERROR\* )?(?:Tile\d+: )?(?:GT\d+: )?(?:GUC: )?(?P<said>.*)"
)


@dataclass(frozen=True)
class Pattern:
    """A message of a driver.

    Attributes:
        kind: What it means for the GPU.
        words: How the message begins; a regular expression.
        source: File below drivers/gpu/drm/ that prints it, in Linux 7.0.
    """

    kind: Kind
    words: str
    source: str


PATTERNS = (
    Pattern("hang", r"GPU HANG: ecode ", "i915/i915_gpu_error.c, error_msg"),
    Pattern("hang", r".* context reset due to GPU hang", "i915/gt/intel_reset.c, mark_guilty"),
    Pattern("reset", r"Resetting \S+ for ", "i915/gt/intel_reset.c, intel_gt_reset and __intel_engine_reset_bh"),
    Pattern("reset", r"Engine reset failed on ", "i915/gt/uc/intel_guc_submission.c: a reset of the chip follows"),
    Pattern("wedge", r"Failed to reset chip", "i915/gt/intel_reset.c, intel_gt_reset: wedges the GT"),
    Pattern("wedge", r"Failed to initialise HW following reset", "i915/gt/intel_reset.c, intel_gt_reset: the same"),
    Pattern("wedge", r"GPU reset not supported", "i915/gt/intel_reset.c, intel_gt_reset: the same"),
    Pattern("wedge", r"\S+ timed out, cancelling all in-flight rendering", "i915/gt/intel_reset.c, intel_wedge_me"),
    Pattern("wedge", r"Failed to (re-)?initialize GPU.*wedged", "i915/gt/intel_gt_pm.c and gem/i915_gem_pm.c"),
    Pattern("wedge", r"GuC initialization failed", "i915/gt/uc/intel_uc.c, __uc_init_hw: -EIO, no submission"),
    Pattern("hang", r"Timedout job: ", "xe/xe_guc_submit.c, guc_exec_queue_timedout_job"),
    Pattern("reset", r"Engine reset: engine_class=", "xe/xe_guc_submit.c, xe_guc_exec_queue_reset_handler"),
    Pattern("reset", r"Engine memory CAT error", "xe/xe_guc_submit.c: treated there as an engine reset"),
    Pattern("reset", r"GuC engine reset request failed on ", "xe/xe_guc_submit.c: a reset of the GT follows"),
    Pattern("reset", r"trying reset from ", "xe/xe_gt.c, xe_gt_reset_async"),
    Pattern("wedge", r"reset failed \(", "xe/xe_gt.c, gt_reset_worker: declares the device wedged"),
    Pattern("wedge", r"CRITICAL: Xe has declared device \S+ as wedged", "xe/xe_device.c, xe_device_declare_wedged"),
    Pattern("wedge", r"load failed: status: Reset = ", "xe/xe_guc.c, print_load_status_err: no GuC, no submission"),
    Pattern("wedge", r"In Survivability Mode", "xe/xe_survivability_mode.c: the firmware must be written anew"),
    Pattern("wedge", r"device wedged, needs recovery", "drm_drv.c, drm_dev_wedged_event"),
)
_COMPILED = tuple((pattern.kind, re.compile(pattern.words)) for pattern in PATTERNS)


@dataclass(frozen=True)
class Event:
    """One record that says something of a GPU's health.

    Attributes:
        sequence: The record's number in this boot.
        slot: The GPU's PCI address.
        kind: What it means.
        text: The message.
    """

    sequence: int
    slot: str
    kind: Kind
    text: str


def read(path: Path, after: int) -> tuple[list[Event], int]:
    """Return the events behind a record, and the number of the last record there is.

    Args:
        path: The kernel's device, or a plain file of the same form; one that is not there says nothing.
        after: Number of the last record that is known.

    Raises:
        FailedError: It may not be read.
    """
    last, events = after, []
    for sequence, text in parse(_content(path)):
        if sequence > after:
            last = max(last, sequence)
            events += classify(sequence, text)
    return events, last


def parse(content: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each record of the kernel itself; what programs have written there is left out."""
    for line in content.split("\n"):
        head, separator, text = line.partition(";")
        fields = head.split(",")
        if not separator or len(fields) < 3 or not all(field.isdecimal() and len(field) < 21 for field in fields[:2]):
            continue
        # The priority's upper bits are the facility, and 0 is the kernel's (syslog(2)).
        facility, sequence = int(fields[0]) >> 3, int(fields[1])
        if facility == 0 and sequence < _SEQUENCES:
            yield sequence, text


def classify(sequence: int, text: str) -> list[Event]:
    """Say what a record means: one event, or none."""
    message = _MESSAGE.match(text)
    if not message:
        return []
    kinds = (kind for kind, words in _COMPILED if words.match(message["said"]))
    return [Event(sequence, message["slot"], kind, border.words(text)) for kind in list(kinds)[:1]]


def _content(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except PermissionError as error:
        cure = "the monitor's unit needs CAP_SYSLOG and the device"
        raise failed(str(path), "may not be read: GPU resets are not seen", cure) from error
    try:
        is_device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
        return b"".join(_pieces(descriptor, is_device=is_device)).decode(errors="replace")
    finally:
        os.close(descriptor)


def _pieces(descriptor: int, *, is_device: bool) -> Iterator[bytes]:
    left = _LARGEST
    while left > 0:
        try:
            piece = os.read(descriptor, _LONGEST)
        except BrokenPipeError:
            continue  # records were overwritten before they were read: the next read goes on behind them
        except BlockingIOError:
            return
        if not piece:
            return
        left -= len(piece)
        yield piece if not is_device or piece.endswith(b"\n") else piece + b"\n"
