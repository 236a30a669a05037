"""A change rolls through a fleet that serves, and whatever happens on the way, nobody loses a request."""

import re
import runpy
import subprocess
import time
from collections.abc import Iterator

import pytest

from lab import nodes
from tests.lab_crowd import crowd, data, fresh, revisions, serves
from tests.lab_fleet import ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof, pytest.mark.timeout(900)]

GENERATIONS = "/var/lib/ipex/generations"
FULL_DISK = f"""set -eu
mount -t tmpfs -o size=64m tmpfs /mnt
cp -a {GENERATIONS}/. /mnt
mount --bind /mnt {GENERATIONS}
umount /mnt
dd if=/dev/zero of={GENERATIONS}/.full bs=4k 2>/dev/null || true
"""


@pytest.fixture(scope="module")
def patient(lab: Lab) -> Iterator[Lab]:
    """The fleet with engines that stream slowly and many at once; as its data say again afterwards."""
    yield lab
    run = lab.deploy("-y")
    assert run.returncode == 0, run.stdout


@pytest.fixture
def fleet(patient: Lab) -> Lab:
    """The fleet before each rollout: at its first revision, in rotation, in order."""
    run = patient.deploy("-y", *data(break_lock="true"))
    assert run.returncode == 0, run.stdout
    serves(patient)
    return patient


def _await(lab: Lab, node: str, condition: str, seconds: int = 120) -> None:
    """Wait on a node until a shell condition holds."""
    lab.output(node, f"timeout {seconds} sh -c 'until {condition}; do sleep 0.02; done'")


def _await_step(lab: Lab, node: str, step: str) -> None:
    """Wait until a node's transaction has begun a step."""
    _await(lab, node, f'test -e /run/ipex/activating && grep -q "{step}" /var/lib/ipex/journal.json')


def _finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=500)
    return output


def test_an_upgrade_of_the_whole_fleet_loses_no_request(fleet: Lab) -> None:
    """Under a hundred users with streams of up to 20 s every node gets a new revision: no error, no cut stream."""
    version = fresh()
    with crowd(fleet, clients=100, stream_seconds=20) as users:
        begun = time.monotonic()
        run = fleet.deploy("-y", *data(version))
        print(f"\nthe rollout took {time.monotonic() - begun:.1f} s")

    assert run.returncode == 0, run.stdout
    assert set(revisions(fleet).values()) == {version}
    assert users.lost_nothing()
    serves(fleet)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("ollama-hang", "POST .*/api/generate: no answer before the deadline"),
        ("ollama-cpu", "computes on the CPU"),
        ("ollama-exit", "(?s)ollama-ipex.service: is failed.*ErrorDeviceLost"),
    ],
    ids=["hang", "cpu", "exit"],
)
def test_a_canary_that_does_not_do_its_work_is_taken_back(fleet: Lab, fault: str, cause: str) -> None:
    """A revision that hangs, computes on the CPU or does not start: the canary goes back, no other node is touched."""
    before = revisions(fleet)
    generations = {name: fleet.status(name)["generation"] for name in fleet.gpus}
    with crowd(fleet) as users:
        run = fleet.deploy("-y", *data(fresh(fault)))

    assert run.returncode == 1, run.stdout
    assert re.search(cause, run.stdout), run.stdout
    assert fleet.gpus[0] in run.stdout
    assert revisions(fleet) == before
    assert {name: fleet.status(name)["generation"] for name in fleet.gpus} == generations
    assert users.lost_nothing()
    serves(fleet)


def test_data_that_a_bad_revision_has_changed_come_back(fleet: Lab) -> None:
    """What a new version has made of an engine's data is gone with it: the old one finds its own."""
    victim, user = fleet.gpus[0], "/var/lib/private/comfyui/user"
    fleet.output(victim, f"mkdir -p {user} && echo old > {user}/workflow.json")
    with fleet.deploying("-y", *data(fresh("ollama-hang"))) as process:
        _await_step(fleet, victim, "step.: .probe")
        fleet.output(victim, f"echo migrated > {user}/workflow.json && touch {user}/migrated.json")
        output = _finish(process)

    assert process.returncode == 1, output
    assert fleet.output(victim, f"cat {user}/workflow.json") == "old"
    fleet.output(victim, f"test ! -e {user}/migrated.json && rm -r {user}")
    serves(fleet)


def test_an_nginx_file_that_nginx_refuses_never_reaches_it(fleet: Lab) -> None:
    """Data that render a broken configuration end before the gateway is touched, in nginx' own words."""
    before = fleet.status(fleet.gateway)["generation"]
    with crowd(fleet) as users:
        run = fleet.deploy("-y", *data(gateway=_gateway(worker_connections=1)))

    assert run.returncode == 1, run.stdout
    assert "worker_connections are not enough" in run.stdout
    assert fleet.status(fleet.gateway)["generation"] == before
    assert users.lost_nothing()
    serves(fleet)


def _gateway(**changed: object) -> dict[str, object]:
    declared: dict[str, object] = runpy.run_path(str(ROOT / "group_data/gateways.py"))["gateway"]
    return {**declared, **changed}


def test_a_full_disk_ends_the_run_while_it_stages(fleet: Lab) -> None:
    """One node has no room for the new generation: it says so, and no node has changed."""
    victim, before = fleet.gpus[1], revisions(fleet)
    fleet.output(victim, FULL_DISK)
    try:
        with crowd(fleet) as users:
            run = fleet.deploy("-y", *data(fresh()))
    finally:
        fleet.output(victim, f"umount {GENERATIONS}")

    assert run.returncode == 1, run.stdout
    assert re.search(rf"{victim}.*No space left on device", run.stdout), run.stdout
    assert "Traceback" not in run.stdout
    assert revisions(fleet) == before
    assert users.lost_nothing()
    serves(fleet)


def test_a_node_that_dies_in_its_activation_comes_back_whole(fleet: Lab) -> None:
    """Its power is cut between two steps: the run names it, and after its boot it serves the old or the new."""
    victim, version = fleet.gpus[0], fresh()
    allowed = {revisions(fleet)[victim], version}
    with crowd(fleet) as users:
        with fleet.deploying("-y", *data(version)) as process:
            _await_step(fleet, victim, "start units")
            nodes.power_off(fleet.node(victim))
            output = _finish(process)
        nodes.boot(fleet.node(victim))
        _await(fleet, victim, "ipex-node probe && test ! -e /run/ipex/activating")

    assert process.returncode == 1, output
    assert victim in output
    assert revisions(fleet)[victim] in allowed
    assert users.lost_nothing()
    serves(fleet)


def test_a_node_finishes_without_its_controller(fleet: Lab) -> None:
    """The controller is killed in the middle of a wave: each node ends with the old or the new, out of nobody's way."""
    version = fresh()
    allowed = {*revisions(fleet).values(), version}
    with crowd(fleet) as users:
        with fleet.deploying("-y", *data(version)) as process:
            _await_step(fleet, fleet.gpus[0], "leave rotation")
            process.kill()
        for name in fleet.gpus:
            _await(fleet, name, "test ! -e /run/ipex/activating && test ! -e /run/ipex/drain")
        ended = revisions(fleet)
        refused = fleet.deploy("-y", *data(version))
        again = fleet.deploy("-y", *data(version, break_lock="true"))

    assert set(ended.values()) <= allowed
    assert refused.returncode == 1, refused.stdout
    assert "holds it since" in refused.stdout, refused.stdout
    assert "break_lock=true" in refused.stdout
    assert again.returncode == 0, again.stdout
    assert set(revisions(fleet).values()) == {version}
    assert users.lost_nothing()
    serves(fleet)


def test_the_gateways_program_may_die_in_a_rollout(fleet: Lab) -> None:
    """Killed while a node drains, it is started again and the rollout goes on: nobody notices."""
    version = fresh()
    with crowd(fleet) as users, fleet.deploying("-y", *data(version)) as process:
        _await(fleet, fleet.gpus[0], "test -e /run/ipex/drain")
        fleet.output(fleet.gateway, "systemctl kill --signal=KILL ipex-gateway")
        output = _finish(process)

    assert process.returncode == 0, output
    assert set(revisions(fleet).values()) == {version}
    assert users.lost_nothing()
    fleet.output(fleet.gateway, "systemctl is-active ipex-gateway nginx")
    serves(fleet)


def test_two_rollouts_at_once_are_one_rollout(fleet: Lab) -> None:
    """The second is told who rolls already and changes nothing; the first comes to its end."""
    first, second = fresh(), fresh()
    with crowd(fleet) as users, fleet.deploying("-y", *data(first)) as process:
        _await(fleet, fleet.gpus[0], "test -e /run/ipex/drain")
        refused = fleet.deploy("-y", *data(second))
        output = _finish(process)

    assert refused.returncode == 1, refused.stdout
    assert "holds it since" in refused.stdout, refused.stdout
    assert "break_lock=true" in refused.stdout
    assert process.returncode == 0, output
    assert set(revisions(fleet).values()) == {first}
    assert users.lost_nothing()
    serves(fleet)
