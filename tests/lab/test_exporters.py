"""What others' exporters really show on deployed nodes, against the list that rules are checked by."""

import json

import pytest

from fleet import load
from fleet.model import Fleet
from tests.lab_fleet import INVENTORY, Lab
from tests.rules.exporters import EXPORTERS

pytestmark = pytest.mark.lab

# Shown by Prometheus itself, or only where an address is TLS.
_ELSEWHERE = {"every", "blackbox"}
# systemd-nspawn lets nobody in a node ask the kernel how well its clock is kept (adjtimex(2)).
_NOT_IN_A_CONTAINER = {"node_timex_maxerror_seconds", "node_timex_offset_seconds", "node_timex_sync_status"}


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """The lab's fleet, for its ports."""
    return load.from_file(str(INVENTORY))


def _asked(fleet: Fleet) -> dict[str, tuple[str, int]]:
    """A node and a port for each job."""
    gpu, gateway, monitor = (fleet.with_role(role)[0] for role in ("gpu_nodes", "gateways", "monitors"))
    assert gateway.gateway
    assert monitor.prometheus
    assert monitor.alertmanager
    return {
        "node": (gpu.name, gpu.node_exporter.port),
        "nginx": (gateway.name, gateway.gateway.connections_port),
        "gateway": (gateway.name, gateway.gateway.log.port),
        "prometheus": (monitor.name, monitor.prometheus.port),
        "alertmanager": (monitor.name, monitor.alertmanager.port),
    }


def test_every_job_is_asked(fleet: Fleet) -> None:
    """The list names no job that this file forgets."""
    assert set(_asked(fleet)) == set(EXPORTERS) - _ELSEWHERE


@pytest.mark.parametrize("job", sorted(set(EXPORTERS) - _ELSEWHERE))
def test_an_exporter_shows_what_rules_ask_of_it(lab: Lab, fleet: Fleet, job: str) -> None:
    """Each family of the list has a series on its page."""
    node, port = _asked(fleet)[job]

    page = lab.output(node, f"curl -sf http://localhost:{port}/metrics")

    shown = {line.partition("{")[0].partition(" ")[0] for line in page.splitlines() if not line.startswith("#")}
    assert EXPORTERS[job] - shown - _NOT_IN_A_CONTAINER == set()


def test_prometheus_evaluates_every_rule(lab: Lab, fleet: Fleet) -> None:
    """Its own word on each rule's health is `ok`, and the group of alerts is there."""
    monitor = fleet.with_role("monitors")[0]
    assert monitor.prometheus
    base = f"http://localhost:{monitor.prometheus.port}/api/v1"

    groups = json.loads(lab.output(monitor.name, f"curl -sf {base}/rules"))["data"]["groups"]

    health = [rule["health"] for group in groups for rule in group["rules"]]
    assert len(health) > 50
    assert "err" not in health
