"""A deployed fleet stays as declared: nothing to do is nothing done, and drift is found and mended."""

import pytest

from lab import nodes
from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

OLLAMA_UNIT = "/etc/systemd/system/ollama-ipex.service"


def test_a_second_run_changes_nothing_and_says_so(lab: Lab) -> None:
    """After a deploy the same command finds nothing to change on any node."""
    before = {name: lab.output(name, "systemctl show -p ExecMainPID ipex-agent") for name in ("gpu-01", "gateway-01")}

    run = lab.deploy("-y")

    assert run.returncode == 0, run.stdout
    assert "Nothing to change: 6 of 6 nodes are as declared" in run.stdout
    after = {name: lab.output(name, "systemctl show -p ExecMainPID ipex-agent") for name in before}
    assert after == before


@pytest.mark.parametrize(
    ("node", "harm", "said", "healed"),
    [
        (
            "gpu-01",
            f"echo '# by hand' >> {OLLAMA_UNIT}",
            f"mend {OLLAMA_UNIT}: edited",
            f"! grep 'by hand' {OLLAMA_UNIT}",
        ),
        (
            "gpu-01",
            "systemctl set-property ollama-ipex MemoryMax=3G",
            "mend ollama-ipex.service: changed by /etc/systemd/system.control",
            f"test $(systemctl show -p MemoryMax --value ollama-ipex) = {2**30}",
        ),
        (
            "gpu-02",
            "systemctl stop comfyui-ipex",
            "mend comfyui-ipex.service: stopped",
            "systemctl is-active comfyui-ipex",
        ),
        (
            "gpu-03",
            "systemctl disable ollama-ipex",
            "mend ollama-ipex.service: disabled",
            "systemctl is-enabled ollama-ipex",
        ),
        ("gateway-01", "rm /etc/nginx/ipex/server.conf", "server.conf: missing", "test -s /etc/nginx/ipex/server.conf"),
        (
            "monitor-01",
            "chmod 600 /etc/prometheus/prometheus.yml",
            "prometheus.yml: mode is 0600, not 0644",
            "test $(stat -c %a /etc/prometheus/prometheus.yml) = 644",
        ),
    ],
    ids=["file-edited", "property-set", "unit-stopped", "unit-disabled", "file-removed", "mode-changed"],
)
def test_drift_is_shown_by_dry_and_mended_by_a_run(lab: Lab, node: str, harm: str, said: str, healed: str) -> None:
    """What a hand changed on a node is named by --dry, left alone by it, and undone by the next run."""
    generation = lab.status(node)["generation"]
    lab.output(node, harm)

    shown = lab.deploy("--dry")
    unhealed = lab.run(node, healed).returncode
    mended = lab.deploy("-y")

    assert f"{node}: mend " in shown.stdout
    assert said in shown.stdout
    assert unhealed != 0
    assert mended.returncode == 0, mended.stdout
    lab.output(node, healed)
    assert lab.status(node)["drift"] == []
    assert lab.status(node)["generation"] == generation


def test_mending_a_unit_leaves_its_neighbour_alone(lab: Lab) -> None:
    """Only the unit whose input drifted is restarted."""
    question = "systemctl show -p ExecMainPID --value comfyui-ipex ollama-ipex"
    comfyui, _, ollama = lab.output("gpu-01", question).splitlines()
    lab.output("gpu-01", f"echo '# by hand' >> {OLLAMA_UNIT}")

    run = lab.deploy("-y")

    assert run.returncode == 0, run.stdout
    comfyui_after, _, ollama_after = lab.output("gpu-01", question).splitlines()
    assert comfyui_after == comfyui
    assert ollama_after != ollama


def test_a_limit_touches_one_node_and_keeps_the_others_in_every_list(lab: Lab) -> None:
    """--limit of the gateway, after its upstreams were broken, brings all GPU nodes back into them."""
    path = "/etc/nginx/ipex/upstreams.conf"
    wanted = lab.output("gateway-01", f"cat {path}")
    lab.output("gateway-01", f"sed -i /198.18.0.12/d {path}")
    lab.output("gpu-01", "systemctl stop ollama-ipex")

    limited = lab.deploy("-y", "--limit", "gateway-01")
    stopped = lab.run("gpu-01", "systemctl is-active ollama-ipex").stdout.strip()
    whole = lab.deploy("-y")

    assert lab.output("gateway-01", f"cat {path}") == wanted
    assert "gpu-01" not in limited.stdout
    assert stopped == "inactive"
    assert whole.returncode == 0, whole.stdout


def test_a_node_that_is_down_is_named_and_brought_up_to_date_later(lab: Lab) -> None:
    """With one node off and another drifted, the run mends the one, names the other, and exits non-zero."""
    node = lab.node("gpu-03")
    lab.output("gpu-01", "systemctl stop ollama-ipex")
    nodes.power_off(node)
    try:
        run = lab.deploy("-y")
        mended = lab.run("gpu-01", "systemctl is-active ollama-ipex").stdout.strip()
    finally:
        nodes.boot(node)
    after_boot = lab.output("gpu-03", "systemctl is-active ollama-ipex comfyui-ipex ipex-agent")
    again = lab.deploy("-y")

    assert run.returncode == 1
    assert "gpu-03: cannot be reached over SSH" in run.stdout
    assert mended == "active"
    assert after_boot.split() == ["active"] * 3
    assert again.returncode == 0, again.stdout


def test_a_failed_probe_takes_the_change_back(lab: Lab) -> None:
    """A new generation whose engine does not start is rolled back: the node serves the old one."""
    before = lab.status("gpu-02")["generation"]
    change = '{"comfyui": {"command": "bin/comfyui --listen 0.0.0.0 --port 8188 --no-such-flag"}}'

    run = lab.deploy("-y", "--limit", "gpu-02", "--data", f"node_overrides={change}")

    assert run.returncode == 1, run.stdout
    assert "comfyui-ipex" in run.stdout
    assert "Rolled back: the node serves" in run.stdout
    assert lab.status("gpu-02")["generation"] == before
    assert lab.status("gpu-02")["drift"] == []
    assert lab.output("gpu-02", "curl -sf http://127.0.0.1:8188/system_stats")
