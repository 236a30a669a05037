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

    assert [(one["node"], one["route"], one.get("service"), one["__param_target"]) for one in labels] == [
        ("gateway-01", "/", None, "https://203.0.113.21:443/"),
        ("gateway-01", "/comfyui/", "comfyui", "https://203.0.113.21:443/comfyui/system_stats"),
        ("gateway-01", "/ollama/", "ollama", "https://203.0.113.21:443/ollama/api/tags"),
    ]
    assert {one["__param_hostname"] for one in labels} == {"ai-services.local"}
    assert {one["__metrics_path__"] for one in labels} == {"/probe"}
    assert len({one["instance"] for one in labels}) == len(labels)


def test_every_monitor_asks_every_gateway(example: Fleet) -> None:
    """A second gateway is asked from the next deploy on."""
    second = dataclasses.replace(example["gateway-01"], name="gateway-02", address="203.0.113.22")
    fleet = dataclasses.replace(example, nodes=(*example.nodes, second))

    assert {one["node"] for one in _labels(fleet, "monitor-01")} == {"gateway-01", "gateway-02"}
    unit = _file(fleet, "monitor-01", "/etc/systemd/system/prometheus-blackbox-exporter.service")
    assert "IPAddressAllow=localhost 203.0.113.21 203.0.113.22" in unit.splitlines()


def test_prober_listens_for_its_own_prometheus_alone(example: Fleet) -> None:
    """It asks whatever it is told to: nobody else may tell it."""
    unit = _file(example, "monitor-01", "/etc/systemd/system/prometheus-blackbox-exporter.service")

    assert "--web.listen-address=127.0.0.1:9115" in unit


def test_one_box_that_is_gateway_and_monitor_asks_itself() -> None:
    """Staging's edge: nothing collides, and its own address is asked."""
    fleet = load.from_file("inventory/staging.py")

    assert {one["node"] for one in _labels(fleet, "staging-edge-01")} == {"staging-edge-01"}
    assert {port for port, _ in fleet["staging-edge-01"].ports()} >= {3903, 9113, 9115}
