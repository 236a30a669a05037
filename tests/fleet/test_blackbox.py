"""What monitors ask of the gateways' public addresses."""

import dataclasses
import json

from fleet import desired, load
from fleet.model import Fleet


def _file(fleet: Fleet, node: str, path: str) -> str:
    return next(file.content.decode() for file in desired.generation(fleet[node], fleet).files if file.path == path)


def _labels(fleet: Fleet, monitor: str) -> list[dict[str, str]]:
    targets = json.loads(_file(fleet, monitor, "/etc/prometheus/targets/blackbox.json"))
    assert {tuple(target["targets"]) for target in targets} == {("127.0.0.1:9115",)}
    return [target["labels"] for target in targets]


def test_front_page_and_every_route_are_asked(example: Fleet) -> None:
    """Each on its cheap path, under the public name; panels and alerts know it by gateway, route and service."""
    labels = _labels(example, "monitor-01")

    asked = {(one["node"], one["route"], one.get("service"), one["__param_target"]) for one in labels}
    assert asked == {
        (node, route, service, f"https://{address}:443{path}")
        for node, address in (
            ("gateway-01", "203.0.113.21"),
            ("gateway-02", "203.0.113.22"),
            ("floating", "203.0.113.20"),
        )
        for route, service, path in (
            ("/", None, "/"),
            ("/comfyui/", "comfyui", "/comfyui/system_stats"),
            ("/ollama/", "ollama", "/ollama/api/tags"),
        )
    }
    assert {one["__param_hostname"] for one in labels} == {"ai-services.local"}
    assert {one["__metrics_path__"] for one in labels} == {"/probe"}
    assert len({one["instance"] for one in labels}) == len(labels)


def test_the_prober_reaches_every_gateway_and_the_floating_address(example: Fleet) -> None:
    """And the depot, and nothing else; without a floating address, the gateways and the depot."""
    depot = "203.0.113.31"
    allowed = "IPAddressAllow=localhost 203.0.113.21 203.0.113.22"
    unit = "/etc/systemd/system/prometheus-blackbox-exporter.service"
    alone = dataclasses.replace(
        example, nodes=tuple(dataclasses.replace(node, floating=None) for node in example.nodes)
    )

    assert f"{allowed} 203.0.113.20 {depot}" in _file(example, "monitor-01", unit).splitlines()
    assert f"{allowed} {depot}" in _file(alone, "monitor-01", unit).splitlines()
    assert {one["node"] for one in _labels(alone, "monitor-01")} == {"gateway-01", "gateway-02"}


def test_prober_listens_for_its_own_prometheus_alone(example: Fleet) -> None:
    """It asks whatever it is told to: nobody else may tell it."""
    unit = _file(example, "monitor-01", "/etc/systemd/system/prometheus-blackbox-exporter.service")

    assert "--web.listen-address=127.0.0.1:9115" in unit


def test_one_box_that_is_gateway_and_monitor_asks_itself() -> None:
    """Staging's edge: nothing collides, and its own address is asked."""
    fleet = load.from_file("inventory/staging.py")

    assert {one["node"] for one in _labels(fleet, "staging-edge-01")} == {"staging-edge-01"}
    assert {port for port, _ in fleet["staging-edge-01"].ports()} >= {3903, 9113, 9115}
