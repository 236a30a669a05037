"""ACME: a gateway's certificate, got and renewed by Debian's lego, shown by nginx (docs/decisions/0023)."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from fleet.desired import probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit, secret
from fleet.model import Fleet, Gateway, Node
from fleet.secrets import Secret
from fleet.tls import Acme

STATE = "/var/lib/ipex-acme"
PEM = f"{STATE}/gateway.pem"
"""Key, certificate and those behind it, in one file: nginx never sees halves of two pairs."""
SHOWN = f"../..{PEM}"
"""The same from nginx' own folder, so that it is found where the configuration is staged, too."""

TRUSTED = f"{STATE}/trusted.pem"
"""The certificates of that file and of the one before it: nginx shows one of both."""
READY = "/.well-known/acme-challenge/"
"""Answered by an nginx that has loaded the places where the authority asks."""

_USER, _READER = "ipex-acme", "www-data"
_WEBROOT = f"{STATE}/webroot"
_CLIENT = "/usr/local/lib/ipex/acme-client"
_PLACEHOLDER = "/usr/local/lib/ipex/acme-placeholder"
_USERS = File("/etc/sysusers.d/ipex-acme.conf", f'u {_USER} - "ACME client of ipex-fleet" -\n'.encode())
_AUTHORITY = "/etc/ipex/acme-ca.pem"
_OF_AUTHORITY = "tls.acme_ca"
"""May be missing: then the system's authorities are right."""
_UNITS = (
    "ipex-acme-placeholder.service",
    "ipex-acme.service",
    "ipex-acme.timer",
    "ipex-acme-reload.path",
    "ipex-acme-reload.service",
)
_ACTIVE = {"ipex-acme-placeholder.service", "ipex-acme.timer", "ipex-acme-reload.path"}


def part(node: Node, gateway: Gateway, acme: Acme, fleet: Fleet, nginx: tuple[str, str]) -> Part:
    """What gets the certificate, and tells nginx of it; it comes before nginx, which does not start without one.

    Args:
        node: a gateway.
        gateway: its nginx.
        acme: who issues.
        fleet: all of it.
        nginx: its unit, and the file that it writes when it takes signals.
    """
    files = (_USERS, *_programs(gateway, acme, fleet), *_units(node, gateway, nginx[1]))
    # All of them: a timer that starts anew runs the client at once, so that new settings are in force at once.
    inputs = tuple(file.path for file in files)
    return Part(
        packages=("lego", "openssl"),
        files=files,
        units=tuple(Unit(name, inputs=inputs) for name in _UNITS if name in _ACTIVE),
        validators=(
            *(("systemd-analyze", "verify", "--man=no", f"{{root}}/etc/systemd/system/{name}") for name in _UNITS),
            ("sh", "-n", f"{{root}}{_CLIENT}"),
            # nginx' own check comes later and wants to see a certificate beside the staged files.
            ("sh", f"{{root}}{_PLACEHOLDER}", f"{{root}}{STATE}"),
        ),
        # Where nginx runs already, it is told of the first certificate only after that has been made.
        probes=(probes.answers(nginx[0], gateway.port, READY),),
    )


def challenge(node: Node, gateway: Gateway, fleet: Fleet) -> dict[str, Any] | None:
    """Where nginx finds the answers to the authority's questions; None without ACME."""
    if not gateway.tls.acme:
        return None
    peers = [one.at(one.gateway.port) for one in fleet.nodes if one != node and one.gateway and one.gateway.tls.acme]
    return {"webroot": _WEBROOT, "peers": peers, "ready": READY}


def authority(fleet: Fleet) -> Secret | None:
    """The certificates of a private authority; none where it is a public one."""
    return fleet.secrets.get(_OF_AUTHORITY) if fleet.secrets.has(_OF_AUTHORITY) else None


def _programs(gateway: Gateway, acme: Acme, fleet: Fleet) -> Iterator[File]:
    trusted = authority(fleet)
    if trusted:
        yield secret(_AUTHORITY, trusted, _READER)
    values = {"acme": acme, "name": gateway.server_name, "webroot": _WEBROOT, "pem": PEM, "trusted": TRUSTED}
    # By authority: another one is asked at once, and not when the last one's certificate ends.
    place = f"{STATE}/lego/" + re.sub(r"[^a-z0-9.]+", "-", acme.directory.removeprefix("https://").lower())
    client = render("acme/acme-client.j2", place=place, authority=_AUTHORITY if trusted else "", **values)
    yield File(_CLIENT, client, mode="0755")
    yield File(_PLACEHOLDER, render("acme/acme-placeholder.j2", **values), mode="0755")


def _units(node: Node, gateway: Gateway, pid: str) -> Iterator[File]:
    values = {
        "user": _USER,
        "group": _READER,
        "directory": STATE.removeprefix("/var/lib/"),
        "state": STATE,
        "pem": PEM,
        "pid": pid,
        "client": _CLIENT,
        "placeholder": _PLACEHOLDER,
        "minute": int(hashlib.sha256(f"{node.name} {gateway.server_name}".encode()).hexdigest(), 16) % 60,
        "secrets": "/etc/nginx/ipex",
    }
    for name in _UNITS:
        yield File(f"/etc/systemd/system/{name}", render(f"units/{name}.j2", **values))
