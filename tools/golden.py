"""Rewrite tests/golden, what lands on each node of the example fleet: `python -m tools.golden`."""

import dataclasses
import shutil
import sys
from pathlib import Path

from fleet import desired, load
from fleet.desired import program
from fleet.model import Fleet
from fleet.secrets import Secrets

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
EXAMPLE = "inventory/example.py"


def landing(fleet: Fleet) -> dict[str, bytes]:
    """Every file of every node as `NODE/PATH`, but for the program, whose sources stand in ipex_node/.

    No secret is known, so that keys of whoever renders them do not show.
    """
    fleet = dataclasses.replace(fleet, secrets=Secrets())
    return {
        f"{node.name}{file.path}": file.shown()
        for node in fleet.nodes
        for file in desired.generation(node, fleet).files
        if file.path != program.PATH
    }


def main() -> int:
    """Write the folder anew."""
    landed = landing(load.from_file(EXAMPLE))
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for name, content in landed.items():
        path = GOLDEN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print(f"Wrote {GOLDEN}: read the diff, it is what changes on a node.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
