"""The fleet reboots, wave by wave, while it serves: nobody loses a request, and every node comes back proved."""

import subprocess
import time

import pytest

from tests.lab_crowd import crowd, serves
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof, pytest.mark.timeout(900)]


def _reboot(*nodes: str) -> subprocess.CompletedProcess[str]:
    limits = [word for name in nodes for word in ("--limit", name)]
    command = [str(PYINFRA), "-y", *limits, "--data", "only_needed=false", str(INVENTORY), "tasks/reboot.py"]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)
    print(f"\nrebooted {', '.join(nodes)} in {time.monotonic() - begun:.1f} s")
    return done


def _boots(lab: Lab, nodes: list[str]) -> dict[str, str]:
    return {node: lab.output(node, "cat /proc/sys/kernel/random/boot_id") for node in nodes}


def test_engines_and_monitor_reboot_and_nobody_loses_a_request(lab: Lab) -> None:
    """Each has a new boot and is in rotation again; users with streams of up to 8 s lose nothing."""
    nodes = [*lab.gpus, "monitor-01"]
    before = _boots(lab, nodes)
    with crowd(lab, clients=12) as users:
        run = _reboot(*nodes)

    assert run.returncode == 0, run.stdout + run.stderr
    after = _boots(lab, nodes)
    assert not [node for node in nodes if before[node] == after[node]]
    assert users.lost_nothing()
    serves(lab)


def test_gateways_reboot_one_at_a_time_and_the_address_is_always_somebodys(lab: Lab) -> None:
    """Whoever holds the floating address gives it away before it boots."""
    before, holder = _boots(lab, lab.gateways), lab.holders()
    run = _reboot(*lab.gateways)

    assert run.returncode == 0, run.stdout + run.stderr
    after = _boots(lab, lab.gateways)
    assert not [node for node in lab.gateways if before[node] == after[node]]
    headings = [line for line in (run.stdout + run.stderr).splitlines() if "Starting operation" in line]
    assert [holder[0] in line for line in headings if "Gateways and monitors" in line] == [False, True]
    assert len(lab.holders()) == 1
    serves(lab)
