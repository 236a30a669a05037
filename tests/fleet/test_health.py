"""The data of the health monitor, and what it becomes on a node."""

import dataclasses
import json

import pytest

from fleet import desired
from fleet.health import Health, nonsense
from fleet.model import Fleet
from ipex_node import loopback, readiness, rotation
from ipex_node.health import repair, run


def _file(fleet: Fleet, node: str, path: str) -> str:
    generation = desired.generation(fleet[node], fleet)
    return next(file.content.decode() for file in generation.files if file.path == path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("calendar", "*:0/5\nExecStart=/bin/sh"),
        ("spread_seconds", -1),
        ("tries", 0),
        ("try_seconds", -1),
        ("busy_runs", -1),
        ("leave_seconds", -1),
        ("restarts", 0),
        ("window_seconds", 0),
        ("backoff_seconds", -1),
        ("disk_share", 85.0),
        ("circuit_share", 0.0),
        ("circuit_nodes", 1),
    ],
)
def test_nonsense_is_named(example: Fleet, key: str, value: object) -> None:
    """Each key has a value that cannot be meant, and the refusal names it; what the data say is sense."""
    health = example["gpu-01"].health
    assert list(nonsense(health)) == []
    (problem,) = nonsense(dataclasses.replace(health, **{key: value}))  # type: ignore[arg-type]
    assert problem[0] == f"health.{key} is {value!r}"


def test_only_the_nodes_own_engines_have_a_door(example: Fleet) -> None:
    """One path unit per engine, on GPU nodes and nowhere else."""
    doors = {
        node.name: [unit.name for unit in desired.generation(node, example).units if "ipex-restart@" in unit.name]
        for node in example.nodes
    }
    assert doors["gpu-01"] == ["ipex-restart@ollama-ipex.path", "ipex-restart@comfyui-ipex.path"]
    assert doors["gateway-01"] == doors["monitor-01"] == []


def test_the_kernels_log_costs_one_capability_and_a_plain_file_none(example: Fleet) -> None:
    """CAP_SYSLOG and the device, to read, where the data name the device; nothing where they name a file."""
    path = "/etc/systemd/system/ipex-health-monitor.service"
    node = example["gpu-01"]
    file = dataclasses.replace(node, paths=dataclasses.replace(node.paths, kernel_log="/lab/kmsg"))
    nodes = tuple(file if one is node else one for one in example.nodes)
    device = _file(example, "gpu-01", path).splitlines()
    plain = _file(dataclasses.replace(example, nodes=nodes), "gpu-01", path).splitlines()
    assert {"CapabilityBoundingSet=CAP_SYSLOG", "DeviceAllow=/dev/kmsg r"} <= set(device)
    assert {"CapabilityBoundingSet=", "PrivateDevices=yes", "PrivateUsers=yes"} <= set(plain)
    assert not [line for line in plain if "CAP_SYSLOG" in line or line.startswith("DeviceAllow")]


def test_a_run_has_the_time_it_needs(example: Fleet) -> None:
    """The unit's timeout holds the worst that can happen to every engine, one behind the other."""
    node, question = example["gpu-01"], 2 * readiness.ANSWER_SECONDS
    health, needed = node.health, 2 * rotation.RETURN_SECONDS + run.LISTEN_SECONDS + node.health.leave_seconds
    for service in node.services:
        # What is in flight is asked for before and behind, there and on every other engine.
        judged = service.probe_seconds + health.tries * (health.try_seconds + question)
        judged += 2 * loopback.SECONDS * len(node.services)
        needed += judged + 2 * (service.probe_seconds + question) + repair.DOOR_SECONDS
    line = next(
        line
        for line in _file(example, "gpu-01", "/etc/systemd/system/ipex-health-monitor.service").splitlines()
        if line.startswith("TimeoutStartSec=")
    )
    assert needed < int(line.partition("=")[2]) < 2 * needed


def test_systemds_brake_is_behind_the_monitors_own(example: Fleet) -> None:
    """The monitor must never meet it: the door it shuts is opened only by hand."""
    unit = _file(example, "gpu-01", "/etc/systemd/system/ipex-restart@.service").splitlines()
    health = example["gpu-01"].health
    assert f"StartLimitBurst={health.restarts + 1}" in unit
    assert f"StartLimitIntervalSec={health.window_seconds}" in unit


def test_node_and_gateway_are_told_what_concerns_them(example: Fleet) -> None:
    """The node gets the monitor's numbers, the gateway the circuit's; each number stands once."""
    told = json.loads(_file(example, "gpu-01", "/etc/ipex/node.json"))["health"]
    gateway = json.loads(_file(example, "gateway-01", "/etc/ipex/gateway.json"))["circuit"]
    data = {field.name for field in dataclasses.fields(Health)}
    assert set(told) - {"kernel_log"} == data - {"calendar", "spread_seconds", "circuit_share", "circuit_nodes"}
    assert gateway == {"share": 0.5, "nodes": 2}
    assert json.loads(_file(example, "monitor-01", "/etc/ipex/node.json"))["health"] is None
