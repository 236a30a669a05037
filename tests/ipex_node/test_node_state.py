"""The node's own state as numbers."""

import hashlib
import os

from fleet.metrics import METRICS
from ipex_node import quarantine, samples
from ipex_node.__main__ import main
from tests.ipex_node.conftest import Bundle
from tests.ipex_node.fake_node import OLLAMA, PROFILE, FakeNode, files


def left(node: FakeNode) -> dict[str, float]:
    """Return what is left for the agent, drift by its kind."""
    found = samples.read(node.world.paths.samples("status"), 60) or []
    return {one.labels.get("what", one.family.removeprefix("ipex_node_")): one.value for one in found}


def test_a_machine_that_is_no_node_yet(node: FakeNode) -> None:
    """Nothing is wrong, and nothing was ever updated."""
    assert main(["status", "--leave"], node.world) == 0
    assert left(node) == {
        "file": 0,
        "unit": 0,
        "closure": 0,
        "generation": 0,
        "quarantined_generations": 0,
        "reboot_reasons": 0,
        "staged_generations": 0,
    }


def test_what_differs_is_counted(node: FakeNode, served: str) -> None:
    """An edited file, a stopped unit, a quarantined generation, and when the current one became current."""
    paths = node.world.paths
    os.utime(paths.current, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    node.on(f"/etc/systemd/system/{OLLAMA}").write_text("x")
    node.units[OLLAMA].active = "failed"
    quarantine.put(paths, "0123", "it did not start")
    assert main(["status", "--leave"], node.world) == 0
    found = left(node)
    assert (found["file"], found["unit"], found["closure"]) == (1, 1, 0)
    assert (found["quarantined_generations"], found["staged_generations"]) == (1, 1)
    assert found["last_update_timestamp_seconds"] == 1_700_000_000
    assert served


def test_nodes_of_one_release_show_the_same(node: FakeNode, make: Bundle) -> None:
    """The program's digest and the flake's pin, as the manifest has them, whatever else the generation holds."""

    def shown(pin: str, **more: str) -> dict[str, str]:
        contents = {**files(**more), "/usr/local/bin/ipex-node": "program"}
        reference = f"flake{pin}?narHash=sha256-{pin * 43}%3D#ollama-ipex"
        bundle = make(contents, change=lambda raw: raw["closures"].update({PROFILE: reference}))
        node.activate(node.stage(bundle))
        main(["status", "--leave"], node.world)
        found = samples.read(node.world.paths.samples("status"), 60) or []
        return next(one.labels for one in found if one.family == "ipex_node_release_info")

    program = hashlib.sha256(b"program").hexdigest()[:12]
    assert shown("a") == shown("a", other="y") == {"program": program, "flake": "a" * 12}
    assert shown("b") == {"program": program, "flake": "b" * 12}


def test_an_activation_of_another_generation_is_an_update(node: FakeNode, served: str, make: Bundle) -> None:
    """Mending the current one is none."""
    current = node.world.paths.current
    os.utime(current, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    node.activate(served)
    main(["status", "--leave"], node.world)
    assert left(node)["last_update_timestamp_seconds"] == 1_700_000_000
    status, _ = node.activate(node.stage(make(version="2")))
    assert status == 0
    main(["status", "--leave"], node.world)
    assert left(node)["last_update_timestamp_seconds"] > 1_700_000_000


def test_nothing_is_sealed_locked_or_said_while_services_change(node: FakeNode, served: str) -> None:
    """What a transaction changes right now is no drift; the last word stays."""
    paths = node.world.paths
    main(["status", "--leave"], node.world)
    before = left(node)
    paths.seal.unlink(missing_ok=True)
    paths.run.mkdir(exist_ok=True)
    paths.activating.touch()
    node.on(f"/etc/systemd/system/{OLLAMA}").write_text("x")
    main(["status", "--leave"], node.world)
    assert left(node) == before
    paths.activating.unlink()
    main(["status", "--leave"], node.world)
    assert left(node)["file"] == 1
    assert not paths.seal.exists()
    assert served


def test_every_family_has_its_row(node: FakeNode, served: str) -> None:
    """What is left is what the one table of metrics says."""
    main(["backup-done", "models", "--ok"], node.world)
    rows = {metric.name: set(metric.labels) for metric in METRICS}
    main(["status", "--leave"], node.world)
    found = samples.read(node.world.paths.samples("status"), 60)
    assert found
    assert all(set(one.labels) == rows[one.family] for one in found)
    assert "ipex_backup_last_success_timestamp_seconds" in {one.family for one in found}
    assert served
