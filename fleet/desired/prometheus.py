"""Prometheus on the monitors, scraping every node."""

import json

from fleet.desired import probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Node, Prometheus

UNIT = "prometheus.service"


def part(prometheus: Prometheus, fleet: Fleet) -> Part:
    """What makes a node a monitor."""
    unit = File(f"/etc/systemd/system/{UNIT}", render("units/prometheus.service.j2", prometheus=prometheus))
    jobs = _jobs(fleet)
    configuration = File(
        "/etc/prometheus/prometheus.yml",
        render("prometheus/prometheus.yml.j2", prometheus=prometheus, environment=fleet.environment, jobs=sorted(jobs)),
    )
    # Prometheus rereads these by itself: a new node needs no reload.
    targets = tuple(File(f"/etc/prometheus/targets/{job}.json", content) for job, content in sorted(jobs.items()))
    return Part(
        packages=("prometheus",),
        files=(unit, configuration, *targets),
        units=(Unit(UNIT, inputs=(unit.path, configuration.path), on_change="reload"),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),
            ("promtool", "check", "config", "{root}/etc/prometheus/prometheus.yml"),
        ),
        probes=(probes.answers(UNIT, prometheus.port, "/-/ready"),),
    )


def _jobs(fleet: Fleet) -> dict[str, bytes]:
    monitors = [(node, node.prometheus.port) for node in fleet.nodes if node.prometheus]
    return {
        "ipex": _targets([(node, node.agent.port) for node in fleet.nodes]),
        "node": _targets([(node, node.node_exporter.port) for node in fleet.nodes]),
        "prometheus": _targets(monitors),
    }


def _targets(owners: list[tuple[Node, int]]) -> bytes:
    targets = [
        {"targets": [node.at(port)], "labels": {"node": node.name, "roles": ",".join(node.roles)}}
        for node, port in owners
    ]
    return (json.dumps(targets, indent=2) + "\n").encode()
