"""The depot, as it follows from the data."""

import base64
import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleet import depot, depots, desired, secrets_file
from fleet.depot import CACHE_KEY, CLOSURE_KEY, FLEET_KEY
from fleet.model import Fleet
from fleet.secrets import Secrets


def _file(fleet: Fleet, node: str, path: str) -> str:
    return next(file.content for file in desired.generation(fleet[node], fleet).files if file.path == path).decode()


def test_the_first_monitor_keeps_it_and_all_others_take_from_there(example: Fleet) -> None:
    """Its own node takes from the directory itself, also while nothing serves it."""
    told = {node.name: json.loads(_file(example, node.name, "/etc/ipex/depot.json")) for node in example.nodes}

    assert told["monitor-01"]["source"] == "file:///var/lib/ipex-depot"
    assert {one["source"] for name, one in told.items() if name != "monitor-01"} == {"http://203.0.113.31:8480"}
    assert [node.name for node in example.nodes if "ipex-depot.service" in _units(example, node.name)] == ["monitor-01"]


def test_debians_own_nginx_stays_down_unless_it_is_a_gateways(example: Fleet) -> None:
    """An empty unit file masks it."""
    assert _file(example, "monitor-01", "/etc/systemd/system/nginx.service") == ""
    assert _file(_kept_by(example, "gateway-01"), "gateway-01", "/etc/systemd/system/nginx.service") != ""


def test_without_a_depot_there_is_nothing_of_it(example: Fleet) -> None:
    """Each node builds or fetches for itself, as ever."""
    nodes = (dataclasses.replace(node, depot=None, serves_depot=False) for node in example.nodes)
    fleet = dataclasses.replace(example, nodes=tuple(nodes))

    for node in fleet.nodes:
        assert [file.path for file in desired.generation(node, fleet).files if "depot" in file.path] == []


def test_public_halves_are_those_that_nix_and_openssh_make(tmp_path: Path) -> None:
    """Of Nix's key the last 32 bytes; of OpenSSH's what ssh-keygen itself says."""
    cache, key = secrets_file.new_cache_key(), secrets_file.new_signing_key()
    known = Secrets({CACHE_KEY: cache, FLEET_KEY: key})
    path = tmp_path / "key"
    path.write_text(key)
    path.chmod(0o600)
    said = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True, check=True).stdout
    name, _, secret = cache.partition(":")

    assert depot.ssh_public(known.get(FLEET_KEY)) == " ".join(said.split()[:2])
    assert depot.cache_public(known) == f"{name}:{base64.b64encode(base64.b64decode(secret)[32:]).decode()}"


def test_a_key_that_cannot_be_read_is_refused_without_its_value(example: Fleet) -> None:
    """And what is derived of it names the secret that is missing."""
    secrets = Secrets({CACHE_KEY: "MARKED", CLOSURE_KEY: "MARKED", FLEET_KEY: secrets_file.new_signing_key()})
    found = list(depots.problems(dataclasses.replace(example, secrets=secrets)))

    assert [(one.where, one.what) for one in found] == [
        ("secrets", f"the secret {CACHE_KEY} is no such key"),
        ("secrets", f"the secret {CLOSURE_KEY} is no such key"),
    ]
    assert "MARKED" not in str(found) + depot.cache_public(secrets)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"connections": 0}, "depot.connections is 0"),
        ({"cache_gb": 0}, "depot.cache_gb is 0"),
        ({"free_gb": -1}, "depot.free_gb is -1"),
    ],
)
def test_nonsense_is_refused(example: Fleet, changes: dict[str, Any], what: str) -> None:
    """Each mistake alone; the data as they stand have none."""
    sound = example.nodes[0].depot
    assert sound is not None
    assert list(depot.nonsense(sound)) == []
    assert [found for found, _ in depot.nonsense(dataclasses.replace(sound, **changes))] == [what]


def test_a_depot_on_no_node_is_refused(example: Fleet) -> None:
    """As is one that not every node knows of alike."""
    nowhere = _kept_by(example, "monitor-09")
    split = dataclasses.replace(
        example, nodes=(example.nodes[0], dataclasses.replace(example.nodes[1], depot=None), *example.nodes[2:])
    )

    assert [one.what for one in depots.problems(nowhere)] == ["depot.node is 'monitor-09'"]
    assert [(one.where, one.what) for one in depots.problems(split)] == [
        ("gpu-02", "depot differs from the first node's")
    ]


def _kept_by(fleet: Fleet, name: str) -> Fleet:
    nodes = []
    for node in fleet.nodes:
        assert node.depot is not None
        declared = dataclasses.replace(node.depot, node=name)
        nodes.append(dataclasses.replace(node, depot=declared, serves_depot=False))
    return dataclasses.replace(fleet, nodes=depots.with_server(nodes))


def _units(fleet: Fleet, node: str) -> list[str]:
    return [unit.name for unit in desired.generation(fleet[node], fleet).units]
