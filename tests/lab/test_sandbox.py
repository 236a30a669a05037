"""What is denied is denied, on running nodes. Every test begins with a denial that must happen."""

import base64
import json

import pytest

from tests.exposure import EXPOSURE, score
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.security]


# Grafana is left out of the lab by declaration; its unit is scored as it is written (tests/parsers).
@pytest.mark.parametrize("unit", sorted(set(EXPOSURE) - {"grafana-server"}))
def test_exposure_of_a_running_unit_does_not_rise(lab: Lab, unit: str) -> None:
    """The score systemd gives the unit as it runs stays at or below its bound."""
    node, bound = EXPOSURE[unit]
    said = lab.output(node, f"systemd-analyze security --no-pager {unit} | tail -1")

    assert score(said) <= bound, said


def _denied(lab: Lab, node: str) -> None:
    """A device that is not allowed must be refused here, or this node proves nothing."""
    open_device = "python3 -c 'open(\"/dev/net/tun\")'"
    allowed = lab.run(node, f"systemd-run --quiet --pipe --wait {open_device}")
    refused = lab.run(node, f"systemd-run --quiet --pipe --wait -p DevicePolicy=closed {open_device}")
    assert allowed.returncode == 0, allowed.stderr
    assert refused.returncode != 0, "DevicePolicy=closed is not enforced on this node"


def _inside(lab: Lab, node: str, unit: str, attempt: str) -> str:
    """Try something as a copy of the unit: its own user, sandbox, filters and limits.

    Returns:
        `done`, `denied` (an OSError), or systemd's word for any other end.
    """
    program = f"import sys\ntry:\n    {attempt}\nexcept OSError as error:\n    print(error)\n    sys.exit(77)\n"
    source = base64.b64encode(program.encode()).decode()
    copy = (
        f"echo {source} | base64 -d > /run/probe.py && "
        "sed -e 's|^ExecStart=.*|ExecStart=/usr/bin/python3 /run/probe.py|' -e 's|^Type=.*|Type=oneshot|' "
        "-e '/^Restart/d' -e 's|^StateDirectory=.*|StateDirectory=probe|' -e 's|%S/[a-z]*$|%S/probe|' "
        f"/etc/systemd/system/{unit}.service > /run/systemd/system/probe.service && systemctl daemon-reload"
    )
    lab.output(node, copy)
    started = lab.run(node, "systemctl start probe.service").returncode == 0
    shown = lab.output(node, "systemctl show -p Result -p ExecMainStatus probe.service").splitlines()
    lab.run(node, "systemctl reset-failed probe.service; rm -f /run/systemd/system/probe.service /run/probe.py")
    lab.output(node, "systemctl daemon-reload")
    end = dict(line.split("=", 1) for line in shown)
    if started:
        return "done"
    return "denied" if end["ExecMainStatus"] == "77" else f"{end['Result']} {end['ExecMainStatus']}"


ALLOWED = "open('/var/lib/probe/x', 'w')"
DENIED = {
    "write-etc": "open('/etc/x', 'w')",
    "write-usr": "open('/usr/x', 'w')",
    "read-home": "import os; os.listdir('/root')",
    "device": "open('/dev/net/tun')",
    "unshare": "import os; os.unshare(os.CLONE_NEWUSER)",
    "raw-socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "other-port": "import socket; socket.socket().bind(('0.0.0.0', 8081))",
    "chown": "import os; open('/var/lib/probe/y', 'w'); os.chown('/var/lib/probe/y', 0, 0)",
    "other-process": "import os; os.stat('/proc/1/cmdline')",
    "execute-own-file": (
        "import os, shutil, subprocess; shutil.copy('/bin/true', '/var/lib/probe/t'); "
        "os.chmod('/var/lib/probe/t', 0o755); subprocess.run('/var/lib/probe/t')"
    ),
    "other-node": "import socket; socket.create_connection(('198.18.0.12', 22), timeout=2)",
}


def test_an_engine_may_do_what_it_needs(lab: Lab) -> None:
    """The copy of the unit in which the denials are tried does run, and writes to its own state."""
    _denied(lab, "gpu-01")

    assert _inside(lab, "gpu-01", "ollama-ipex", ALLOWED) == "done"


@pytest.mark.parametrize("attempt", DENIED)
@pytest.mark.parametrize("unit", ["ollama-ipex", "comfyui-ipex"])
def test_an_engine_may_do_nothing_else(lab: Lab, unit: str, attempt: str) -> None:
    """Files, devices, namespaces, sockets, ports, ownership, other processes and other nodes are out of reach."""
    assert _inside(lab, "gpu-01", unit, DENIED[attempt]) == "denied"


def test_only_gateways_and_monitors_reach_an_engine(lab: Lab) -> None:
    """Without the firewall another GPU node finds its port silent; gateway and monitor get answers."""
    _denied(lab, "gpu-01")
    question = "curl -sf -m 3 -o /dev/null http://198.18.0.11:11434/api/tags"

    lab.output("gpu-01", "systemctl stop ipex-firewall")
    try:
        answered = {name: lab.run(name, question).returncode for name in ("gpu-03", "gateway-01", "monitor-01")}
    finally:
        lab.output("gpu-01", "systemctl start ipex-firewall")

    assert answered == {"gpu-03": 28, "gateway-01": 0, "monitor-01": 0}


def test_the_health_monitor_works_inside_its_sandbox(lab: Lab) -> None:
    """Its verdict on healthy engines: without privilege it sees all it needs, and nothing fails."""
    lab.output("gpu-01", "systemctl start ipex-health-monitor")
    said = lab.output("gpu-01", "journalctl -u ipex-health-monitor -o cat --no-pager -n 20 | grep checks | tail -1")

    assert json.loads(said)["checks"] == {"ollama": "healthy", "comfyui": "healthy"}


def test_memory_and_processor_limits_are_real(lab: Lab) -> None:
    """On the node that enforces limits, a program over its MemoryMax= is killed; the engine's own limit is set."""
    allocate = "python3 -c 'len(b\"x\" * 200 * 2**20)'"
    enough = lab.run("gpu-02", f"systemd-run --quiet --pipe --wait -p MemoryMax=400M {allocate}")
    killed = lab.run("gpu-02", f"systemd-run --quiet --pipe --wait -p MemoryMax=50M -p MemorySwapMax=0 {allocate}")

    assert enough.returncode == 0, enough.stderr
    assert killed.returncode != 0, "MemoryMax= is not enforced on this node"
    shown = lab.output("gpu-02", "systemctl show -p MemoryMax -p CPUQuotaPerSecUSec ollama-ipex").splitlines()
    assert sorted(shown) == ["CPUQuotaPerSecUSec=1s", f"MemoryMax={2**30}"]
    assert _inside(lab, "gpu-02", "ollama-ipex", "len(b'x' * 1200 * 2**20)") in {"oom-kill 9", "signal 9"}


def test_an_engine_runs_as_a_user_of_its_own(lab: Lab) -> None:
    """Neither engine runs as root, and both are in render and video."""
    for unit in ("ollama-ipex", "comfyui-ipex"):
        pid = lab.output("gpu-01", f"systemctl show -p ExecMainPID --value {unit}")
        status = lab.output("gpu-01", f"cat /proc/{pid}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(fields["Uid"].split()[0]) >= 61184  # systemd's range of dynamic users
        assert fields["NoNewPrivs"] == "1"
        wanted = lab.output("gpu-01", "getent group render video | cut -d: -f3").split()
        assert set(wanted) <= set(fields["Groups"].split())
