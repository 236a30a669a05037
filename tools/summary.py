"""What a person wants to know once a fleet stands: `python -m tools.summary [INVENTORY]`."""

import argparse
import sys
from collections.abc import Iterator

from fleet import load
from fleet.desired import gateway_access
from fleet.model import Fleet, Node
from lab import authority, gateways
from lab.secrets import KEYS

_LAB = "inventory/lab.py"


def main() -> int:
    """Print who runs what, the addresses to open, the commands to try next."""
    parser = argparse.ArgumentParser(prog="python -m tools.summary", description=__doc__)
    parser.add_argument("inventory", nargs="?", default=_LAB, help="default: %(default)s")
    inventory = parser.parse_args().inventory
    try:
        fleet = load.from_file(inventory)
    except load.RefusedError as refused:
        sys.exit(str(refused))
    for line in _lines(fleet, inventory):
        print(line)
    return 0


def _lines(fleet: Fleet, inventory: str) -> Iterator[str]:
    width = max(len(node.name) for node in fleet.nodes)
    yield f"\nThe fleet of {inventory} stands:"
    for node in fleet.nodes:
        yield f"  {node.name:<{width}}  {node.address:<14}  {', '.join(_runs(node))}"
    yield "\nOpen:"
    yield from _addresses(fleet)
    if inventory == _LAB:
        yield f"  (in a browser: {authority.CA} among its authorities, the gateway's address and name in /etc/hosts;"
        yield f"  {gateways.VIEWER}'s password is in {KEYS / gateways.VIEWER}.password)"
    yield "\nTry:"
    yield from _commands(fleet, inventory)


def _runs(node: Node) -> Iterator[str]:
    for service in node.services:
        yield service.package
    if node.gateway:
        yield "nginx"
    if node.floating and node.gateway:
        yield "keepalived"
    if node.prometheus:
        yield "Prometheus"
    yield "agent"


def _addresses(fleet: Fleet) -> Iterator[str]:
    gateway = fleet.with_role("gateways")[0].gateway
    if gateway:
        for service in fleet.services():
            yield _row(f"{gateway.address}{service.route.path}", f"{service.description}, at {public(fleet)}")
        for monitor in gateway_access.monitoring_of(fleet):
            yield _row(f"{gateway.address}{monitor.path}", monitor.name)


def public(fleet: Fleet) -> str:
    """The address that users are sent to: the floating one, or the first gateway's."""
    return fleet.floating.address if fleet.floating else fleet.with_role("gateways")[0].address


def _commands(fleet: Fleet, inventory: str) -> Iterator[str]:
    gateway, node = fleet.with_role("gateways")[0], fleet.with_role("gpu_nodes")[0]
    yield from _asking(gateway, public(fleet), inventory)
    yield _row(f"pyinfra -y {inventory} deploy.py", "again: nothing to change")
    yield _row(f"python -m lab ssh {node.name} systemctl stop {node.services[0].package}", "harm a node,")
    yield _row(f"pyinfra --dry {inventory} deploy.py", "see it found,")
    yield _row(f"pyinfra -y {inventory} deploy.py", "and mended")
    yield _row("make demo-down", "take it all down")
    yield "(pyinfra and python are those of .venv: `. .venv/bin/activate` once)"


def _asking(gateway: Node, at: str, inventory: str) -> Iterator[str]:
    """How a client asks; in the lab, with the lab's CA and a key that `python -m lab up` has made."""
    if not gateway.gateway:
        return
    name, port = gateway.gateway.server_name, gateway.gateway.tls.port
    client = next((one for one in gateway.access.clients.values() if "use" in one.may), None)
    generate = '{"model": "tinyllama", "prompt": "hello"}'
    if client and inventory == _LAB:
        yield f"  KEY=$(cat {KEYS / client.name})    # {client.name}'s, with sudo where you are not root"
        way = f"--cacert {authority.CA} --connect-to {name}:{port}:{at}:{port} "
    else:
        yield "  KEY=...    # python -m tools.secrets makes one, see docs/operate/gateway.md"
        way = ""
    yield f'  curl {way}-H "Authorization: Bearer $KEY" \\'
    yield f"    {gateway.gateway.address}/ollama/api/generate -d '{generate}'"


def _row(left: str, right: str) -> str:
    return f"  {left:<52}  {right}"


if __name__ == "__main__":
    sys.exit(main())
