"""Thirty models over four nodes: each byte comes into the fleet once, and everybody has everything."""

import time
from collections.abc import Iterator

import pytest

from lab import nodes
from tests.lab_fleet import INVENTORY, ROOT, Lab
from tests.lab_models import Models, counting_registry, forget, inventory, reaches_parity

pytestmark = [pytest.mark.lab, pytest.mark.proof, pytest.mark.timeout(900)]

GUEST = {"gpu-04": "198.18.0.14"}
NAMES = [f"many-{number}" for number in range(30)]
SIZES = (2_000_000, 20_000, 500)


@pytest.fixture
def four(lab: Lab) -> Iterator[list[str]]:
    """The lab with a fourth GPU node for this proof: booted, deployed, and taken down again."""
    path = inventory("four", guests=GUEST)
    nodes.up(path)
    try:
        done = lab.deploy("-y", inventory=path)
        assert done.returncode == 0, done.stdout
        yield [*lab.gpus, *GUEST]
        forget(lab, lab.gpus)
    finally:
        nodes.remove(list(GUEST))
        done = lab.deploy("-y", inventory=ROOT / INVENTORY)
        assert done.returncode == 0, done.stdout


def test_thirty_models_over_four_nodes(lab: Lab, four: list[str]) -> None:
    """The registry counts what crosses the uplink; the engines list what the lock says."""
    with counting_registry() as shelf:
        begun = time.monotonic()
        reaches_parity(lab, shelf, Models(NAMES, GUEST), four, SIZES)
        sent = sum(shelf.sent.values())
        print(f"{len(NAMES)} models, {len(four)} nodes: {sent:,} bytes came, in {time.monotonic() - begun:.0f} s")
