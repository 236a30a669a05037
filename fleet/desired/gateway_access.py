"""Who may ask the gateway for what: its certificate, its clients' credentials, the allow-list, the limits."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fleet import access, endpoints, monitoring, tls
from fleet.desired import acme
from fleet.desired.render import render
from fleet.endpoints import Endpoint
from fleet.generation import File, secret
from fleet.model import Fleet, Gateway, Node, Service
from fleet.secrets import KEY, Key, Secret, hashed

PROBE_KEY = "/etc/ipex/probe.key"
"""The key of the fleet's own client, on the gateways."""

_NGINX = "www-data"
_ROOT = "/etc/nginx/"
_CERTIFICATE = "/etc/nginx/ipex/tls/certificate.pem"
_CERTIFICATE_KEY = "/etc/nginx/ipex/tls/key.pem"
_CLIENT_CA = "/etc/nginx/ipex/tls/client-ca.pem"
_OF_CLIENTS = "tls.client_ca"
"""May be missing: then nobody has a certificate."""
_KEYS = "/etc/nginx/ipex/keys.conf"
_PEOPLE = "/etc/nginx/ipex/people"
_METHODS = ("GET", "HEAD")


@dataclass(frozen=True)
class Monitoring:
    """A program of the monitors' that is looked at through the gateways.

    Attributes:
        name: what people call it.
        path: where it is on a gateway.
        servers: where it is on the monitors, each with its port.
        endpoints: what it may be asked.
        cookies: whether it is sent those of its users: it has a login of its own.
    """

    name: str
    path: str
    servers: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    cookies: bool = False

    @property
    def upstream(self) -> str:
        """The name of its nginx upstream."""
        return f"ipex-{self.name.lower()}"

    @property
    def variable(self) -> str:
        """Its name as part of an nginx variable."""
        return f"ipex_{self.name.lower()}"


def files(node: Node, gateway: Gateway, fleet: Fleet) -> tuple[File, ...]:
    """All that decides who is let in, as nginx reads it; a change of any is a reload."""
    clients = node.access.known()
    monitors = monitoring_of(fleet)
    services = fleet.services()
    judged = render(
        "nginx/access.conf.j2",
        clients=clients,
        own=access.OWN,
        certificates=fleet.secrets.has(_OF_CLIENTS),
        server_name=gateway.server_name,
        address=gateway.address,
        allowed=list(_allowed(services, monitors)),
        routes=[(one.route.path, one.variable) for one in services] + [(one.path, one.variable) for one in monitors],
        guarded=guarded(services),
    )
    shown = render(
        "nginx/tls.conf.j2",
        protocols=tls.PROTOCOLS,
        ciphers=tls.CIPHERS,
        certificate=acme.SHOWN if gateway.tls.acme else _CERTIFICATE.removeprefix(_ROOT),
        key=acme.SHOWN if gateway.tls.acme else _CERTIFICATE_KEY.removeprefix(_ROOT),
    )
    return (
        File("/etc/nginx/ipex/access.conf", judged),
        File("/etc/nginx/ipex/tls.conf", shown),
        File("/etc/nginx/ipex/limits.conf", render("nginx/limits.conf.j2", clients=clients, limits=gateway.limits)),
        *_secrets(node, gateway, fleet),
    )


def _secrets(node: Node, gateway: Gateway, fleet: Fleet) -> Iterator[File]:
    secrets, keys, people = fleet.secrets, list[tuple[str, Key]](), ""
    for client in node.access.clients.values():
        proofs = secrets.credentials(client.name)
        keys += [(client.name, key) for key in proofs.keys]
        people += f"{client.name}:{proofs.password}\n" if proofs.password else ""
    keys += [(access.OWN, key) for key in _hashed(probe_key(fleet).reveal())]
    yield _for_nginx(_KEYS, render("nginx/keys.conf.j2", keys=keys))
    yield _for_nginx(_PEOPLE, people.encode())
    if not gateway.tls.acme:
        yield secret(_CERTIFICATE, certificate(fleet), _NGINX)
        yield secret(_CERTIFICATE_KEY, secrets.get("tls.key"), _NGINX)
    if secrets.has(_OF_CLIENTS):
        yield secret(_CLIENT_CA, secrets.get(_OF_CLIENTS), _NGINX)
    yield secret(PROBE_KEY, probe_key(fleet))


def trusted(gateway: Gateway) -> str:
    """Where a gateway keeps the certificate that it shows, and those behind it, to be trusted by itself."""
    return acme.TRUSTED if gateway.tls.acme else _CERTIFICATE


def certificate(fleet: Fleet) -> Secret:
    """The certificate of the secrets, and those behind it: every gateway shows it that has none issued."""
    return fleet.secrets.get("tls.certificate")


def probe_key(fleet: Fleet) -> Secret:
    """The key of the fleet's own client."""
    return fleet.secrets.get("probe.key")


def _for_nginx(path: str, content: bytes) -> File:
    """A file made of many secrets."""
    return File(path, content, mode="0640", group=_NGINX, secret=True)


def _hashed(key: str) -> tuple[Key, ...]:
    """A plain key as nginx compares it; none where there is no key yet."""
    if not re.fullmatch(KEY, key):
        return ()
    return (Key(id=key.split("_")[1], hash=hashed(key)),)


def server_settings(gateway: Gateway, fleet: Fleet) -> dict[str, Any]:
    """What ipex/server.conf must know of it."""
    return {
        "address": gateway.address,
        "people": _PEOPLE.removeprefix(_ROOT),
        "certificates": _CLIENT_CA.removeprefix(_ROOT) if fleet.secrets.has(_OF_CLIENTS) else "",
        "guarded": guarded(fleet.services()),
        "monitors": monitoring_of(fleet),
        "problems": _PROBLEMS,
    }


def guarded(services: tuple[Service, ...]) -> list[tuple[Service, list[Endpoint]]]:
    """Every service, with those of its endpoints whose requests are judged by their body as well."""
    return [(service, [row for row in _of(service) if row.body is not None]) for service in services]


def monitoring_of(fleet: Fleet) -> tuple[Monitoring, ...]:
    """What of the monitors is looked at through a gateway."""
    monitors = fleet.with_role("monitors")
    prometheus = tuple(node.at(node.prometheus.port) for node in monitors if node.prometheus)
    grafana = tuple(node.at(node.grafana.port) for node in monitors if node.grafana and node.grafana.listens)
    found = (
        Monitoring("Prometheus", monitoring.PROMETHEUS, prometheus, endpoints.PROMETHEUS),
        Monitoring("Grafana", monitoring.GRAFANA, grafana, endpoints.GRAFANA, cookies=True),
    )
    return tuple(one for one in found if one.servers)


def _of(service: Service) -> tuple[Endpoint, ...]:
    return (*endpoints.of(service.engine, service.health_path), *service.route.endpoints)


def _allowed(
    services: tuple[Service, ...], monitors: tuple[Monitoring, ...]
) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """The allow-list, route by route, with whole paths, as the template writes it: variable's name and rows.

    The rows of a route that are asked most come first.
    """
    for service in services:
        below = [_row(service.route.path, row) for row in _of(service)]
        yield service.variable, [*below, _row(service.route.path[:-1], Endpoint(_METHODS, "", "use"))]
    for monitor in monitors:
        below = [_row(monitor.path, row) for row in monitor.endpoints]
        yield monitor.variable, [*below, _row(monitor.path[:-1], Endpoint(_METHODS, "", "look"))]
    yield "ipex_page", [_row("/", row) for row in endpoints.FRONT_PAGE]


def _row(prefix: str, row: Endpoint) -> dict[str, object]:
    return {**asdict(row), "prefix": prefix}


_PROBLEMS = {
    400: "the request is malformed",
    401: "a key or a password is missing or wrong",
    403: "this is not open to you",
    404: "there is nothing here",
    405: "this method is not known here",
    408: "the request took too long",
    413: "the request is too large",
    414: "the address is too long",
    421: "this gateway does not serve that name",
    429: "too many requests; Retry-After says when to come again",
    500: "the gateway has failed",
    502: "no node answered",
    503: "no node is free",
    504: "the node took too long",
}
"""What nginx' own answers say, by status."""
