"""What gateways and monitors are told."""

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet.metrics import METRICS
from ipex_node import exposition, gpu
from ipex_node.agent import Agent, Server
from ipex_node.failure import FailedError
from ipex_node.gpu import Sample
from ipex_node.readiness import Readiness
from ipex_node.settings import Service, Settings
from tests.ipex_node.fake_node import FakeNode

ROWS = {metric.name: {"kind": metric.kind, "help": metric.help} for metric in METRICS}
OLLAMA = Service("ollama", 11434, "/api/tags")
COMFYUI = Service("comfyui", 8188, "/system_stats")
I915 = {
    "device/vendor": "0x8086",
    "device/uevent": "DRIVER=i915\nPCI_ID=8086:56A0\nPCI_SLOT_NAME=0000:03:00.0",
    "device/hwmon/hwmon4/name": "i915",
    "device/hwmon/hwmon4/energy1_input": "81234567890",
    "device/hwmon/hwmon4/temp1_input": "52000",
    "device/hwmon/hwmon4/fan1_input": "1180",
    "device/hwmon/hwmon5/name": "i915_gt0",
    "device/hwmon/hwmon5/energy1_input": "5000000",
    "gt/gt0/rps_act_freq_mhz": "1200",
    "gt/gt0/rc6_residency_ms": "8412",
    "gt/gt0/throttle_reason_status": "1",
    "gt/gt0/throttle_reason_thermal": "1",
}
XE = {
    "device/vendor": "0x8086",
    "device/uevent": "DRIVER=xe\nPCI_ID=8086:E20B\nPCI_SLOT_NAME=0000:03:00.0",
    "device/hwmon/hwmon2/name": "xe",
    "device/hwmon/hwmon2/energy2_input": "41000000",
    "device/hwmon/hwmon2/energy2_label": "pkg",
    "device/hwmon/hwmon2/temp3_input": "54000",
    "device/hwmon/hwmon2/temp3_label": "vram",
    "device/tile0/gt1/freq0/act_freq": "1450",
    "device/tile0/gt1/gtidle/idle_residency_ms": "7204",
    "device/tile0/gt1/freq0/throttle/reasons": "pl1 thermal",
    "device/tile0/gt1/freq0/throttle/reason_pl1": "0",
    "device/tile0/gt1/freq0/throttle/reason_prochot": "0",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    """Write a card's files and return the root of its sysfs."""
    for name, content in files.items():
        path = root / "class/drm/card0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def read(sysfs: Path) -> dict[tuple[str, ...], float]:
    """Return samples by family and their labels but for the card's."""
    return {
        (one.family, *(value for name, value in one.labels.items() if name != "gpu")): one.value
        for one in gpu.samples(sysfs)
    }


def test_i915_card(tmp_path: Path) -> None:
    """Energy, temperature, fan, clock, sleep and throttling of a card on i915, in base units."""
    assert read(tree(tmp_path, I915)) == pytest.approx(
        {
            ("ipex_gpu_info", "8086:56a0", "0000:03:00.0", "i915"): 1,
            ("ipex_gpu_energy_joules_total", "card"): 81234.56789,
            ("ipex_gpu_energy_joules_total", "gt0"): 5,
            ("ipex_gpu_temperature_celsius", "pkg"): 52,
            ("ipex_gpu_fan_rpm", "fan1"): 1180,
            ("ipex_gpu_frequency_hertz", "gt0"): 1.2e9,
            ("ipex_gpu_idle_seconds_total", "gt0"): 8.412,
            ("ipex_gpu_throttled", "gt0", "thermal"): 1,
        }
    )


def test_xe_card(tmp_path: Path) -> None:
    """The xe driver's labels name its sensors, and its `reasons` are believed before the single files."""
    assert read(tree(tmp_path, XE)) == pytest.approx(
        {
            ("ipex_gpu_info", "8086:e20b", "0000:03:00.0", "xe"): 1,
            ("ipex_gpu_energy_joules_total", "pkg"): 41,
            ("ipex_gpu_temperature_celsius", "vram"): 54,
            ("ipex_gpu_frequency_hertz", "gt1"): 1.45e9,
            ("ipex_gpu_idle_seconds_total", "gt1"): 7.204,
            ("ipex_gpu_throttled", "gt1", "pl1"): 1,
            ("ipex_gpu_throttled", "gt1", "prochot"): 0,
        }
    )


@pytest.mark.parametrize("change", [{"device/vendor": "0x1002"}, {"device/hwmon/hwmon4/temp1_input": ""}])
def test_what_is_not_there_is_absent(tmp_path: Path, change: dict[str, str]) -> None:
    """Another maker's card, or a sensor that says nothing, yields no 0."""
    families = [family for family, *_ in read(tree(tmp_path, I915 | change))]
    assert "ipex_gpu_temperature_celsius" not in families


def test_family_without_a_row_is_refused() -> None:
    """The agent exports nothing that the one table of metrics does not know."""
    with pytest.raises(FailedError, match=r"ipex_new: has no row .*fleet/metrics.py"):
        exposition.text([Sample("ipex_new", {}, 1)], ROWS)


def test_label_values_are_quoted() -> None:
    """Quotes, backslashes and line ends in a label do not break the exposition."""
    text = exposition.text([Sample("x", {"a": 'q"\\\n'}, 0.5)], {"x": {"kind": "gauge", "help": "h"}})
    assert text == '# HELP x h\n# TYPE x gauge\nx{a="q\\"\\\\\\n"} 0.5\n'


def test_every_row_is_well_named() -> None:
    """Counters end in _total, nothing else does, and names are unique."""
    assert all((metric.kind == "counter") == metric.name.endswith("_total") for metric in METRICS)
    assert len(ROWS) == len(METRICS)


@pytest.mark.parametrize("flag", ["drain", "activating"])
def test_flag_takes_the_node_out_of_rotation(node: FakeNode, flag: str) -> None:
    """While it drains or activates, a node whose services answer is not ready."""
    paths = node.world.paths
    readiness = Readiness(paths, (OLLAMA,), lambda _: True)
    assert readiness.answer()["ready"]
    paths.run.mkdir()
    (paths.run / flag).touch()
    assert readiness.answer() == {
        "ready": False,
        "reason": {"drain": "draining"}.get(flag, flag),
        "generation": None,
        "services": {"ollama": True},
        "in_flight": {"ollama": 0},
        "gateways": {},
    }


@pytest.mark.parametrize(("up", "ready"), [({"ollama"}, True), (set(), False)])
def test_silent_service_leaves_the_others_in_rotation(node: FakeNode, up: set[str], ready: bool) -> None:
    """The reason names what does not answer; the node is ready while anything does."""
    answer = Readiness(node.world.paths, (OLLAMA, COMFYUI), lambda one: one.name in up).answer()
    assert (answer["ready"], "no answer from" in answer["reason"]) == (ready, True)
    assert answer["services"] == {"ollama": ready, "comfyui": False}


def test_answers_are_kept_for_a_second(node: FakeNode) -> None:
    """However many ask, the service is asked once."""
    asked: list[str] = []

    def ask(service: Service) -> bool:
        asked.append(service.name)
        return True

    readiness = Readiness(node.world.paths, (OLLAMA, COMFYUI), ask)
    readiness.services()
    readiness.services()
    assert sorted(asked) == ["comfyui", "ollama"]


@pytest.fixture
def port(node: FakeNode, tmp_path: Path) -> Iterator[int]:
    """A running agent of a node with an A770 and a service that is down."""
    down = replace(OLLAMA, port=1)
    settings = Settings("gpu-01", "lab", sysfs=tree(tmp_path / "sys", I915), services=(down,), metrics=ROWS)
    server = Server(("127.0.0.1", 0), Agent(node.world, settings))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(port: int, path: str) -> tuple[int, Any]:
    """Ask the agent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_agent_answers(port: int) -> None:
    """/metrics, /ready, /healthz, and 404 for the rest."""
    status, text = ask(port, "/metrics")
    assert status == 200
    assert 'ipex_node_info{node="gpu-01",environment="lab",generation=""} 1\n' in text
    assert 'ipex_service_up{service="ollama"} 0\n' in text
    assert 'ipex_gpu_temperature_celsius{gpu="card0",sensor="pkg"} 52\n' in text
    status, text = ask(port, "/ready")
    assert (status, json.loads(text)["services"]) == (503, {"ollama": False})
    assert [ask(port, path)[0] for path in ("/healthz", "/elsewhere")] == [200, 404]
