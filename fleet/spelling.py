"""How values are spelt: what reaches units, nginx and Prometheus is of a form that can only mean one thing there."""

import ipaddress
import re
from collections.abc import Iterator

from fleet.machine import Prometheus
from fleet.model import Gateway, Node, Service
from fleet.problems import Problem

# Pattern, and an example of it. [0-9] and not \d, which takes every script's digits.
_SIZE = (r"[1-9][0-9]*[KMGT]?", "8G")
_PERCENT = (r"[1-9][0-9]*%", "400%")
_NGINX_TIME = (r"[1-9][0-9]*(ms|s|m|h)", "300s")
_NGINX_SIZE = (r"[1-9][0-9]*[kmg]?", "100m")
_DURATION = (r"[1-9][0-9]*(ms|s|m|h|d|w|y)", "15s")
_BYTES = (r"[1-9][0-9]*(B|KB|MB|GB|TB|PB|EB)", "20GB")
_NAME = (r"[a-z]([a-z0-9-]*[a-z0-9])?", "ollama-ipex")
_PATH = (r"/[A-Za-z0-9_./:@+-]*", "/nix/store")
_URL = (r"[!-~]+", "github:owner/name/REVISION")
# As the gateway finds it in a request: what Ollama takes as a name, and none of nginx' own words.
_MODEL = (r"(?!(default|hostnames|include|volatile)\Z)[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}", "llama3.2:3b")
# One name: what root copies and puts back may lead nowhere else.
_ENTRY = (r"(?!\.{1,2}\Z)[^/]+", "comfyui.db, a name without slashes")

# Words that mean something else where nginx' map block expects a value.
_NGINX_WORDS = {"default", "hostnames", "include", "volatile"}
# Units this project writes itself.
_OWN_UNITS = {
    "grafana-server",
    "keepalived",
    "mtail",
    "nginx",
    "prometheus",
    "prometheus-blackbox-exporter",
    "prometheus-nginx-exporter",
    "prometheus-node-exporter",
}


def problems(node: Node) -> Iterator[Problem]:
    """Every value of a node that is misspelt."""
    spelt: list[tuple[str, str, tuple[str, str]]] = [
        ("name", node.name, _NAME),
        ("flake.url", node.flake.url, _URL),
        (
            "flake.nar_hash",
            node.flake.nar_hash,
            (r"sha256-[A-Za-z0-9+/]{43}=", "`nix flake metadata --json URL`'s narHash"),
        ),
        ("paths.sysfs", node.paths.sysfs, _PATH),
        ("paths.procfs", node.paths.procfs, _PATH),
        ("paths.kernel_log", node.paths.kernel_log, _PATH),
        ("paths.render_node", node.paths.render_node or "/", _PATH),
        ("drivers", node.drivers or "none", _NAME),
    ]
    if node.nix:
        spelt += [("nix.substituters", url, _URL) for url in node.nix.substituters or ()]
        spelt += [("nix.trusted_public_keys", key, _URL) for key in node.nix.trusted_public_keys or ()]
    if node.gateway:
        spelt += _gateway(node.gateway)
    if node.prometheus:
        spelt += _prometheus(node.prometheus)
    for service in node.services:
        spelt += _service(service)
        yield from _networks(node, service)
    for address, value, (pattern, example) in spelt:
        if not re.fullmatch(pattern, value):
            yield Problem(node.name, f"{address} is {value!r}", f"Write it like {example}.")
    if node.name in _NGINX_WORDS:
        yield Problem(node.name, f"the name {node.name} is a word of nginx' own", "Give the node another name.")


def packages(node: Node) -> Iterator[Problem]:
    """A package names a unit and a profile: each has one owner."""
    owners: dict[str, str] = dict.fromkeys(_OWN_UNITS, "this project")
    owners |= {node.drivers: "drivers"} if node.drivers else {}
    for service in node.services:
        owner = owners.setdefault(service.package, service.name)
        if owner != service.name or service.package.startswith("ipex-"):
            yield Problem(
                node.name,
                f"services.{service.name}.package {service.package} belongs to {owner}",
                "Give each service a package of its own.",
            )


def _service(service: Service) -> list[tuple[str, str, tuple[str, str]]]:
    where = f"services.{service.name}"
    return [
        (f"{where} (its name)", service.name, _NAME),
        (f"{where}.package", service.package, _NAME),
        (f"{where}.memory_max", service.memory_max, _SIZE),
        (f"{where}.cpu_quota", service.cpu_quota, _PERCENT),
        (f"{where}.health_path", service.health_path, (r"/[!-~]*", "/api/tags")),
        *[(f"{where}.model", name, _MODEL) for name in (*service.models, service.model or "none")],
        (f"{where}.route.path", service.route.path, (r"/[a-z0-9-]+/", "/ollama/")),
        (f"{where}.route.body_max", service.route.body_max, _NGINX_SIZE),
        (f"{where}.route.read_timeout", service.route.read_timeout, _NGINX_TIME),
        *[(f"{where}.exec_paths", path, _PATH) for path in service.exec_paths],
        *[(f"{where}.snapshot", name, _ENTRY) for name in service.snapshot],
        *[(f"{where}.environment", name, (r"[A-Za-z_][A-Za-z0-9_]*", "OLLAMA_HOST")) for name in service.environment],
    ]


def _gateway(gateway: Gateway) -> list[tuple[str, str, tuple[str, str]]]:
    return [
        ("gateway.server_name", gateway.server_name, (r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", "ai-services.local")),
        ("gateway.connect_timeout", gateway.connect_timeout, _NGINX_TIME),
        ("gateway.shutdown_timeout", gateway.shutdown_timeout, _NGINX_TIME),
    ]


def _prometheus(prometheus: Prometheus) -> list[tuple[str, str, tuple[str, str]]]:
    return [
        ("prometheus.scrape_interval", prometheus.scrape_interval, _DURATION),
        ("prometheus.evaluation_interval", prometheus.evaluation_interval, _DURATION),
        ("prometheus.retention_time", prometheus.retention_time, _DURATION),
        ("prometheus.retention_size", prometheus.retention_size, _BYTES),
    ]


def _networks(node: Node, service: Service) -> Iterator[Problem]:
    """IPAddressAllow= takes addresses, networks and a few words (systemd.resource-control(5))."""
    for network in service.egress:
        if network in {"any", "localhost", "link-local", "multicast"}:
            continue
        try:
            ipaddress.ip_network(network)
        except ValueError:
            what = f"services.{service.name}.egress holds {network!r}"
            yield Problem(node.name, what, "Write any, or networks like 10.0.0.0/8.")
