"""What the border refuses, and how it says so."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet import load
from fleet.machine import Prometheus
from fleet.model import Fleet

Write = Callable[..., str]

_INVENTORY = """
gpu_nodes = [("gpu-01", {{"ssh_hostname": "198.18.0.11"{gpu}}})]
gateways = [("gateway-01", {{"ssh_hostname": "198.18.0.21"}})]
monitors = [("monitor-01", {{"ssh_hostname": "198.18.0.31"}})]
{more}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an inventory of three nodes with something added to it."""

    def inventory(gpu: str = "", more: str = "") -> str:
        path = tmp_path / "staging.py"
        path.write_text(_INVENTORY.format(gpu=gpu, more=more))
        return str(path)

    return inventory


def _refusal(path: str) -> str:
    with pytest.raises(load.RefusedError) as refused:
        load.from_file(path)
    return str(refused.value)


@pytest.mark.parametrize("name", ["prod", "staging", "lab", "example"])
def test_every_inventory_passes_every_check(name: str) -> None:
    """The inventories of the repository load without a problem."""
    fleet = load.from_file(f"inventory/{name}.py")

    assert fleet.environment == name
    assert fleet.with_role("gpu_nodes")


def test_production_and_staging_differ_in_data_and_share_the_groups() -> None:
    """Staging halves the limits that production takes from the brief."""
    production, staging = load.from_file("inventory/prod.py"), load.from_file("inventory/staging.py")

    assert [service.memory_max for service in production["gpu-01"].services] == ["8G", "16G"]
    assert [service.memory_max for service in staging["staging-gpu-01"].services] == ["4G", "8G"]


def test_an_environments_prometheus_is_its_monitors_alone(write: Write) -> None:
    """Data of a whole environment make no machine a monitor or a gateway."""
    monitors = runpy.run_path("group_data/monitors.py")
    shorter = {**monitors["prometheus"], "retention_time": "1d"}
    more = f"gpu_nodes[0][1]['prometheus'] = {shorter!r}; monitors[0][1]['prometheus'] = {shorter!r}"
    fleet = load.from_file(write(more=more))

    assert [node.name for node in fleet.nodes if node.prometheus] == ["monitor-01"]
    assert fleet["monitor-01"].prometheus == Prometheus(**shorter)


def test_a_node_overrides_its_environment() -> None:
    """A node's own limit wins over the environment's and the role's."""
    fleet = load.from_file("inventory/prod.py")

    assert [service.memory_max for service in fleet["gpu-03"].services] == ["32G", "16G"]


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        (', "agnet": 1', "gpu-01: agnet: unknown key. Did you mean agent?"),
        (', "agent": {"port": "9090"}', "gpu-01: agent.port is '9090', not a whole number"),
        (', "agent": {"port": True}', "gpu-01: agent.port is True, not a whole number"),
        (', "agent": {}', "gpu-01: agent.port is missing"),
        (', "agent": 9090', "gpu-01: agent is 9090, not a mapping of settings"),
        (', "agent": {"port": 70000}', "gpu-01: port 70000 of agent is no port"),
        (', "agent": {"port": 9100}', "gpu-01: port 9100 belongs to agent and node_exporter"),
        (', "agent": {"port": 8188}', "gpu-01: port 8188 belongs to agent and comfyui"),
        (', "node_overrides": {"olama": {}}', "gpu-01: node_overrides.olama: unknown service"),
        (', "node_overrides": {"ollama": {"memory_mx": "1G"}}', "services.ollama.memory_mx: unknown key. Did you mean"),
        (
            ', "node_overrides": {"ollama": {"memory_max": "8 GB"}}',
            "services.ollama.memory_max is '8 GB'. Write it like 8G",
        ),
        (', "node_overrides": {"ollama": {"engine": "olama"}}', "not one of ollama, comfyui, http"),
        (', "node_overrides": {"ollama": {"model": None}}', "services.ollama.model is missing"),
        (', "node_overrides": {"ollama": {"exec_paths": "/nix"}}', "services.ollama.exec_paths is '/nix', not a list"),
        (', "node_overrides": {"comfyui": {"route": 1}}', "services.comfyui.route is 1, not a mapping"),
        (', "node_overrides": 3', "gpu-01: node_overrides is 3"),
        (', "address": "gpu.example"', "gpu-01: address 'gpu.example' is no IP address"),
        (', "address": "198.18.0.21"', "gateway-01: address 198.18.0.21 is also gpu-01's"),
        (
            ', "flake": {"url": "github:a/b", "nar_hash": "main"}',
            "gpu-01: flake.nar_hash is 'main'. Write it like `nix",
        ),
        (
            ', "node_overrides": {"ollama": {"egress": ["any\\nUser=root"]}}',
            "egress[0] is 'any\\nUser=root'. Take the line",
        ),
        (', "node_overrides": {"ollama": {"egress": ["everywhere"]}}', "services.ollama.egress holds 'everywhere'"),
        (', "node_overrides": {"ollama": {"environment": {"A\\nB": "x"}}}', "Take the line breaks"),
        (', "node_overrides": {"ollama": {"environment": {"A B": "x"}}}', "services.ollama.environment is 'A B'"),
        (', "node_overrides": {"ollama": {"memory_max": "0"}}', "services.ollama.memory_max is '0'"),
        (', "node_overrides": {"ollama": {"package": "comfyui-ipex"}}', "package comfyui-ipex belongs to ollama"),
        (', "node_overrides": {"ollama": {"gpu_classes": ["ark"]}}', "gpu_classes[0] is 'ark'"),
        (', "node_overrides": {"ollama": {"gpu_classes": ["arc"]}}', "services.ollama.gpu_classes_warned has xe-lp"),
        (', "node_overrides": {"comfyui": {"gpu_classes": []}}', "services.comfyui.gpu_classes is empty"),
        (', "node_overrides": {"ollama": {"disk_gb": -1}}', "services.ollama.disk_gb is -1"),
        (', "node_overrides": {"ollama": {"package": "nginx"}}', "package nginx belongs to this project"),
        (', "node_overrides": {"comfyui": {"snapshot": ["../ollama"]}}', "services.comfyui.snapshot is '../ollama'"),
        (', "node_overrides": {"comfyui": {"snapshot": [".."]}}', "snapshot is '..'. Write it like comfyui.db"),
        (', "node_overrides": {"comfyui": {"snapshot": [""]}}', "services.comfyui.snapshot is ''"),
        (', "node_overrides": {"ollama": {1: 2}}', "services.ollama.1: unknown key"),
        (', "services": {"ollama": None}', "services.ollama is None, not a mapping"),
        (', "services": "x"', "services is 'x', not a mapping"),
        (', "address": "127.0.0.1"', "address '127.0.0.1' is no IP address of one machine"),
        (
            ', "firewall": {"ssh_ports": [11434], "ssh_from": ["any"], "confirm_seconds": 30}',
            "gpu-01: firewall.ssh_ports holds 11434, which is ollama's",
        ),
        (', "environment": "prod"', "gpu-01: belongs to environment prod"),
    ],
)
def test_bad_data_is_refused_with_its_address_and_a_cure(write: Write, gpu: str, said: str) -> None:
    """Each mistake names the node, the key, what is wrong, and what to do."""
    assert said in _refusal(write(gpu=gpu))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("monitors = []", "staging: the group monitors is empty. Name at least one node in monitors."),
        ('gpu_nodes += [("gpu-01", {"ssh_hostname": "198.18.0.12"})]', "gpu-01: stands twice in gpu_nodes"),
        ('gpu_nodes += [("gpu 02", {"ssh_hostname": "198.18.0.12"})]', "gpu 02: name is 'gpu 02'. Write it like"),
        ('gpu_nodes += [("default", {"ssh_hostname": "198.18.0.12"})]', "the name default is a word of nginx' own"),
        ('gateways += [("g-2", {"address": "::ffff:198.18.0.21"})]', "address 198.18.0.21 is also gateway-01's"),
        ('others = [("db-01", {"ssh_hostname": "198.18.0.99"})]', "db-01: is in no group"),
    ],
)
def test_bad_groups_are_refused(write: Write, more: str, said: str) -> None:
    """Empty groups, double names and nodes without a role are refused."""
    assert said in _refusal(write(more=more))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rise", 0),
        ("fall", 0),
        ("fail_open_share", 0.0),
        ("fail_open_share", 1.5),
        ("gather_seconds", -1),
        ("warm_seconds", 0),
    ],
)
def test_a_rotation_that_makes_no_sense_is_refused(write: Write, key: str, value: float) -> None:
    """A gateway that never lets a node rise, or doubts itself at nothing, is a slip of the pen."""
    declared = runpy.run_path("group_data/gateways.py")["gateway"]
    gateway = {**declared, "rotation": {**declared["rotation"], key: value}}

    said = _refusal(
        write(more=f'gateways = [("gateway-01", {{"ssh_hostname": "198.18.0.21", "gateway": {gateway!r}}})]')
    )

    assert f"gateway-01: gateway.rotation.{key} is {value}. Write " in said


def test_all_problems_are_reported_at_once(write: Write) -> None:
    """Three mistakes on two nodes make three lines of one report."""
    gpu = ', "agnet": 1, "agent": {"port": "x"}'
    more = 'gateways = [("gateway-01", {"ssh_hostname": "198.18.0.21", "gateway": {}})]'

    said = _refusal(write(gpu=gpu, more=more))

    assert "agnet" in said
    assert "agent.port" in said
    assert "gateway-01: gateway.server_name is missing" in said


def test_what_nodes_share_is_said_once(write: Write) -> None:
    """The same mistake on two nodes is one line that names both."""
    more = 'gpu_nodes = [("gpu-0%d" % n, {"ssh_hostname": "198.18.0.1%d" % n, "agnet": 1}) for n in (1, 2)]'

    assert "gpu-01, gpu-02: agnet: unknown key" in _refusal(write(more=more))


def test_one_box_may_have_two_roles(example: Fleet) -> None:
    """Staging's edge is a gateway and a monitor."""
    edge = load.from_file("inventory/staging.py")["staging-edge-01"]

    assert edge.roles == ("gateways", "monitors")
    assert edge.gateway
    assert edge.prometheus
    assert example["gpu-01"].roles == ("gpu_nodes",)


def test_a_services_port_collides_with_the_gateways_on_one_box(write: Write) -> None:
    """A GPU node that is also a gateway must not have two owners of a port."""
    path = str(Path("group_data/gateways.py").resolve())
    more: Any = f"import runpy as _runpy\n_gateway = _runpy.run_path({path!r})['gateway']\n"
    more += 'gateways = [("gpu-01", {"gateway": {**_gateway, "port": 8188}})]'

    assert "gpu-01: port 8188 belongs to comfyui and gateway" in _refusal(write(more=more))
