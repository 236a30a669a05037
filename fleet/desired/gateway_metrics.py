"""Two daemons that make numbers of a gateway: mtail of nginx' logs, nginx' exporter of its connections."""

from fleet.desired import gateway_log, probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.machine import Metrics
from fleet.model import Fleet, Gateway

LOG_UNIT = "mtail.service"
CONNECTIONS_UNIT = "prometheus-nginx-exporter.service"
CONNECTIONS = "/ipex-connections"
"""Where nginx tells its connections to this machine alone."""

_PROGRAM = "/etc/mtail/ipex-gateway.mtail"


def part(gateway: Gateway, metrics: Metrics, fleet: Fleet) -> Part:
    """What counts a gateway's requests and connections."""
    program, counting, connections = _program(metrics, fleet), _counting(gateway, fleet), _connections(gateway, fleet)
    return Part(
        packages=("mtail", "prometheus-nginx-exporter"),
        files=(program, counting, connections),
        units=(
            Unit(LOG_UNIT, inputs=(counting.path, program.path)),
            Unit(CONNECTIONS_UNIT, inputs=(connections.path,)),
        ),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{counting.path}", f"{{root}}{connections.path}"),
            # It listens even to compile: on any free port, for its own may be in use.
            ("mtail", "--logtostderr", "--port", "0", "--compile_only", "--progs", f"{{root}}{program.path}"),
        ),
        probes=(
            probes.answers(LOG_UNIT, gateway.log.port, "/metrics"),
            probes.answers(CONNECTIONS_UNIT, gateway.connections_port, "/metrics"),
        ),
    )


def _program(metrics: Metrics, fleet: Fleet) -> File:
    content = render(
        "mtail/gateway.mtail.j2",
        services=fleet.services(),
        own=gateway_log.fleets_own(fleet),
        buckets=metrics.duration_buckets,
    )
    return File(_PROGRAM, content)


def _counting(gateway: Gateway, fleet: Fleet) -> File:
    content = render(
        f"units/{LOG_UNIT}.j2",
        port=gateway.log.port,
        program=_PROGRAM,
        directory=gateway_log.DIRECTORY,
        logs=(gateway_log.ACCESS, gateway_log.ERRORS),
        addresses=fleet.addresses("monitors"),
    )
    return File(f"/etc/systemd/system/{LOG_UNIT}", content)


def _connections(gateway: Gateway, fleet: Fleet) -> File:
    content = render(
        f"units/{CONNECTIONS_UNIT}.j2",
        port=gateway.connections_port,
        question=f"http://127.0.0.1:{gateway.port}{CONNECTIONS}",
        addresses=fleet.addresses("monitors"),
    )
    return File(f"/etc/systemd/system/{CONNECTIONS_UNIT}", content)
