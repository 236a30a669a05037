"""What a person wants to know once a fleet stands: `python -m tools.summary [INVENTORY]`."""

import argparse
import sys
from collections.abc import Iterator

from fleet import load
from fleet.model import Fleet, Node


def main() -> int:
    """Print who runs what, the addresses to open, the commands to try next."""
    parser = argparse.ArgumentParser(prog="python -m tools.summary", description=__doc__)
    parser.add_argument("inventory", nargs="?", default="inventory/lab.py", help="default: %(default)s")
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
    yield "\nTry:"
    yield from _commands(fleet, inventory)


def _runs(node: Node) -> Iterator[str]:
    for service in node.services:
        yield service.package
    if node.gateway:
        yield "nginx"
    if node.prometheus:
        yield "Prometheus"
    yield "agent"


def _addresses(fleet: Fleet) -> Iterator[str]:
    for node in fleet.nodes:
        if node.gateway:
            for service in fleet.services():
                yield _row(f"http://{node.address}:{node.gateway.port}{service.route.path}", service.description)
        if node.prometheus:
            yield _row(f"http://{node.address}:{node.prometheus.port}/", "Prometheus")


def _commands(fleet: Fleet, inventory: str) -> Iterator[str]:
    gateway, node = fleet.with_role("gateways")[0], fleet.with_role("gpu_nodes")[0]
    generate = '{"model": "tinyllama", "prompt": "hello"}'
    yield f"  curl http://{gateway.address}/ollama/api/generate -d '{generate}'"
    yield _row(f"pyinfra -y {inventory} deploy.py", "again: nothing to change")
    yield _row(f"python -m lab ssh {node.name} systemctl stop {node.services[0].package}", "harm a node,")
    yield _row(f"pyinfra --dry {inventory} deploy.py", "see it found,")
    yield _row(f"pyinfra -y {inventory} deploy.py", "and mended")
    yield _row("make demo-down", "take it all down")
    yield "(pyinfra and python are those of .venv: `. .venv/bin/activate` once)"


def _row(left: str, right: str) -> str:
    return f"  {left:<52}  {right}"


if __name__ == "__main__":
    sys.exit(main())
