"""Print what would land on each node, with no node at all: `python -m tools.show [INVENTORY] [NODE]`."""

import argparse
import sys

from fleet import desired, load
from fleet.generation import File, Generation


def main() -> int:
    """Print one node's files whole, or a summary of every node."""
    parser = argparse.ArgumentParser(prog="python -m tools.show", description=__doc__)
    parser.add_argument("inventory", nargs="?", default="inventory/example.py", help="default: %(default)s")
    parser.add_argument("node", nargs="?", help="print this node's files whole")
    arguments = parser.parse_args()
    try:
        fleet = load.from_file(arguments.inventory)
    except load.RefusedError as refused:
        sys.exit(str(refused))
    names = [node.name for node in fleet.nodes]
    if arguments.node and arguments.node not in names:
        sys.exit(f"No node {arguments.node!r} in {arguments.inventory}; nodes: {', '.join(names)}.")
    for node in fleet.nodes:
        generation = desired.generation(node, fleet)
        if arguments.node is None:
            _summary(generation, f"{node.name} ({node.address}): {', '.join(node.roles)}")
        elif arguments.node == node.name:
            _whole(generation)
    if arguments.node is None:
        print(f"\nOne node whole: python -m tools.show {arguments.inventory} {names[0]}")
    return 0


def _summary(generation: Generation, title: str) -> None:
    print(f"\n{title}\n  generation {generation.id}\n  packages   {', '.join(generation.packages)}")
    for profile, reference in generation.manifest["closures"].items():
        print(f"  closure    {profile}\n             from {reference}")
    for unit in generation.units:
        print(f"  unit       {unit.name}")
    for file in generation.files:
        print(f"  file       {file.mode} {file.owner}:{file.group} {file.path} ({len(file.content)} bytes)")


def _whole(generation: Generation) -> None:
    for file in generation.files:
        print(f"\n=== {file.path} ({file.mode} {file.owner}:{file.group})")
        print(_text(file))


def _text(file: File) -> str:
    try:
        return file.shown().decode()
    except UnicodeDecodeError:
        return f"({len(file.content)} bytes)"


if __name__ == "__main__":
    sys.exit(main())
