"""The metrics pages of deployed nodes."""

import time

import pytest

from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

CAP_SYS_PTRACE = f"{1 << 19:016x}"


def page(lab: Lab, node: str) -> str:
    """Return a node's page."""
    return lab.output(node, "curl -sf http://localhost:9090/metrics")


def test_pages_pass_promtool(lab: Lab) -> None:
    """Debian's own promtool has nothing to say against the page of any node."""
    monitor = lab.names("monitors")[0]
    for name in (*lab.gpus, lab.gateway, monitor):
        said = f"curl -sf http://{lab.node(name).address}:9090/metrics"
        assert lab.output(monitor, f"{said} | promtool check metrics 2>&1") == ""


def test_gpu_is_on_the_page_of_its_node(lab: Lab) -> None:
    """What the sampler leaves, the agent tells: the processes of the recorded tree keep their memory."""
    deadline = time.monotonic() + 60
    while "ipex_gpu_memory_used_bytes{" not in page(lab, "gpu-01") and time.monotonic() < deadline:
        time.sleep(1)
    found = page(lab, "gpu-01")
    assert 'ipex_gpu_memory_used_bytes{gpu="card0",region="vram0"} ' in found
    assert 'ipex_gpu_engine_busy_seconds_total{gpu="card0",engine="compute"} ' in found
    assert 'ipex_metrics_absent{source="gpu"' not in found


def test_sampler_may_look_at_processes_and_nothing_else(lab: Lab) -> None:
    """One capability, a user of its own, no network."""
    pid = lab.output("gpu-01", "systemctl show -p MainPID --value ipex-gpu")
    status = dict(line.split(":\t", 1) for line in lab.output("gpu-01", f"cat /proc/{pid}/status").splitlines())
    assert {status[name] for name in ("CapEff", "CapBnd", "CapAmb")} == {CAP_SYS_PTRACE}
    assert status["Uid"].split()[0] != "0"
    assert lab.output("gpu-01", f"nsenter --target {pid} --net ip -o route") == ""


def test_sampler_sees_what_an_engine_has_open(lab: Lab) -> None:
    """With that one capability it reads the fdinfo of an engine in a user namespace of its own, and not its `fd`."""
    sampler, engine = (
        lab.output("gpu-01", f"systemctl show -p MainPID --value {unit}") for unit in ("ipex-gpu", "ollama-ipex")
    )
    user = lab.output("gpu-01", f"stat -c %u /proc/{sampler}")
    drop = f"setpriv --reuid {user} --clear-groups --inh-caps +sys_ptrace --ambient-caps +sys_ptrace"
    assert "mnt_id" in lab.output("gpu-01", f"{drop} cat /proc/{engine}/fdinfo/0")
    assert lab.run("gpu-01", f"{drop} ls /proc/{engine}/fd").returncode != 0
