"""What the drivers say, and what nobody says."""

import os
import random
import re
from pathlib import Path

import pytest

from ipex_node.failure import FailedError
from ipex_node.health import kernel

SLOT = "0000:03:00.0"
# As machines have printed them; the sources' format strings stand in ipex_node/health/kernel.py.
LINES = {
    f"i915 {SLOT}: [drm] GPU HANG: ecode 12:1:85def5fb, in llama-server [3182150]": "hang",
    f"i915 {SLOT}: [drm] llama-server[3182150] context reset due to GPU hang": "hang",
    f"i915 {SLOT}: [drm] GT0: Resetting chip for stopped heartbeat on rcs0": "reset",
    f"i915 {SLOT}: [drm] Resetting chip for GuC failed to reset engine mask=0x1": "reset",
    f"i915 {SLOT}: [drm] Resetting rcs0 for preemption time out": "reset",
    f"i915 {SLOT}: [drm] *ERROR* GT0: GUC: Engine reset failed on 0:0 (rcs0) because 0x00000000": "reset",
    f"i915 {SLOT}: [drm] *ERROR* GT0: Failed to reset chip": "wedge",
    f"i915 {SLOT}: [drm] *ERROR* GT0: Failed to initialise HW following reset (-5)": "wedge",
    f"i915 {SLOT}: [drm] *ERROR* GT0: GPU reset not supported": "wedge",
    f"i915 {SLOT}: [drm] *ERROR* GT0: intel_gt_reset_global timed out, cancelling all in-flight rendering.": "wedge",
    f"i915 {SLOT}: [drm] *ERROR* GT0: Failed to initialize GPU, declaring it wedged!": "wedge",
    f"i915 {SLOT}: [drm] *ERROR* Failed to re-initialize GPU[0], declaring it wedged!": "wedge",
    f"i915 {SLOT}: [drm] *ERROR* GT0: GuC initialization failed -ETIMEDOUT": "wedge",
    f"xe {SLOT}: [drm] Tile0: GT0: Timedout job: seqno=98, lrc_seqno=98, guc_id=28, flags=0x20 in python [9]": "hang",
    f"xe {SLOT}: [drm] GT0: Timedout job: seqno=98, lrc_seqno=98, guc_id=28, flags=0x20 in python [2693]": "hang",
    f"xe {SLOT}: [drm] Tile0: GT0: Engine reset: engine_class=ccs, logical_mask: 0x1, guc_id=9, state=0x29": "reset",
    f"xe {SLOT}: [drm] Tile0: GT0: Engine memory CAT error [18]: class=ccs, logical_mask: 0x1, guc_id=9": "reset",
    f"xe {SLOT}: [drm] Tile0: GT0: Engine memory CAT error: class=ccs, logical_mask: 0x1, guc_id=9": "reset",
    f"xe {SLOT}: [drm] *ERROR* Tile0: GT0: GuC engine reset request failed on 0:0 because 0x00000000": "reset",
    f"xe {SLOT}: [drm] Tile0: GT0: trying reset from guc_exec_queue_timedout_job [xe]": "reset",
    f"xe {SLOT}: [drm] *ERROR* Tile0: GT0: reset failed (-ETIMEDOUT)": "wedge",
    f"xe {SLOT}: [drm] *ERROR* CRITICAL: Xe has declared device {SLOT} as wedged.": "wedge",
    f"xe {SLOT}: [drm] *ERROR* Tile0: GT0: load failed: status: Reset = 0, BootROM = 0x50, UKernel = 0x0": "wedge",
    f"xe {SLOT}: In Survivability Mode": "wedge",
    f"xe {SLOT}: [drm] device wedged, needs recovery": "wedge",
}
HARMLESS = (
    f"i915 {SLOT}: [drm] GT0: GUC: submission enabled",
    f"i915 {SLOT}: [drm] GPU error state saved to /sys/class/drm/card0/error",
    f"i915 {SLOT}: [drm] *ERROR* vdbox0: timed out waiting for forcewake ack request.",
    f"xe {SLOT}: [drm] Tile0: GT0: reset done",
    f"xe {SLOT}: [drm] Xe device coredump has been created",
    f"xe {SLOT}: [drm] device wedged, but recovered through reset",
    "usb 1-2: Resetting chip for fun",
    "ollama[9]: xe 0000:03:00.0: [drm] Tile0: GT0: Engine reset: engine_class=ccs",
    "",
)


@pytest.mark.parametrize(("text", "kind"), LINES.items())
def test_drivers_words_are_understood(text: str, kind: str) -> None:
    """Each message is of its kind and belongs to its GPU."""
    (event,) = kernel.classify(7, text)
    assert (event.sequence, event.slot, event.kind, event.text) == (7, SLOT, kind, text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_words_mean_nothing(text: str) -> None:
    """What a driver says of its health otherwise, and what others say, is no event."""
    assert kernel.classify(7, text) == []


@pytest.mark.parametrize("pattern", kernel.PATTERNS, ids=lambda pattern: pattern.words)
def test_every_pattern_is_met_by_a_line(pattern: kernel.Pattern) -> None:
    """No row of the table is without an example."""
    assert any(re.search(pattern.words, text) and kind == pattern.kind for text, kind in LINES.items())


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    """Records up to the known one are skipped; what programs have written, and continuations, are none of them."""
    log = tmp_path / "kmsg"
    hang = next(text for text, kind in LINES.items() if kind == "hang")
    wedge = next(text for text, kind in LINES.items() if kind == "wedge")
    log.write_text(
        f"6,10,5000,-;{hang}\n SUBSYSTEM=pci\n DEVICE=+pci:{SLOT}\n"
        f"12,11,5001,-;{wedge}\n"
        f"3,12,5002,c,more;{wedge}\n"
        "no record\n"
    )
    events, last = kernel.read(log, -1)
    assert ([event.kind for event in events], last) == (["hang", "wedge"], 12)
    assert [event.sequence for event in kernel.read(log, 10)[0]] == [12]
    assert kernel.read(log, 12) == ([], 12)


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    """A machine of the lab has none before its first fault."""
    assert kernel.read(tmp_path / "kmsg", 3) == ([], 3)


def test_a_log_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure names the capability."""

    def denied(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(FailedError, match="CAP_SYSLOG"):
        kernel.read(tmp_path / "kmsg", -1)


def test_a_device_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that were overwritten meanwhile are passed over; the end of the log is no error."""
    line = next(iter(LINES))
    answers: list[bytes | OSError] = [
        BrokenPipeError(),
        f"6,20,1,-;{line}\n".encode(),
        f"6,21,1,-;{line}".encode(),
        BlockingIOError(),
    ]

    def read(_descriptor: int, _size: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "read", read)
    events, last = kernel.read(Path("/dev/null"), -1)
    assert ([event.sequence for event in events], last) == ([20, 21], 21)


def test_garbage_is_survived() -> None:
    """Twenty-five thousand mutations of real records: none escapes, and every event is one of the table's."""
    dice = random.Random(4)  # noqa: S311 - the same mutations in every run
    seeds = [f"{dice.randrange(16)},{number},5000,-;{text}\n" for number, text in enumerate((*LINES, *HARMLESS))]
    seen = 0
    for _ in range(25_000):
        text = list(dice.choice(seeds))
        for _ in range(dice.randrange(1, 6)):
            place = dice.randrange(len(text))
            text[place : place + dice.randrange(3)] = dice.choice(
                ("", ",", ";", "\n", "-", "9" * 30, "\0", "٣", "\U0001f4a5", " ", "²")
            )
        for sequence, said in kernel.parse("".join(text)):
            events = kernel.classify(sequence, said)
            assert len(events) <= 1
            assert all(event.kind in kernel.KINDS and event.sequence >= 0 for event in events)
            seen += len(events)
    assert seen > 1000
