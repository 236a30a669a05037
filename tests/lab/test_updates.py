"""Updates by pull on real nodes: what is published is taken when it is a node's turn, and nothing else ever is."""

import base64
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from fleet.depot import FLEET_KEY
from fleet.load import from_file
from fleet.secrets import Secret
from ipex_node.signature import FLEET
from ipex_node.update.publication import parted, sealed
from operations import signing
from tests.lab_crowd import crowd, data, fresh, revisions, serves
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CANARY, SECOND, THIRD = Lab().gpus
DEPOT = "monitor-01"
PLACE = "/var/lib/ipex-depot/generations"
INDEX = f"{PLACE}/index"
# The lab's window is long over: the unit is told to update now.
_NOW = """install -d /run/systemd/system/ipex-update.service.d
printf '[Service]\\nExecStart=\\nExecStart=/usr/local/bin/ipex-node update --now\\n' \
  > /run/systemd/system/ipex-update.service.d/now.conf
systemctl daemon-reload"""
_AS_BEFORE = """rm -rf /run/systemd/system/ipex-update.service.d && systemctl daemon-reload
rm -f /var/lib/ipex/update.json && ipex-node status --leave"""


def _publish(*arguments: str) -> dict[str, Any]:
    """Run the real command, which must succeed, and return what it says for programs."""
    command = [str(PYINFRA), "-y", *arguments, "--data", "json=true", str(INVENTORY), "tasks/publish.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{\n") :])[0]
    return said


def _update(lab: Lab, node: str) -> dict[str, Any]:
    """Let the node's own unit do it, and return what the node says of it."""
    lab.run(node, "systemctl start ipex-update.service", seconds=400)
    said: Any = lab.status(node)["update"]
    return dict(said)


def _generation(lab: Lab, node: str) -> object:
    return lab.status(node)["generation"]


def _metric(lab: Lab, node: str, outcome: str) -> str:
    """What the node's agent tells of an outcome."""
    line = f'ipex_update_outcome{{outcome="{outcome}"'
    return lab.output(node, f"curl -sf http://127.0.0.1:9090/metrics | grep -F {shlex.quote(line)}").rpartition(" ")[2]


@pytest.fixture(scope="module")
def updating(lab: Lab) -> Iterator[Lab]:
    """The fleet whose GPU nodes update themselves now when they are told to; as its data say again afterwards."""
    for node in lab.gpus:
        lab.output(node, _NOW)
    yield lab
    run = lab.deploy("-y", "--data", "break_lock=true")
    assert run.returncode == 0, run.stdout
    for node in lab.gpus:
        lab.output(node, _AS_BEFORE)
    lab.output(DEPOT, f"rm -rf {PLACE}/* /var/lib/ipex/update.json /var/lib/ipex/update-turns.json")


@pytest.fixture(scope="module")
def older(updating: Lab) -> str:
    """An index that was published before another one, in base64."""
    _publish(*data())
    return updating.output(DEPOT, f"base64 -w0 {INDEX}")


@pytest.fixture(scope="module")
def offered(updating: Lab, older: str) -> Lab:
    """Something is published that no GPU node has, by engines of other settings; each node has seen that it is."""
    assert older
    said = _publish(*data())
    assert all(row["published"] and row["takes"] != row["has"] for row in said["nodes"] if "gpu" in row["node"])
    newest = f"{PLACE}/{said['serial']}"
    # The canary has seen what is published, and could not take it.
    updating.output(DEPOT, f"mkdir /run/aside && mv {newest}/{CANARY}.age /run/aside")
    assert "is not there" in _update(updating, CANARY)["why"]
    updating.output(DEPOT, f"mv /run/aside/* {newest} && rmdir /run/aside")
    # Only a canary may go now; the others see what is published, and wait.
    for node in (SECOND, THIRD):
        updating.run(node, "timeout 4 ipex-node update --now")
        assert "canaries go first: gpu-01" in str(updating.status(node)["update"])
    return updating


@pytest.fixture
def depot(offered: Lab) -> Iterator[Lab]:
    """The depot with it; what a test does to the depot is undone."""
    offered.output(DEPOT, f"rm -rf /run/published && cp -a {PLACE} /run/published")
    yield offered
    offered.output(DEPOT, f"systemctl start ipex-depot && rm -rf {PLACE} && mv /run/published {PLACE}")


def _flipped(lab: Lab, older: str) -> None:
    assert older
    lab.output(DEPOT, f'sed -i \'s/"concurrent": 1/"concurrent": 9/\' {INDEX}')


def _foreign(lab: Lab, older: str) -> None:
    """Signed well, and with somebody's own key."""
    assert older
    work = "rm -rf /run/foreign && install -d /run/foreign && cd /run/foreign"
    sign = f"ssh-keygen -q -t ed25519 -N '' -f key && ssh-keygen -q -Y sign -f key -n {FLEET} text"
    split = f"sed '1,/END SSH SIGNATURE/d' {INDEX} > text"
    lab.output(DEPOT, f"{work} && {split} && {sign} && cat text.sig text > {INDEX}")


def _rolled_back(lab: Lab, older: str) -> None:
    lab.output(DEPOT, f"echo {older} | base64 -d > {INDEX}")


def _stale(lab: Lab, older: str) -> None:
    """What the fleet itself has signed, long ago."""
    assert older
    content = base64.b64decode(lab.output(DEPOT, f"base64 -w0 {INDEX}"))
    index = json.loads(parted(content)[1])
    text = json.dumps({**index, "expires": index["created"] + 1}).encode()
    seal = signing.signed(text, _fleet_key(), FLEET)
    lab.output(DEPOT, f"echo {base64.b64encode(sealed(seal, text)).decode()} | base64 -d > {INDEX}")


def _fleet_key() -> Secret:
    return from_file(str(ROOT / INVENTORY)).secrets.get(FLEET_KEY)


def _truncated_index(lab: Lab, older: str) -> None:
    assert older
    lab.output(DEPOT, f"truncate -s 200 {INDEX}")


def _truncated_bundle(lab: Lab, older: str) -> None:
    assert older
    lab.output(DEPOT, f"truncate -s 5000 {PLACE}/*/{CANARY}.age")


def _anothers_bundle(lab: Lab, older: str) -> None:
    assert older
    lab.output(DEPOT, f"for place in {PLACE}/*/; do cp $place/{SECOND}.age $place/{CANARY}.age; done")


def _down(lab: Lab, older: str) -> None:
    assert older
    lab.output(DEPOT, "systemctl stop ipex-depot")


def _emptied(lab: Lab, older: str) -> None:
    assert older
    lab.output(DEPOT, f"rm -r {PLACE}/*")


@pytest.mark.parametrize(
    ("fault", "outcome", "why"),
    [
        (_down, "depot", "cannot be fetched"),
        (_emptied, "depot", "is not there"),
        (_flipped, "depot", "is not one that this node believes"),
        (_foreign, "depot", "is not one that this node believes"),
        (_truncated_index, "depot", "has no whole signature"),
        (_stale, "depot", "is stale"),
        (_rolled_back, "depot", "has seen"),
        (_truncated_bundle, "refused", "its digest is not the publication's"),
        (_anothers_bundle, "refused", "its digest is not the publication's"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_what_is_not_to_be_believed_changes_nothing_and_is_said(
    depot: Lab, older: str, fault: Callable[[Lab, str], None], outcome: str, why: str
) -> None:
    """In the node's status, in its metrics, and in its journal."""
    before = _generation(depot, CANARY)
    fault(depot, older)

    said = _update(depot, CANARY)

    assert said["outcome"] == outcome, said
    assert why in said["why"]
    assert _generation(depot, CANARY) == before
    assert _metric(depot, CANARY, outcome) == "1"
    assert why in depot.output(CANARY, "journalctl -u ipex-update.service -n 5 --no-pager -o cat")
    assert depot.output(CANARY, "systemctl is-failed ipex-update.service") == "failed"


@pytest.mark.proof
def test_a_full_depot_keeps_what_was_published(depot: Lab) -> None:
    """The new publication is not there, in no part; the command says why and fails."""
    there = f"sha256sum {INDEX} && ls {PLACE}"
    depot.output(
        DEPOT, f"mount -t tmpfs -o size=48k tmpfs {PLACE} && cp -a /run/published/index {PLACE} && sync {PLACE}"
    )
    try:
        before = depot.output(DEPOT, there)
        with pytest.raises(AssertionError, match="No space left on device"):
            _publish(*data())
        after = depot.output(DEPOT, there)
    finally:
        depot.output(DEPOT, f"umount {PLACE}")

    assert after == before


def test_outside_its_windows_a_node_takes_nothing(depot: Lab) -> None:
    """The lab's only one is long over; the timer has the brief's own spread, at a fixed moment."""
    before = _generation(depot, CANARY)

    run = depot.run(CANARY, "ipex-node update")

    assert json.loads(run.stdout)["outcome"] == "closed"
    assert _generation(depot, CANARY) == before
    shown = depot.output(CANARY, "systemctl show ipex-update.timer -p RandomizedDelayUSec -p FixedRandomDelay")
    assert set(shown.splitlines()) == {"RandomizedDelayUSec=45min", "FixedRandomDelay=yes"}


@pytest.mark.proof
def test_nodes_take_what_is_published_one_after_the_other_and_nobody_loses_a_request(offered: Lab) -> None:
    """The canary first, then the others that ask at once: each drains, proves itself and returns."""
    wanted = {row["node"]: row["takes"] for row in _publish(*data())["nodes"]}
    with crowd(offered, clients=12, stream_seconds=3) as users:
        first = _update(offered, CANARY)
        with ThreadPoolExecutor() as pool:
            others = list(pool.map(lambda node: _update(offered, node), (SECOND, THIRD)))

    assert [one["outcome"] for one in (first, *others)] == ["done"] * 3, (first, *others)
    assert {name: _generation(offered, name) for name in offered.gpus} == {name: wanted[name] for name in offered.gpus}
    assert users.lost_nothing()
    assert _turns_never_overlap(offered)
    serves(offered)
    assert _update(offered, CANARY)["outcome"] == "current"


def _turns_never_overlap(lab: Lab) -> bool:
    """The record of rollouts has each node's change, and none began before the one before it had ended."""
    record = lab.output(DEPOT, "grep ipex-update@ /var/lib/ipex/rollouts.jsonl | tail -3")
    runs = sorted((one["began"], one["began"] + one["seconds"]) for one in map(json.loads, record.splitlines()))
    print("\nchanges:", [f"{begin - runs[0][0]:.1f} to {end - runs[0][0]:.1f} s" for begin, end in runs])
    return len(runs) == 3 and all(end <= begin + 0.2 for (_, end), (begin, _) in pairwise(runs))


@pytest.mark.proof
def test_a_canary_that_fails_is_taken_back_and_nobody_else_begins(offered: Lab) -> None:
    """Its engine hangs: quarantined there, and the next node does not take it, though it asks."""
    before = revisions(offered), {name: _generation(offered, name) for name in offered.gpus}
    bad = {row["node"]: row["takes"] for row in _publish(*data(fresh("ollama-hang")))["nodes"]}
    with crowd(offered, clients=12, stream_seconds=3) as users:
        first, second = _update(offered, CANARY), _update(offered, SECOND)
        again = _update(offered, CANARY)

    assert first["outcome"] == "failed", first
    assert "no answer before the deadline" in first["why"]
    assert second["outcome"] == "stopped", second
    assert CANARY in second["why"]
    assert again["outcome"] == "refused", again
    assert "is quarantined here" in again["why"]
    assert bad[CANARY] in str(offered.status(CANARY)["quarantined"])
    assert (revisions(offered), {name: _generation(offered, name) for name in offered.gpus}) == before
    assert users.lost_nothing()
    serves(offered)
