"""nginx in front of the GPU nodes, and the program that keeps its upstreams."""

import dataclasses
import json
from typing import Any

from fleet import models
from fleet.desired import (
    acme,
    front_page,
    gateway_access,
    gateway_log,
    gateway_metrics,
    gateway_models,
    probes,
    program,
)
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Gateway, Node

UNIT = "nginx.service"
ROTATION_UNIT = "ipex-gateway.service"
SETTINGS = "/etc/ipex/gateway.json"

QUESTION = "/ipex-upstreams"
"""What nginx answers to this machine alone: which upstreams it has loaded."""

PID = "/run/nginx/nginx.pid"
"""Written by nginx when it takes signals."""
_RUN = "/run/ipex-gateway"
_PLACES = {
    "declared": "/etc/nginx/ipex/upstreams.conf",
    "live": "/var/lib/ipex-gateway/upstreams.conf",
    "check": "/etc/nginx/ipex/check.conf",
    "candidate": f"{_RUN}/upstreams.conf",
    "state": f"{_RUN}/state.json",
    "fleet": f"{_RUN}/fleet.json",
    "pid": PID,
}
# What of an engine's API begins work, behind POST and the route's path; for other engines every POST does.
# Source: ComfyUI's server.py, which serves each route with and without /api.
_BEGINS_WORK = {"comfyui": r"(api/)?(prompt|upload/(image|mask))(\?|$)"}
# What an engine's web interface may load and do: it evaluates code and makes workers of blobs, but asks no other server
# for anything, and is shown in nobody else's frame.
_PAGES = {
    "comfyui": {
        "Content-Security-Policy": (
            "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
            "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
            "font-src 'self' data:; connect-src 'self' blob: data:; object-src 'none'; base-uri 'self'; "
            "form-action 'self'; frame-ancestors 'self'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    },
}


def part(node: Node, gateway: Gateway, fleet: Fleet) -> Part:
    """What makes a node a gateway."""
    unit = File(
        f"/etc/systemd/system/{UNIT}",
        render("units/nginx.service.j2", gateway=gateway, pid=PID, gateway_unit=ROTATION_UNIT),
    )
    upstreams = _upstreams(fleet)
    configuration = (*_configuration(node, gateway, fleet), *gateway_access.files(node, gateway, fleet))
    # The program's from then on: nginx starts with every node in where that program has not run yet.
    live = File(_PLACES["live"], upstreams.content, owner="www-data", group="www-data", seed=True)
    rotation = _rotation(node.name, gateway, fleet)
    # Without its unit file: only a restart would bring that into force, and this one serves. The next start does.
    inputs = (upstreams.path, *(file.path for file in configuration))
    return Part(
        packages=("nginx", "logrotate"),
        files=(
            unit,
            upstreams,
            live,
            *configuration,
            *gateway_log.keeping(gateway, UNIT),
            *rotation,
            *front_page.files(gateway, fleet),
        ),
        units=(
            # First, so that nginx reads upstreams that are right already.
            Unit(ROTATION_UNIT, inputs=(program.PATH, upstreams.path, *(file.path for file in rotation))),
            Unit(UNIT, inputs=inputs, on_change="reload"),
        ),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),
            ("systemd-analyze", "verify", "--man=no", f"{{root}}/etc/systemd/system/{ROTATION_UNIT}"),
            # Asked as root, nginx hands its temporary directories to the user it is told here.
            ("nginx", "-t", "-q", "-g", "user www-data;", "-c", "{root}/etc/nginx/nginx.conf"),
        ),
        probes=(probes.answers(UNIT, gateway.port, QUESTION),),
    )


def _configuration(node: Node, gateway: Gateway, fleet: Fleet) -> tuple[File, ...]:
    server = render(
        "nginx/server.conf.j2",
        gateway=gateway,
        question=QUESTION,
        connections=gateway_metrics.CONNECTIONS,
        page=front_page.places(_PLACES["fleet"]),
        **gateway_access.server_settings(gateway, fleet),
        models=gateway_models.upstreams(fleet),
        reading=gateway_models.READING,
        pages=_PAGES,
        acme=acme.challenge(node, gateway, fleet),
    )
    return (
        File(
            "/etc/nginx/nginx.conf",
            render("nginx/nginx.conf.j2", gateway=gateway, live=_PLACES["live"], error_log=gateway_log.ERRORS),
        ),
        gateway_log.log_format(gateway, fleet),
        gateway_models.reading(fleet),
        File("/etc/nginx/ipex/server.conf", server),
    )


def _upstreams(fleet: Fleet) -> File:
    content = render(
        "nginx/upstreams.conf.j2",
        nodes=fleet.with_role("gpu_nodes"),
        services=[(service, fleet.backends(service.name)) for service in fleet.services()],
        begins=_BEGINS_WORK,
        models=gateway_models.upstreams(fleet),
        live=_PLACES["live"],
    )
    return File(_PLACES["declared"], content)


def _rotation(name: str, gateway: Gateway, fleet: Fleet) -> tuple[File, ...]:
    unit = render(f"units/{ROTATION_UNIT}.j2", addresses=fleet.addresses("gpu_nodes", "monitors"))
    check = render("nginx/check.conf.j2", directory=_RUN, candidate=_PLACES["candidate"])
    return (
        File(f"/etc/systemd/system/{ROTATION_UNIT}", unit),
        File(_PLACES["check"], check),
        File(SETTINGS, _settings(name, gateway, fleet)),
    )


def _settings(name: str, gateway: Gateway, fleet: Fleet) -> bytes:
    settings = {
        "gateway": name,
        "port": gateway.port,
        "question": QUESTION,
        "paths": _PLACES,
        "models": _models(fleet),
        "rotation": dataclasses.asdict(gateway.rotation),
        "circuit": {"share": fleet[name].health.circuit_share, "nodes": fleet[name].health.circuit_nodes},
        "front_page": front_page.settings(gateway.front_page, fleet),
        "nodes": {node.name: _backend(node) for node in fleet.with_role("gpu_nodes")},
    }
    return (json.dumps(settings, indent=2) + "\n").encode()


def _models(fleet: Fleet) -> dict[str, Any]:
    routed = {service.name: models.routed(fleet, service.name) for service in fleet.services()}
    return {
        service: {model: [node.name for node in nodes] for model, nodes in found.items()}
        for service, found in routed.items()
        if found
    }


def _backend(node: Node) -> dict[str, Any]:
    return {
        "address": node.address,
        "port": node.agent.port,
        "services": [service.name for service in node.services],
    }
