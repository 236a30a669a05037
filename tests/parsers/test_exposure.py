"""systemd's own verdict on the rendered units, offline, by the systemd the nodes have."""

import subprocess
from pathlib import Path

import pytest

from fleet import desired
from fleet.model import Fleet
from fleet.tls import Acme
from lab import machine, tree
from tests.acme import declared
from tests.exposure import ACME, EXPOSURE, score
from tools.golden import GOLDEN

pytestmark = [pytest.mark.lab, pytest.mark.security]


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


@pytest.mark.parametrize("unit", ACME)
def test_exposure_of_the_acme_units_does_not_rise(debian: Path, example: Fleet, tmp_path: Path, unit: str) -> None:
    """Where the authority is declared."""
    fleet = declared(example, Acme("https://acme.example.com/directory", "operators@example.com"))
    for file in desired.generation(fleet["gateway-01"], fleet).files:
        if file.path == f"/etc/systemd/system/{unit}.service":
            (tmp_path / f"{unit}.service").write_bytes(file.content)

    assert _exposure(debian, tmp_path / f"{unit}.service") <= ACME[unit]


def test_a_unit_without_hardening_is_far_above_every_bound(debian: Path, tmp_path: Path) -> None:
    """The tool does tell a bare unit from a hardened one, so that the bounds mean something."""
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")

    assert _exposure(debian, bare) > 9
