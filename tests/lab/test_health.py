"""Engines fall ill on real nodes: each fault is seen, named, acted on and counted, and nothing else can be done."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab import faults, gateways
from tests.lab_crowd import serves
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof, pytest.mark.timeout(600)]

NODE, OTHER, *_ = Lab().gpus
RUN = "/run/ipex-health"
REQUEST = f"{RUN}/restart-ollama-ipex"
# The first node stands for a machine with an A770.
HANG = "i915 0000:03:00.0: [drm] GPU HANG: ecode 12:1:85def5fb, in llama-server [3182150]"
WEDGE = "i915 0000:03:00.0: [drm] *ERROR* GT0: Failed to reset chip"
# A door is shut while its file goes: it opens at that, too.
FRESH = (
    "ipex-node undrain >/dev/null; systemctl stop ipex-restart@ollama-ipex.path ipex-restart@comfyui-ipex.path; "
    f"rm -rf /run/ipex-lab/faults {RUN}/* /var/lib/ipex-health/* {faults.KERNEL_LOG}; "
    # By name: a pattern finds only what is in systemd's memory, and the start limit outlives that.
    "systemctl reset-failed ipex-restart@{ollama,comfyui}-ipex.{service,path} ollama-ipex ipex-health-monitor "
    "ipex-cleanup; "
    "systemctl start ollama-ipex ipex-restart@ollama-ipex.path ipex-restart@comfyui-ipex.path"
)
FULL_DISK = """set -eu
mount -t tmpfs -o size=64m tmpfs /mnt
cp -a /var/lib/ipex/. /mnt
mount --bind /mnt /var/lib/ipex
umount /mnt
dd if=/dev/zero of=/var/lib/ipex/.full bs=64k 2>/dev/null || true
"""


@dataclass(frozen=True)
class Patient:
    """A node whose engines fall ill."""

    lab: Lab

    def shell(self, command: str) -> str:
        """Run a command there."""
        return self.lab.output(NODE, command)

    def ills(self, command: str) -> None:
        """Give it a fault."""
        self.shell(command)

    def monitor(self, *, heals: str = "true") -> dict[str, float]:
        """Let the monitor run once, and return its numbers.

        Args:
            heals: A command that is run when a restart has been asked for.
        """
        # Told from an older request by its time: taking that away would be a request, too.
        mend = f"timeout 100 sh -c 'until test {REQUEST} -nt /run/before; do sleep 0.02; done; {heals}'"
        self.lab.run(NODE, f"touch /run/before; {mend} & systemctl start ipex-health-monitor; kill $!", 300)
        left = json.loads(self.shell(f"cat {RUN}/samples.json"))["samples"]
        return {" ".join([family, *labels.values()]): value for family, labels, value, _ in left}

    def said(self) -> str:
        """What the last run has written to the journal."""
        unit = "ipex-health-monitor"
        return self.shell(f"journalctl _SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value {unit}) -o cat")

    def start(self, unit: str) -> str:
        """Return systemd's name of a unit's present start."""
        return self.shell(f"systemctl show -p InvocationID --value {unit}")

    def ready(self) -> dict[str, Any]:
        """What the node's agent says."""
        answer: dict[str, Any] = json.loads(self.shell("curl -s http://127.0.0.1:9090/ready"))
        return answer

    def answers(self) -> set[str]:
        """The nodes that answer a user's questions to Ollama."""
        address, nodes = self.lab.node(self.lab.gateway).address, set()
        for _ in range(12):
            answer = gateways.Connection(address, timeout=10).ask("GET", "/ollama/api/tags")
            answer.read()
            assert answer.status == 200
            nodes.add(str(answer.headers["X-Ipex-Node"]))
        return nodes


@pytest.fixture
def patient(lab: Lab) -> Iterator[Patient]:
    """A healthy node whose monitor has run before and remembers nothing bad."""
    one = Patient(lab)
    for node in (NODE, OTHER):
        lab.run(node, FRESH)
    serves(lab)
    one.monitor()
    assert "ok" in one.said(), one.said()
    yield one
    for node in (NODE, OTHER):
        lab.run(node, FRESH)
    serves(lab)


@pytest.mark.parametrize("fault", ["hang", "error503", "cpu"])
def test_an_ill_engine_is_restarted_and_taken_back(patient: Patient, fault: faults.Generate) -> None:
    """It hangs, refuses or computes on the processor: named, one restart, proved, back in rotation, counted."""
    before = patient.start("ollama-ipex")
    patient.ills(faults.inflict("ollama", generate=fault))
    numbers = patient.monitor(heals=faults.clear("ollama"))

    assert numbers[f"ipex_health_check_failed ollama {'gpu' if fault == 'cpu' else 'generates'}"] == 1
    assert numbers["ipex_health_restarts_total ollama"] == 1
    assert patient.start("ollama-ipex") != before
    assert patient.ready()["services"]["ollama"]
    assert "ollama is healthy again" in patient.said()


def test_an_engine_that_stays_on_the_processor_gets_no_requests(patient: Patient) -> None:
    """One restart and no second; the gateway sends Ollama's users elsewhere, and ComfyUI's still here."""
    patient.ills(faults.inflict("ollama", generate="cpu"))
    patient.monitor()
    numbers = patient.monitor()
    ready = patient.ready()

    assert numbers["ipex_health_restarts_total ollama"] == 1
    assert ready["ready"]
    assert ready["services"] == {"ollama": False, "comfyui": True}
    assert "size_vram is 0" in ready["reason"]
    patient.shell(
        "timeout 10 sh -c 'until curl -s localhost:9090/ready | grep -q ollama.*gateways; do sleep 0.2; done'"
    )
    assert NODE not in patient.answers()


def test_a_dead_engine_comes_back(patient: Patient) -> None:
    """Killed by its number, and failing at every start until systemd has given it up, it is started once more."""
    patient.ills(faults.inflict("ollama", start="exit"))
    patient.shell("kill -9 $(systemctl show -p MainPID --value ollama-ipex)")
    patient.shell("timeout 60 sh -c 'until systemctl is-failed ollama-ipex; do sleep 0.5; done'")
    patient.ills(faults.clear("ollama"))
    numbers = patient.monitor()

    assert numbers["ipex_health_check_failed ollama runs"] == 1
    assert patient.shell("systemctl is-active ollama-ipex") == "active"
    # The agent asks an engine once a second, and may not have asked this one again yet.
    patient.shell("timeout 10 sh -c 'until curl -s localhost:9090/ready | grep -q ollama.:.true; do sleep 0.2; done'")


def test_an_engine_that_no_restart_heals_ends_out_of_rotation(patient: Patient) -> None:
    """The budget is used up, the unit is not restarted for ever, and the operator's word takes it back."""
    patient.ills(faults.inflict("ollama", generate="error503"))
    numbers = [patient.monitor() for _ in range(4)]
    restarts = [one["ipex_health_restarts_total ollama"] for one in numbers]

    assert restarts == [1, 2, 3, 3]
    assert numbers[-1]["ipex_health_budget_left ollama"] == 0
    assert not patient.ready()["services"]["ollama"]
    assert "it was given up" in patient.said()
    patient.ills(faults.clear("ollama"))
    patient.shell("ipex-node undrain")
    assert patient.ready()["services"]["ollama"]


def test_a_reset_in_the_kernels_log(patient: Patient) -> None:
    """The first restarts both engines, the second within the window asks for a reboot."""
    patient.shell(faults.kernel_says(HANG))
    first = patient.monitor()
    patient.shell(faults.kernel_says(HANG))
    second = patient.monitor()

    assert first["ipex_health_restarts_total ollama"] == first["ipex_health_restarts_total comfyui"] == 1
    assert second["ipex_health_restarts_total ollama"] == 1
    assert second["ipex_gpu_resets_total card0 hang"] == 2
    assert (first["ipex_node_reboot_needed"], second["ipex_node_reboot_needed"]) == (0, 1)
    assert not patient.ready()["ready"]
    assert "reboot needed" in patient.ready()["reason"]


def test_a_wedge_in_the_kernels_log(patient: Patient) -> None:
    """No restart is tried, and an operator's word ends it."""
    before = patient.start("ollama-ipex")
    patient.shell(faults.kernel_says(WEDGE))
    numbers = patient.monitor()

    assert numbers["ipex_node_reboot_needed"] == 1
    assert patient.start("ollama-ipex") == before
    assert not patient.ready()["ready"]
    patient.shell("ipex-node undrain")
    assert patient.ready()["ready"]


def test_a_full_disk_asks_for_the_cleanup(patient: Patient) -> None:
    """The request is written, and the cleanup's path unit hears it."""
    before = patient.start("ipex-cleanup")
    patient.shell(FULL_DISK)
    try:
        patient.monitor()
        request = patient.shell(f"cat {RUN}/cleanup")
    finally:
        patient.shell("umount -l /var/lib/ipex")

    assert "of the file system of /var/lib/ipex is used" in request
    patient.shell(
        f'timeout 20 sh -c \'until test "$(systemctl show -p InvocationID --value ipex-cleanup)" != "{before}"; '
        "do sleep 0.1; done'"
    )


def test_it_keeps_still_while_the_node_drains(patient: Patient) -> None:
    """An operator who has drained a node may do with its engines what he wants."""
    before = patient.start("ollama-ipex")
    patient.shell("ipex-node drain --reason maintenance --wait no")
    patient.ills(faults.inflict("ollama", generate="error503"))
    patient.monitor()

    assert "kept still: the node is draining (maintenance)" in patient.said()
    assert patient.start("ollama-ipex") == before


def test_what_fails_on_most_nodes_is_repaired_on_none(patient: Patient, lab: Lab) -> None:
    """Two of three nodes fail the same check: the gateway says so, and the node keeps engine and rotation."""
    before = patient.start("ollama-ipex")
    failing = json.dumps({"node": None, "services": {}, "failing": ["ollama:generates"]})
    lab.output(OTHER, f"mkdir -p {RUN} && chmod 0755 {RUN} && echo '{failing}' > {RUN}/verdict.json")
    patient.ills(faults.inflict("ollama", generate="error503"))
    numbers = patient.monitor()

    assert numbers["ipex_health_circuit_open ollama:generates"] == 1
    assert patient.start("ollama-ipex") == before
    assert patient.ready()["services"]["ollama"]
    assert f"ollama:generates fails on {NODE}, {OTHER} at once" in lab.output(
        lab.gateway, "journalctl -u ipex-gateway -o cat --no-pager"
    )


def _as_monitor(command: str) -> str:
    return f"systemd-run --quiet --pipe --wait --uid=ipex-health --gid=ipex-health {command}"


def test_its_user_may_restart_nothing_itself(patient: Patient) -> None:
    """Asking systemd is denied, also for the engines; a request for another unit is a file that nobody watches."""
    before = {unit: patient.start(unit) for unit in ("ollama-ipex", "prometheus-node-exporter", "ipex-agent")}
    allowed = patient.lab.run(NODE, _as_monitor("true"))
    denied = [patient.lab.run(NODE, _as_monitor(f"systemctl restart {unit}")) for unit in before]
    patient.shell(
        _as_monitor(f"sh -c 'echo x > {RUN}/restart-prometheus-node-exporter; echo x > {RUN}/restart-ipex-agent'")
    )
    # The door is open meanwhile: what goes through it afterwards shows that those would have gone through by now.
    _restarts(patient, lambda: patient.shell(_as_monitor(f"sh -c 'echo x > {REQUEST}'")))

    assert allowed.returncode == 0, allowed.stderr
    assert all(one.returncode != 0 for one in denied)
    assert {unit: patient.start(unit) for unit in ("prometheus-node-exporter", "ipex-agent")} == {
        unit: before[unit] for unit in ("prometheus-node-exporter", "ipex-agent")
    }


def test_a_storm_of_requests_meets_systemds_own_brake(patient: Patient) -> None:
    """One restart more than the monitor's own budget, whatever is asked for; then the door is shut, for all to see."""
    budget = json.loads(patient.shell("cat /etc/ipex/node.json"))["health"]["restarts"]
    for _ in range(budget + 1):
        _restarts(patient, lambda: patient.shell(f"echo x > {REQUEST}"))
    before = patient.start("ollama-ipex")
    patient.shell(f"echo x > {REQUEST}")
    patient.shell("timeout 20 sh -c 'until systemctl is-failed ipex-restart@ollama-ipex.path; do sleep 0.1; done'")

    assert patient.start("ollama-ipex") == before


def _restarts(patient: Patient, act: Callable[[], object]) -> None:
    before = patient.start("ollama-ipex")
    act()
    # Until the helper has ended, too: the door watches again only then.
    wanted = (
        f'test "$(systemctl show -p InvocationID --value ollama-ipex)" != "{before}" '
        "&& systemctl is-active --quiet ollama-ipex "
        "&& ! systemctl is-active --quiet ipex-restart@ollama-ipex.service"
    )
    patient.shell(f"timeout 40 sh -c 'until {wanted}; do sleep 0.1; done'")
