"""Who reaches what: a scan from everywhere to every node against the model's matrix, and no way to lock oneself out."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet import desired, firewall, load, matrix
from fleet.generation import Generation
from fleet.model import Fleet, Node
from ipex_node.firewall import RULES
from lab import keys, network, nodes
from lab.roster import MACHINE_ADDRESS
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.security]

FOREIGN = 4444
MACHINE = "this machine"

# Listens on whatever of these ports nobody else does, answers every datagram, and says that it does.
_LISTENER = """
import json, selectors, socket, sys
address, ports = sys.argv[1], json.loads(sys.argv[2])
selector = selectors.DefaultSelector()
def add(kind, family, where, port):
    one = socket.socket(family, kind)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind((where, port))
        if kind == socket.SOCK_STREAM:
            one.listen(512)
        selector.register(one, selectors.EVENT_READ, kind)
    except OSError:
        one.close()
for port in ports:
    add(socket.SOCK_STREAM, socket.AF_INET, address, port)
    add(socket.SOCK_STREAM, socket.AF_INET6, "::", port)
    add(socket.SOCK_DGRAM, socket.AF_INET, address, port)
subprocess = __import__("subprocess")
subprocess.run(["systemd-notify", "--ready"], check=True)
while True:
    for key, _ in selector.select():
        if key.data == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            data, sender = key.fileobj.recvfrom(64)
            key.fileobj.sendto(data, sender)
"""


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """The lab's fleet."""
    return load.from_file(str(INVENTORY))


@pytest.fixture(scope="module")
def ports(fleet: Fleet) -> list[int]:
    """Every port that anybody of the fleet has, and one that nobody has."""
    return sorted({FOREIGN, *(port for node in fleet.nodes for row in matrix.of(node, fleet) for port in row.ports)})


@pytest.fixture(scope="module")
def listening(lab: Lab, fleet: Fleet, ports: list[int]) -> Iterator[None]:
    """Something listens on each of these ports on every node, the fleet's own program or a foreign one."""
    for node in fleet.nodes:
        lab.run(node.name, "systemctl stop scan-target")
        start = "systemd-run --quiet --unit=scan-target --service-type=notify -p NotifyAccess=all --collect"
        lab.output(node.name, f"{start} python3 -c '{_LISTENER}' {node.address} '{json.dumps(ports)}'")
    yield
    for node in fleet.nodes:
        # Not there any more on a node that has lost its power.
        lab.run(node.name, "systemctl stop scan-target")


def _declared(source: str, target: Node, fleet: Fleet, protocol: str) -> set[int]:
    rows = matrix.of(target, fleet)
    return {
        port for row in rows if row.protocol == protocol and firewall.admits(row.sources, source) for port in row.ports
    }


def _scan(
    source: str | None, targets: list[str], tcp: list[int], udp: list[int], seconds: float = 1
) -> dict[str, dict[str, set[int]]]:
    """What of some addresses can be reached from a node's network namespace, or from this machine."""
    inside = ["ip", "netns", "exec", network.namespace(source)] if source else []
    asked = json.dumps({"tcp": tcp, "udp": udp})
    program = [sys.executable, str(ROOT / "tests/scanner.py"), str(seconds), *targets]
    # A window of connections needs as many open files.
    limited = ["sh", "-c", 'ulimit -n 8192; exec "$@"', "sh", *inside, *program]
    said = subprocess.run(limited, input=asked, capture_output=True, text=True, check=True, timeout=500).stdout
    return {address: {kind: set(found[kind]) for kind in found} for address, found in json.loads(said).items()}


def _differences(fleet: Fleet, tcp: list[int], udp: list[int], seconds: float = 1) -> list[str]:
    """Where what can be reached is not what the matrix declares, over all pairs of different machines."""
    sources = {**{node.name: node.address for node in fleet.nodes}, MACHINE: MACHINE_ADDRESS}

    def of(name: str) -> list[str]:
        targets = {node.address: node for node in fleet.nodes if node.name != name}
        found = _scan(None if name == MACHINE else name, list(targets), tcp, udp, seconds)
        return [
            f"{name} to {targets[address].name}, {kind}: reached {sorted(reached)}, declared {sorted(wanted)}"
            for address, kinds in found.items()
            for kind, reached in kinds.items()
            if reached != (wanted := _declared(sources[name], targets[address], fleet, kind))
        ]

    with ThreadPoolExecutor(2) as pool:
        return [line for lines in pool.map(of, sources) for line in lines]


@pytest.mark.usefixtures("listening")
def test_a_scan_from_everywhere_finds_the_declared_matrix(lab: Lab, fleet: Fleet, ports: list[int]) -> None:
    """Every machine to every node, where everything listens everywhere: what is declared is reached, nothing else."""
    well_known = set(range(1, 1025))

    assert _differences(fleet, sorted({*well_known, *ports}), ports) == []
    # The scan does see what the rules keep away: without them it is there.
    target, other = fleet.with_role("gpu_nodes")[0], fleet.with_role("gpu_nodes")[1]
    lab.output(target.name, "systemctl stop ipex-firewall")
    try:
        found = _scan(other.name, [target.address], [FOREIGN], [FOREIGN])[target.address]
    finally:
        lab.output(target.name, "systemctl start ipex-firewall")
    assert found == {"tcp": {FOREIGN}, "udp": {FOREIGN}}


@pytest.mark.usefixtures("listening")
def test_ipv6_is_no_way_around(lab: Lab, fleet: Fleet, ports: list[int]) -> None:
    """By link-local addresses, which every interface has, only what is open to all can be reached."""
    target, other = fleet.with_role("gpu_nodes")[0], fleet.with_role("gpu_nodes")[1]
    shown = json.loads(lab.output(target.name, "ip -json -6 address show dev host0 scope link"))
    address = f"{shown[0]['addr_info'][0]['local']}%host0"

    assert _scan(other.name, [address], ports, [])[address]["tcp"] == {22}


@pytest.mark.proof
@pytest.mark.usefixtures("listening")
def test_no_other_port_of_all_can_be_reached(fleet: Fleet, ports: list[int]) -> None:
    """The same over all 65,535 TCP ports."""
    assert _differences(fleet, list(range(1, 65536)), ports, seconds=0.5) == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"ssh_from": ["192.0.2.0/24"]}, f"is reached over SSH from {MACHINE_ADDRESS}, which firewall.ssh_from does"),
        ({"ssh_ports": [2222]}, "is reached over SSH on its port 22, and firewall.ssh_ports admits 2222"),
    ],
)
def test_data_that_forget_this_controller_are_refused(lab: Lab, data: dict[str, object], why: str) -> None:
    """Every node says so before any is changed."""
    before = {name: lab.status(name)["generation"] for name in (*lab.gpus, lab.gateway)}
    asked = {"ssh_ports": [22], "ssh_from": ["any"], "confirm_seconds": 10, **data}

    run = lab.deploy("-y", "--data", f"firewall={json.dumps(asked)}")

    assert run.returncode == 1
    assert why in run.stdout
    told = next(line for line in run.stdout.splitlines() if why in line)
    assert "all nodes" in told or all(name in told for name in before), told
    assert {name: lab.status(name)["generation"] for name in before} == before


def _await(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for something, and say how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come in time"
        time.sleep(0.1)
    return time.monotonic() - started


def _gets_in(address: str) -> bool:
    """Whether a new SSH connection is made at this moment."""
    command = keys.ssh_command(address)
    quick = [command[0], "-o", "ConnectTimeout=1", "-o", "ControlPath=none", *command[1:], "true"]
    return subprocess.run(quick, capture_output=True, check=False, timeout=20).returncode == 0


def _rules(lab: Lab, node: str) -> str:
    return lab.output(node, "nft --stateless list table inet ipex")


@pytest.fixture(scope="module")
def sabotaged() -> Iterator[Path]:
    """The repository as it would be with a template that forgets SSH."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for entry in ROOT.iterdir():
            if entry.name not in {"templates", "tests", ".git"}:
                (copy / entry.name).symlink_to(entry)
        shutil.copytree(ROOT / "templates", copy / "templates")
        template = copy / "templates/nftables/ipex.nft.j2"
        text = template.read_text()
        template.write_text(
            text.replace('    iifname "lo" accept\n', '    iifname "lo" accept\n    tcp dport 22 drop\n')
        )
        assert template.read_text() != text
        yield copy


def test_rules_that_lock_the_controller_out_are_taken_back(lab: Lab, sabotaged: Path) -> None:
    """The node is deployed rules that drop every new SSH connection: it is as before, and says what happened."""
    node, address = "gpu-02", lab.node("gpu-02").address
    before, rules = lab.status(node), _rules(lab, node)
    asked = json.dumps({"ssh_ports": [22], "ssh_from": ["any"], "confirm_seconds": 6})
    words = [str(PYINFRA), "-y", "--limit", node, "--data", f"firewall={asked}", str(INVENTORY), "deploy.py"]

    run = subprocess.run(words, cwd=sabotaged, capture_output=True, text=True, check=False, timeout=200)

    said = run.stdout + run.stderr
    assert run.returncode == 1, said
    assert "no new SSH connection came in through the rules of generation" in said
    assert f"untouched: {node}" in said
    _await(lambda: _gets_in(address), 10)
    after = lab.status(node)
    assert (after["generation"], after["drift"]) == (before["generation"], [])
    assert after["firewall"]["state"] == "taken back"  # type: ignore[index]
    assert _rules(lab, node) == rules
    shown = subprocess.run(
        [str(PYINFRA), "--limit", node, str(INVENTORY), "tasks/status.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "taken back: rules of" in shown.stdout + shown.stderr


@pytest.fixture
def staged(lab: Lab, fleet: Fleet) -> Iterator[str]:
    """On gpu-01, a generation with other rules, which let people in."""
    whole = desired.generation(fleet["gpu-01"], fleet)
    parts = tuple(
        dataclasses.replace(
            part,
            files=tuple(
                dataclasses.replace(file, content=file.content + b"# other rules\n") if file.path == RULES else file
                for file in part.files
            ),
        )
        for part in whole.parts
    )
    other = Generation(whole.node, parts)
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["tar", "-xzp", "-C", directory], input=other.bundle(), check=True)
        lab.run("gpu-01", "rm -rf /run/other-rules")
        lab.push("gpu-01", Path(directory), "/run/other-rules")
    try:
        lab.output("gpu-01", "ipex-node stage /run/other-rules")
        yield other.id
    finally:
        # There are secrets in it.
        lab.run("gpu-01", "rm -rf /run/other-rules")


def test_nobody_activates_rules_that_nobody_has_tried(lab: Lab, staged: str) -> None:
    """By hand, too: refused until a trial was confirmed, and by a connection that is newer than the rules."""
    node = "gpu-01"

    refused = lab.run(node, f"ipex-node activate {staged}")
    same = lab.run(node, f"ipex-node firewall try {staged} --seconds 60; ipex-node firewall confirm")
    lab.output(node, "ipex-node firewall confirm")
    again = lab.run(node, "ipex-node firewall confirm")
    lab.output(node, f"ipex-node activate {staged}")
    now = lab.status(node)
    back = lab.deploy("-y", "--limit", node)

    assert "has rules that no new SSH connection has confirmed" in refused.stdout
    assert "this SSH connection is older than the rules" in same.stdout
    assert "no rules are on trial" in again.stdout
    assert (now["generation"], now["drift"], now["firewall"]) == (staged, [], {})
    assert back.returncode == 0, back.stdout


def test_a_power_cut_ends_a_trial(lab: Lab, staged: str) -> None:
    """After the boot the generation's own rules are in force, and nothing is on trial or confirmed."""
    node, rules = "gpu-01", _rules(lab, "gpu-01")
    lab.output(node, f"ipex-node firewall try {staged} --seconds 600")
    assert lab.status(node)["firewall"]["state"] == "on trial"  # type: ignore[index]

    nodes.power_off(lab.node(node))
    nodes.boot(lab.node(node))

    status = lab.status(node)
    assert (status["firewall"], status["drift"]) == ({}, [])
    assert _rules(lab, node) == rules
    assert "has rules that no new SSH connection" in lab.run(node, f"ipex-node activate {staged}").stdout


def test_an_operators_own_table_is_left_alone(lab: Lab) -> None:
    """It outlives start, stop, reload and trial; what it takes away from ours is seen and mended."""
    node = "gpu-03"
    lab.output(node, "nft add table inet mine && nft add chain inet mine keep '{ comment \"an operator\"; }'")
    mine = lab.output(node, "nft list table inet mine")
    conf = lab.output(node, "sha256sum /etc/nftables.conf")
    try:
        lab.output(node, "systemctl reload ipex-firewall && systemctl stop ipex-firewall")
        assert lab.run(node, "nft list table inet ipex").returncode != 0
        lab.output(node, "systemctl start ipex-firewall")
        assert lab.output(node, "nft list table inet mine") == mine
        lab.output(node, "nft add rule inet ipex input tcp dport 4444 accept")
        assert lab.status(node)["drift"] == [
            {"what": "file", "name": RULES, "why": "is not in force: somebody has changed the kernel's rules of it"}
        ]
        # Debian's own service, with Debian's own /etc/nftables.conf, which begins with `flush ruleset`.
        lab.output(node, "systemctl start nftables")
        assert lab.run(node, "nft list table inet ipex").returncode != 0
        lab.output(node, "systemctl reload nftables")
        assert lab.status(node)["drift"] == []
        lab.output(node, "systemctl stop nftables")
        shown = lab.deploy("--dry", "--limit", node)
        mended = lab.deploy("-y", "--limit", node)
    finally:
        lab.run(node, "nft delete table inet mine")

    assert re.search(rf"{node}: mend {RULES}: is not in force", shown.stdout)
    assert mended.returncode == 0, mended.stdout
    assert lab.status(node)["drift"] == []
    assert lab.output(node, "sha256sum /etc/nftables.conf") == conf


def test_the_nodes_own_look_sees_the_kernels_rules(lab: Lab) -> None:
    """The unit that tells monitors of drift sees the firewall from inside its sandbox."""
    node = "gpu-03"
    lab.output(node, "systemctl start ipex-status")
    before = lab.output(node, "cat /run/ipex-status/samples.json")
    lab.output(node, "nft add rule inet ipex input tcp dport 4444 accept; systemctl start ipex-status")
    after = lab.output(node, "cat /run/ipex-status/samples.json")
    lab.output(node, "systemctl reload ipex-firewall; systemctl start ipex-status")

    assert before != after
