"""tasks/publish.py through the real command line, on the example fleet's fake nodes."""

import base64
import dataclasses
import io
import json
import tarfile
from typing import Any

import pytest

from fleet import load
from fleet.model import Fleet
from ipex_node.update.publication import parse, parted
from tests.fake_fleet import FakeFleet

OLD = "0123456789abcdef"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBTW7iOD23TUiYLio"
TASK = "tasks/publish.py"


@pytest.fixture
def updating(nodes: FakeFleet, example: Fleet, monkeypatch: pytest.MonkeyPatch) -> FakeFleet:
    """Every node updates itself; gpu-01 has something older than what its data say."""

    def enabled(fleet: Fleet) -> Fleet:
        changed = (
            dataclasses.replace(node, updates=dataclasses.replace(node.updates, enable=True))
            for node in fleet.nodes
            if node.updates
        )
        return dataclasses.replace(fleet, nodes=tuple(changed))

    loaded = load.from_inventory
    monkeypatch.setattr(load, "from_inventory", lambda inventory: enabled(loaded(inventory)))
    nodes.fleet = enabled(example)
    nodes.is_as_declared()
    for name in nodes.answers:
        nodes.answers[name]["ipex-question"][1].insert(0, f"hostkey {HOST_KEY}")
    _says(nodes, "gpu-01", generation=OLD)
    return nodes


def _says(nodes: FakeFleet, name: str, **status: Any) -> None:
    lines = nodes.answers[name]["ipex-question"][1]
    lines[-1] = json.dumps({**json.loads(lines[-1]), **status})


def _given(nodes: FakeFleet) -> dict[str, bytes]:
    """What the depot's node was given."""
    ((node, _, text),) = [one for one in nodes.given if one[1].endswith("ipex-node publish")]
    assert node == "monitor-01"
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as archive:
        files = {one.name: archive.extractfile(one) for one in archive}
        return {name: file.read() for name, file in files.items() if file}


def test_dry_shows_the_table_and_publishes_nothing(updating: FakeFleet) -> None:
    """Who would take what, and when."""
    run = updating.run("--dry", deploy=TASK)

    assert run.status == 0, run.output
    rows = {line.split()[0]: " ".join(line.split()) for line in run.output.splitlines() if line.startswith("  ")}
    assert rows["gpu-01"].startswith(f"gpu-01 {OLD} ")
    assert rows["gpu-01"].endswith("daily 01:00 to daily 05:00 UTC")
    assert "what it has" in rows["gpu-02"]
    assert run.order("publish") == []
    assert run.order("ipex-node build") == []
    assert {len(commands) for commands in run.commands.values()} == {1}


def test_what_is_published_is_sealed_and_has_a_canary(updating: FakeFleet) -> None:
    """One bundle a node, readable by none but it; the node that changes goes first; JSON says the same."""
    run = updating.run("-y", "--data", "json=true", deploy=TASK)

    assert run.status == 0, run.output
    said = json.JSONDecoder().raw_decode(run.stdout[run.stdout.index("{\n") :])[0]
    rows = {row["node"]: row for row in said["nodes"]}
    files = _given(updating)
    publication = parse(parted(files.pop("index"))[1])
    assert run.order("ipex-node publish") == ["monitor-01"]
    assert (publication.serial, publication.environment) == (said["serial"], "example")
    assert set(publication.members) == set(rows)
    assert {member.file for member in publication.members.values()} == set(files)
    assert all(content.startswith(b"age-encryption.org/") for content in files.values())
    assert publication.canaries == {"gpu-01"}
    assert rows["gpu-01"]["has"] == OLD
    assert rows["gpu-01"]["takes"] == publication.members["gpu-01"].generation
    assert publication.services["ollama"].floor == 2


def test_a_depot_that_does_not_serve_is_refused_with_a_cure(updating: FakeFleet) -> None:
    """Nodes could not fetch what it has."""
    _says(updating, "monitor-01", units=[])

    run = updating.run("-y", deploy=TASK)

    assert run.status == 1
    assert "Nothing was published" in run.output
    assert "monitor-01: does not serve the depot. Deploy first" in run.output
    assert run.order("ipex-node publish") == []


def test_a_node_that_cannot_be_reached_is_named_and_has_no_part(updating: FakeFleet) -> None:
    """All others have theirs."""
    updating.unreachable = {"gpu-03"}

    run = updating.run("-y", deploy=TASK)

    assert "gpu-03 ? nothing: it cannot be reached -" in " ".join(run.output.split())
    assert "gpu-03" not in parse(parted(_given(updating)["index"])[1]).members


def test_every_reason_why_nothing_is_published_is_told(updating: FakeFleet) -> None:
    """A depot's node that is down, a part of the fleet, a quarantined generation, a node without a host key."""
    updating.answers["gpu-02"]["ipex-question"][1].pop(0)
    run = updating.run("-y", "--limit", "*gpu-01", "--limit", "*gpu-02", deploy=TASK)

    assert run.status == 1
    assert "monitor-01: keeps the depot and cannot be reached" in run.output
    assert "a publication is of the whole fleet, and this run leaves out" in run.output
    assert "gpu-02: has no ed25519 host key" in run.output
    assert run.order("publish") == []


def test_a_generation_that_is_quarantined_is_not_published(updating: FakeFleet) -> None:
    """Its node would refuse it."""
    dry = updating.run("--dry", "--data", "json=true", deploy=TASK)
    wanted = json.JSONDecoder().raw_decode(dry.stdout[dry.stdout.index("{\n") :])[0]["nodes"]
    bad = next(row["takes"] for row in wanted if row["node"] == "gpu-01")
    _says(updating, "gpu-01", quarantined={bad: {"why": "it hung", "at": "2026-01-01"}})

    run = updating.run("-y", deploy=TASK)

    assert run.status == 1
    assert "it hung" in run.output
    assert run.order("publish") == []
