"""The program on the box, its settings, and its agent."""

import dataclasses
import json
from typing import Any

from fleet import fitness, models, turns
from fleet.desired import backup, cleanup, gateway, gateway_access, optimizer, probes, program
from fleet.desired import floating as keepalived
from fleet.desired.render import render
from fleet.floating import PROMISED_SECONDS, Floating
from fleet.generation import File, Part, Unit
from fleet.metrics import METRICS
from fleet.model import Fleet, Gateway, Node, Service

UNIT = "ipex-agent.service"
RECOVER = "ipex-recover.service"
SETTINGS = "/etc/ipex/node.json"
_EVERYWHERE = {"status"}
"""Sources of metrics that a node has whatever it does."""


def part(node: Node, fleet: Fleet) -> Part:
    """What makes a machine a node of the fleet."""
    unit, recover = f"/etc/systemd/system/{UNIT}", f"/etc/systemd/system/{RECOVER}"
    addresses = fleet.addresses("gateways", "monitors")
    if node.gateway and fleet.floating:
        # A gateway that asks the floating address and holds it itself asks from there.
        addresses = (*addresses, fleet.floating.address)
    return Part(
        packages=("python3",),
        files=(
            File(program.PATH, program.ipex_node(), mode="0755"),
            File(SETTINGS, _settings(node, fleet)),
            File(unit, render("units/ipex-agent.service.j2", port=node.agent.port, addresses=addresses)),
            File(recover, render("units/ipex-recover.service.j2", program=program.PATH)),
        ),
        units=(Unit(UNIT, inputs=(program.PATH, SETTINGS, unit)), Unit(RECOVER, inputs=(recover,))),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{recover}"),),
        probes=(probes.answers(UNIT, node.agent.port, "/healthz"),),
    )


def _settings(node: Node, fleet: Fleet) -> bytes:
    settings = {
        "node": node.name,
        "environment": fleet.environment,
        "revision": node.release.version if node.release else None,
        "roles": list(node.roles),
        "agent": {"port": node.agent.port},
        "sampling": {
            "gpu_seconds": node.metrics.gpu_seconds,
            "traffic_seconds": node.metrics.traffic_seconds,
            "duration_buckets": list(node.metrics.duration_buckets),
        },
        "sources": _sources(node),
        "paths": {"sysfs": node.paths.sysfs, "procfs": node.paths.procfs},
        "health": _health(node) if node.is_gpu else None,
        "fitness": dataclasses.asdict(fitness.needs(node)),
        "gateways": {one.name: one.address for one in fleet.with_role("gateways")},
        "floating": _floating(node, fleet.floating, fleet) if fleet.floating and node.gateway else None,
        "services": [_service(service) for service in node.services],
        "optimizer": optimizer.settings(node),
        "cleanup": cleanup.settings(node, node.cleanup) if node.cleanup else None,
        "backup": backup.settings(node, node.backup) if node.backup else None,
        "metrics": {metric.name: {"kind": metric.kind, "help": metric.help} for metric in METRICS},
        "updates": _updates(node, fleet),
        "turns": _turns(node, fleet),
        "verify": _verify(node.gateway, fleet) if node.gateway else None,
    }
    return (json.dumps(settings, indent=2, sort_keys=True) + "\n").encode()


def _floating(node: Node, floating: Floating, fleet: Fleet) -> dict[str, Any]:
    peers = {one.name: {"address": one.address, "port": one.agent.port} for one in fleet.with_role("gateways")}
    return {
        "address": floating.address,
        "peers": {name: peer for name, peer in peers.items() if name != node.name},
        "units": [gateway.UNIT, keepalived.UNIT],
        "takeover_seconds": PROMISED_SECONDS,
    }


def _health(node: Node) -> dict[str, Any]:
    """How the health monitor judges; when it runs, and when gateways doubt it, others are told."""
    others = {"calendar", "spread_seconds", "circuit_share", "circuit_nodes"}
    told = {key: value for key, value in dataclasses.asdict(node.health).items() if key not in others}
    return {**told, "kernel_log": node.paths.kernel_log}


def _sources(node: Node) -> dict[str, int]:
    """What leaves numbers on this node, and how long each may be silent."""
    silent = node.metrics.silent_seconds
    return {source: seconds for source, seconds in silent.items() if node.is_gpu or source in _EVERYWHERE}


def _updates(node: Node, fleet: Fleet) -> dict[str, Any] | None:
    """How it brings itself up to date."""
    own, giver = node.updates, turns.giver(fleet)
    if not own or not own.enable or not giver:
        return None
    return {
        "windows": [dataclasses.asdict(window) for window in own.windows],
        "blackouts": [dataclasses.asdict(blackout) for blackout in own.blackouts],
        "reserve_seconds": own.reserve_seconds,
        "ask_seconds": own.ask_seconds,
        "semaphore": {"address": giver.address, "port": own.port},
    }


def _turns(node: Node, fleet: Fleet) -> dict[str, Any] | None:
    """How it gives turns."""
    if not node.gives_turns or not node.updates:
        return None
    nodes = {one.name: one.address for one in fleet.nodes}
    return {"port": node.updates.port, "lease_seconds": node.updates.lease_seconds, "nodes": nodes}


def _service(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "unit": service.unit,
        "engine": service.engine,
        "port": service.port,
        "health_path": service.health_path,
        "model": service.model,
        "models": list(models.declared(service)),
        "drain_seconds": service.drain_seconds,
        "profile": service.profile,
        "snapshot": list(service.snapshot),
    }


def _verify(settings: Gateway, fleet: Fleet) -> dict[str, Any]:
    routes = [
        {"service": service.name, "engine": service.engine, "path": service.route.path, "model": service.model}
        for service in fleet.services()
    ]
    return {
        "base_url": f"https://127.0.0.1:{settings.tls.port}",
        "host": settings.server_name,
        "authority": gateway_access.trusted(settings),
        "key": gateway_access.PROBE_KEY,
        "routes": routes,
    }
