"""The example fleet's data on this machine's loopback addresses."""

import dataclasses
import socket
from typing import Any

from fleet.access import Access, Client
from fleet.model import Fleet, Node
from tests.gateway import credentials
from tests.gateway.proofs import Proofs


def placed(example: Fleet, held: Proofs, limits: dict[str, Any]) -> Fleet:
    """The example fleet on loopback addresses and free ports, with these tests' clients."""
    clients = {
        name: Client(name, may=may, limits="bulk" if name == "bulk" else "standard")
        for name, may in credentials.RIGHTS.items()
    }
    nodes = tuple(
        _placed(node, f"127.0.0.{11 + number}", Access(clients), limits) for number, node in enumerate(example.nodes)
    )
    return dataclasses.replace(example, nodes=nodes, secrets=held.secrets())


def _placed(node: Node, address: str, access: Access, limits: dict[str, Any]) -> Node:
    services = tuple(dataclasses.replace(one, port=_free(address)) for one in node.services)
    gateway = node.gateway and dataclasses.replace(
        node.gateway,
        port=_free("0.0.0.0"),  # noqa: S104 - where nginx will listen
        tls=dataclasses.replace(node.gateway.tls, port=_free("0.0.0.0")),  # noqa: S104 - a port that is free on all
        limits=dataclasses.replace(node.gateway.limits, **limits),
    )
    prometheus = node.prometheus and dataclasses.replace(node.prometheus, port=_free(address))
    grafana = node.grafana and dataclasses.replace(node.grafana, port=_free(address))
    return dataclasses.replace(
        node,
        address=address,
        services=services,
        gateway=gateway,
        prometheus=prometheus,
        grafana=grafana,
        access=access,
    )


def _free(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
