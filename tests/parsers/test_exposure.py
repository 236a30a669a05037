"""systemd's own verdict on the rendered units, offline, by the systemd the nodes have."""

import subprocess
from pathlib import Path

import pytest

from lab import machine, tree
from tests.exposure import EXPOSURE, score
from tools.golden import GOLDEN

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def debian(lab_machine: None) -> Path:  # noqa: ARG001 - asked first
    """The lab's Debian 13 tree, built where it is not yet."""
    machine.install_packages()
    return tree.build()


def _exposure(debian: Path, unit: Path) -> float:
    """Ask the tree's own systemd, in a mount namespace that ends with the question."""
    command = f"mount --bind {unit.parent} {debian}/mnt && chroot {debian} systemd-analyze security --no-pager"
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{command} --offline=true /mnt/{unit.name}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return score(result.stdout)


@pytest.mark.parametrize("unit", EXPOSURE)
def test_exposure_of_a_rendered_unit_does_not_rise(debian: Path, unit: str) -> None:
    """The example fleet's units, with the brief's own limits, stay at or below their bounds."""
    node, bound = EXPOSURE[unit]

    assert _exposure(debian, GOLDEN / node / f"etc/systemd/system/{unit}.service") <= bound


def test_a_unit_without_hardening_is_far_above_every_bound(debian: Path, tmp_path: Path) -> None:
    """The tool does tell a bare unit from a hardened one, so that the bounds mean something."""
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")

    assert _exposure(debian, bare) > 9
