"""Debian's blackbox_exporter on monitors: asks every gateway as a user would, and the depot."""

from fleet.desired import acme, depot, gateway_access, probes
from fleet.desired.render import render
from fleet.gateways import FLOATING
from fleet.generation import File, Part, Unit, secret
from fleet.machine import Blackbox
from fleet.model import Fleet, Gateway
from fleet.secrets import Secret

UNIT = "prometheus-blackbox-exporter.service"
_CONFIGURATION = "/etc/prometheus/blackbox.yml"
_AUTHORITY = "/etc/prometheus/gateway.pem"
_KEY = "/etc/prometheus/gateway.key"
_PROBER = "prometheus"


def part(blackbox: Blackbox, fleet: Fleet) -> Part:
    """What makes the public addresses' answers visible."""
    path = f"/etc/systemd/system/{UNIT}"
    addresses = (*fleet.addresses("gateways"), *([fleet.floating.address] if fleet.floating else []))
    if fleet.depot_node and fleet.depot_node.address not in addresses:
        addresses = (*addresses, fleet.depot_node.address)
    unit = render(f"units/{UNIT}.j2", port=blackbox.port, addresses=addresses, path=_CONFIGURATION)
    trusted = _trusted(fleet)
    configuration = render("blackbox/blackbox.yml.j2", authority=_AUTHORITY if trusted else "", key=_KEY)
    return Part(
        packages=("prometheus-blackbox-exporter",),
        files=(
            File(path, unit),
            File(_CONFIGURATION, configuration),
            *([secret(_AUTHORITY, trusted, _PROBER)] if trusted else []),
            secret(_KEY, gateway_access.probe_key(fleet), _PROBER),
        ),
        # Read with every question.
        units=(Unit(UNIT, inputs=(path, _CONFIGURATION)),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),
            ("prometheus-blackbox-exporter", "--config.check", f"--config.file={{root}}{_CONFIGURATION}"),
        ),
        probes=(probes.answers(UNIT, blackbox.port, "/-/healthy"),),
    )


def _trusted(fleet: Fleet) -> Secret | None:
    """The certificate that gateways show, and those behind it; none where the system's authorities are right."""
    if any(node.gateway and node.gateway.tls.acme for node in fleet.nodes):
        return acme.authority(fleet)
    return gateway_access.certificate(fleet)


def targets(blackbox: Blackbox, fleet: Fleet) -> list[dict[str, object]]:
    """What is asked, as Prometheus' targets: the front page and one cheap path of each route.

    On every gateway, and on the floating address, which stands there as a node of its own.

    Labels that begin with two underscores tell Prometheus how to ask (prometheus/docs configuration, relabel_config),
    so that its own configuration need not know any of this.
    """
    paths: list[tuple[str, str, dict[str, str]]] = [("/", "/", {})]
    paths += [
        (service.route.path, f"{service.route.path}{service.health_path[1:]}", {"service": service.name})
        for service in fleet.services()
    ]
    gateways = [node for node in fleet.nodes if node.gateway]
    asked = [
        (node.gateway, node.at(node.gateway.tls.port), {"node": node.name, "roles": ",".join(node.roles)})
        for node in gateways
        if node.gateway
    ]
    if fleet.floating and gateways and gateways[0].gateway:
        gateway = gateways[0].gateway
        asked.append((gateway, fleet.floating.at(gateway.tls.port), {"node": FLOATING, "roles": "gateways"}))
    return [
        _target(blackbox, gateway, f"https://{at}{path}", {**who, "route": route, **labels})
        for gateway, at, who in asked
        for route, path, labels in paths
    ]


def depot_targets(blackbox: Blackbox, fleet: Fleet) -> list[dict[str, object]]:
    """The same of the depot, which shows no secret and is asked for none."""
    server = fleet.depot_node
    if not server or not server.depot:
        return []
    url = f"http://{server.at(server.depot.port)}{depot.HEALTH}"
    return [_asked(blackbox, "depot", {"target": url}, {"node": server.name, "roles": ",".join(server.roles)})]


def _target(blackbox: Blackbox, gateway: Gateway, url: str, labels: dict[str, str]) -> dict[str, object]:
    return _asked(blackbox, "http_2xx", {"target": url, "hostname": gateway.server_name}, labels)


def _asked(blackbox: Blackbox, module: str, what: dict[str, str], labels: dict[str, str]) -> dict[str, object]:
    asked = {"module": module, **what}
    how = {"__metrics_path__": "/probe", **{f"__param_{key}": value for key, value in asked.items()}}
    told = {"instance": what["target"], **labels}
    return {"targets": [f"127.0.0.1:{blackbox.port}"], "labels": {**how, **told}}
