"""Resets that are nobody's illness: of a change, of a boot before, of a GPU that no engine uses."""

import json

import pytest

from ipex_node import marker
from ipex_node.health import verdict
from tests.ipex_node.health.box import HANG, WEDGE, Box

IGPU = "0000:00:02.0"


def test_what_falls_into_a_drain_is_counted_and_held_against_nobody(box: Box) -> None:
    """Whoever kills a hanging engine by hand resets its GPU: afterwards nothing is restarted for that."""
    paths = box.node.world.paths
    box.check()
    marker.put_drain(paths, "new fan", "operator")
    box.kernel(HANG, HANG)
    assert box.check()["still"] == "the node is draining (new fan)"
    assert box.counted("ipex_gpu_resets_total")["card0 hang"] == 2
    marker.clear_drain(paths)
    assert (box.check()["restarted"], box.restarts) == ([], [])
    box.kernel(HANG)
    assert box.check()["restarted"] == ["ollama"]


def test_a_wedge_in_a_drain_lasts(box: Box) -> None:
    """No change mends it: the node needs its reboot all the same."""
    paths = box.node.world.paths
    box.check()
    marker.put_drain(paths, "new fan", "operator")
    box.kernel(WEDGE)
    box.check()
    marker.clear_drain(paths)
    assert "gpu:wedge: reboot needed" in box.out
    assert box.counted("ipex_node_reboot_needed") == {"": 1}
    # A second word of it makes the verdict no younger.
    held = verdict.read(paths.verdict).node
    marker.put_drain(paths, "new fan", "operator")
    box.kernel(WEDGE)
    box.check()
    assert verdict.read(paths.verdict).node == held


def test_the_reboot_that_was_asked_for_settles_it(box: Box) -> None:
    """The first reset of the next boot is a first one again."""
    paths = box.node.world.paths
    box.check()
    for _ in range(2):
        box.kernel(HANG)
        box.check()
    assert verdict.read(paths.verdict).node
    paths.verdict.unlink()
    paths.boot_id.write_text("boot-2\n")
    box.node.on("/kmsg").write_text("")
    box.kernel(HANG)
    assert box.check()["restarted"] == ["ollama"]
    assert not verdict.read(paths.verdict).node
    box.kernel(HANG)
    box.check()
    assert verdict.read(paths.verdict).node


@pytest.mark.parametrize("text", [HANG, WEDGE])
@pytest.mark.parametrize("pci_id", ["8086:3E92", "8086:A780"], ids=["legacy", "integrated-beside-a-card"])
def test_a_gpu_that_no_engine_uses_is_only_counted(box: Box, text: str, pci_id: str) -> None:
    """A UHD 630 beside the card, or a newer one that Ollama leaves alone: the node keeps serving."""
    box.gpu("card1", IGPU, pci_id)
    box.check()
    box.kernel(text.replace("0000:03:00.0", IGPU))
    answered = box.check()
    assert (answered["ok"], answered["restarted"], box.out) == (True, [], "")
    kind = "wedge" if text == WEDGE else "hang"
    assert box.counted("ipex_gpu_resets_total")[f"card1 {kind}"] == 1


@pytest.mark.parametrize("change", ["gone", "unknown", "undeclared"])
def test_a_gpu_of_which_nobody_knows_is_not_passed_over(box: Box, change: str) -> None:
    """One that has gone with its driver, one that no table has, and a node of which nothing is declared."""
    if change == "unknown":
        box.gpu("card1", IGPU, "8086:FFFF")
    if change == "undeclared":
        box.gpu("card1", IGPU, "8086:3E92")
        raw = json.loads(box.node.world.paths.settings.read_text())
        del raw["fitness"]
        box.node.world.paths.settings.write_text(json.dumps(raw))
    box.check()
    box.kernel(WEDGE.replace("0000:03:00.0", IGPU))
    assert not box.check()["ok"]
    assert "gpu:wedge" in box.out


def test_needs_that_cannot_be_understood_are_told(box: Box) -> None:
    """The reset counts then."""
    raw = json.loads(box.node.world.paths.settings.read_text())
    del raw["fitness"]["services"]
    box.node.world.paths.settings.write_text(json.dumps(raw))
    box.check()
    box.kernel(HANG)
    answered = box.check()
    assert "fitness cannot be understood" in answered["failures"][0]["why"]
    assert answered["restarted"] == ["ollama"]
