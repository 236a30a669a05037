"""An activation that is killed: the node serves the old generation or the new one, whichever step it was at."""

import base64
import json
import time

import pytest

from lab import nodes
from tests.ipex_node.transaction_steps import STEPS
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof]

COMMITTED = STEPS[STEPS.index("commit") :]

# The current generation with one line more in Ollama's unit, staged as a deploy would.
_SIBLING = """
import hashlib, json, pathlib, shutil, subprocess
here = pathlib.Path("/run/ipex-sibling")
shutil.rmtree(here, ignore_errors=True)
shutil.copytree("/var/lib/ipex/current/", here, ignore=shutil.ignore_patterns("closures*"))
manifest = json.loads((here / "manifest.json").read_text())
path = "/etc/systemd/system/ollama-ipex.service"
unit = here / "root" / path[1:]
text = unit.read_text()
unit.write_text(text + "# a sibling" + chr(10))
manifest["files"][path]["sha256"] = hashlib.sha256(unit.read_bytes()).hexdigest()
(here / "manifest.json").write_text(json.dumps(manifest))
print(subprocess.run(["ipex-node", "stage", str(here)], capture_output=True, text=True, check=True).stdout)
"""

# The installed program, which kills itself when it has done a step.
_DRIVER = """
import os, signal, sys
sys.path.insert(0, "/usr/local/bin/ipex-node")
from ipex_node import transaction
from ipex_node.__main__ import main
original = transaction._do
def do(step, *rest):
    original(step, *rest)
    if step.name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
transaction._do = do
sys.exit(main(["activate", sys.argv[2]]))
"""


def python(lab: Lab, node: str, program: str, *arguments: str) -> str:
    """Run Python on a node, whatever becomes of it, and return what it printed."""
    source = base64.b64encode(program.encode()).decode()
    words = " ".join(f"'{argument}'" for argument in arguments)
    return lab.run(node, f"echo {source} | base64 -d > /run/driver.py && python3 /run/driver.py {words}").stdout


@pytest.fixture
def node(lab: Lab) -> str:
    """A GPU node that serves the generation it was deployed."""
    return lab.gpus[0]


@pytest.fixture
def sibling(lab: Lab, node: str) -> str:
    """Another generation, staged on the node."""
    return str(json.loads(python(lab, node, _SIBLING))["generation"])


def assert_serves(lab: Lab, node: str, *allowed: object) -> None:
    """The node has one generation, entirely, serves it, and nothing of a transaction is left."""
    status = lab.status(node)
    assert status["generation"] in allowed
    assert status["drift"] == []
    assert not {*status["quarantined"]} & {*allowed}  # type: ignore[misc]
    assert status["rotation"] == {"state": "in", "reason": ""}
    lab.output(node, "systemctl is-active ollama-ipex comfyui-ipex ipex-agent")
    lab.output(node, "curl -sf http://127.0.0.1:11434/api/tags")
    assert lab.output(node, "systemctl list-units --all --no-legend 'ipex-deadman*'") == ""


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_activation_is_ended_by_recover(lab: Lab, node: str, sibling: str, step: str) -> None:
    """SIGKILL right after a step: before the commit the node goes back, from then on it goes forward."""
    old = lab.status(node)["generation"]
    python(lab, node, _DRIVER, step, sibling)

    answer = json.loads(lab.output(node, "ipex-node recover"))

    assert answer["ok"], answer
    assert answer["cause"] == "its process was killed"
    assert_serves(lab, node, sibling if step in COMMITTED else old)
    lab.output(node, f"ipex-node activate {old}")


def test_the_dead_man_timer_recovers_by_itself(lab: Lab, node: str, sibling: str) -> None:
    """Nobody asks: within two looks of the timer the node serves the old generation again."""
    old = lab.status(node)["generation"]
    python(lab, node, _DRIVER, "start units", sibling)

    deadline = time.monotonic() + 40
    while "ipex-deadman" in lab.output(node, "systemctl list-units --all --no-legend 'ipex-deadman*'"):
        assert time.monotonic() < deadline, lab.output(node, "journalctl -u ipex-deadman --no-pager")
        time.sleep(0.5)

    assert_serves(lab, node, old)


@pytest.mark.parametrize("step", ["install files", "start units", "commit"])
def test_a_power_cut_is_recovered_before_the_engines_start(lab: Lab, node: str, sibling: str, step: str) -> None:
    """After the boot the node serves one whole generation, and the failed one is not blamed."""
    old = lab.status(node)["generation"]
    python(lab, node, _DRIVER, step, sibling)
    nodes.power_off(nodes.find(node))
    nodes.boot(nodes.find(node))
    lab.output(node, "timeout 60 sh -c 'until curl -sf http://127.0.0.1:11434/api/tags; do sleep 0.2; done'")

    said = lab.output(node, "journalctl -b -u ipex-recover --output cat --no-pager")

    assert "the machine went down in the middle of it" in said
    assert_serves(lab, node, sibling if step in COMMITTED else old)
    lab.output(node, f"ipex-node activate {old}")


def test_a_quarantined_generation_is_refused(lab: Lab, node: str, sibling: str) -> None:
    """A generation that failed its probe is not activated a second time, unless it is forced."""
    old = lab.status(node)["generation"]
    lab.output(
        node,
        f'mkdir -p /var/lib/ipex && echo \'{{"{sibling}": {{"why": "hangs", "at": "now"}}}}\' '
        "> /var/lib/ipex/quarantine.json",
    )

    refused = lab.run(node, f"ipex-node activate {sibling}")
    forced = lab.run(node, f"ipex-node activate --force {sibling}")

    assert refused.returncode == 1
    assert "is quarantined on this node since now: hangs" in refused.stdout
    assert forced.returncode == 0, forced.stdout
    back = json.loads(lab.output(node, "ipex-node rollback"))
    assert back["to"] == old
    assert_serves(lab, node, old)
