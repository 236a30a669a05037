"""Grafana on the monitors: where it comes from and who may reach it."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

UNIT = "grafana-server.service"
"""Also the name of the unit in Grafana's own package, so that the two never run beside each other."""


@dataclass(frozen=True)
class Grafana:
    """Grafana; the password of its first account is the secret `grafana.admin_password`.

    Attributes:
        installed: from the flake's output, from the Debian package `grafana` of a repository that the monitors know
            already (Debian has none), or absent: its files are written all the same.
        package: the flake's output.
        port: where it listens.
        admitted: networks that may reach it directly, beside the gateways.
    """

    installed: Literal["flake", "apt", "absent"]
    package: str
    port: int
    admitted: tuple[str, ...]

    @property
    def listens(self) -> bool:
        """Whether it runs at all."""
        return self.installed != "absent"


def nonsense(grafana: Grafana) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for name, fits, cure in (
        ("package", re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", grafana.package), "Write it like grafana."),
        ("admitted", all(map(_is_network, grafana.admitted)), "Write networks like 192.0.2.0/24, or any."),
    ):
        if not fits:
            yield f"grafana.{name} is {getattr(grafana, name)!r}", cure


def _is_network(text: str) -> bool:
    try:
        return text == "any" or bool(ipaddress.ip_network(text))
    except ValueError:
        return False
