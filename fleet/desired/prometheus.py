"""Prometheus on the monitors, scraping every node."""

import json
from collections.abc import Mapping, Sequence

from fleet import monitoring
from fleet.desired import blackbox, probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.machine import Blackbox, Prometheus
from fleet.model import Fleet, Node

UNIT = "prometheus.service"


def part(prometheus: Prometheus, prober: Blackbox | None, fleet: Fleet, rules: tuple[File, ...]) -> Part:
    """What makes a node a monitor."""
    gateway = next(node.gateway for node in fleet.nodes if node.gateway)
    # Under this address people see it; on its own it answers without the prefix, which gateways take off.
    address = gateway.address + monitoring.PROMETHEUS
    unit = File(
        f"/etc/systemd/system/{UNIT}", render("units/prometheus.service.j2", prometheus=prometheus, address=address)
    )
    jobs = _jobs(prober, fleet)
    configuration = File(
        "/etc/prometheus/prometheus.yml",
        render("prometheus/prometheus.yml.j2", prometheus=prometheus, environment=fleet.environment, jobs=sorted(jobs)),
    )
    # Prometheus rereads these by itself: a new node needs no reload.
    targets = tuple(File(f"/etc/prometheus/targets/{job}.json", content) for job, content in sorted(jobs.items()))
    return Part(
        packages=("prometheus",),
        files=(unit, configuration, *targets, *rules),
        units=(Unit(UNIT, inputs=(unit.path, configuration.path, *(file.path for file in rules)), on_change="reload"),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),
            # Reads the rules beside it, too.
            ("promtool", "check", "config", "{root}/etc/prometheus/prometheus.yml"),
        ),
        probes=(probes.answers(UNIT, prometheus.port, "/-/ready"),),
    )


def _jobs(prober: Blackbox | None, fleet: Fleet) -> dict[str, bytes]:
    gateways = [(node, node.gateway) for node in fleet.nodes if node.gateway]
    monitors = [(node, node.prometheus.port) for node in fleet.nodes if node.prometheus]
    alertmanagers = [(node, node.alertmanager.port) for node in fleet.nodes if node.alertmanager]
    return {
        "alertmanager": _targets(alertmanagers),
        "ipex": _targets([(node, node.agent.port) for node in fleet.nodes]),
        "node": _targets([(node, node.node_exporter.port) for node in fleet.nodes]),
        "prometheus": _targets(monitors),
        "nginx": _targets([(node, gateway.connections_port) for node, gateway in gateways]),
        "gateway": _targets([(node, gateway.log.port) for node, gateway in gateways]),
        **({"blackbox": _listed(blackbox.targets(prober, fleet))} if prober else {}),
        **({"depot": _listed(blackbox.depot_targets(prober, fleet))} if prober and fleet.depot_node else {}),
    }


def _targets(owners: list[tuple[Node, int]]) -> bytes:
    targets = [
        {"targets": [node.at(port)], "labels": {"node": node.name, "roles": ",".join(node.roles)}}
        for node, port in owners
    ]
    return _listed(targets)


def _listed(targets: Sequence[Mapping[str, object]]) -> bytes:
    return (json.dumps(targets, indent=2) + "\n").encode()
