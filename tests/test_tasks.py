"""The tasks, through the real command line, on the example fleet's fake nodes."""

import json
from typing import Any

from tests.fake_fleet import FakeFleet

OLD = "0123456789abcdef"


def _says(nodes: FakeFleet, node: str, **status: Any) -> None:
    """Add to what a node says of itself."""
    lines = nodes.answers[node]["ipex-question"][1]
    lines[-1] = json.dumps({**json.loads(lines[-1]), **status})


def test_status_is_a_table_for_people(nodes: FakeFleet) -> None:
    """One line a node: hardware, generation, pinned flake, services, rotation, backup, drift."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})
    _says(nodes, "gpu-02", rotation={"state": "draining", "reason": "new memory", "by": "operator"})
    _says(nodes, "gpu-03", drift=[{"what": "unit", "name": "ollama-ipex.service", "why": "failed"}])
    pin = "flake github:you/flake/0123456789012345678901234567890123456789?narHash=sha256-AAAAAAAAAAAA%3D"
    nodes.answers["gpu-01"]["ipex-question"][1].insert(0, pin)

    run = nodes.run(deploy="tasks/status.py")

    assert run.status == 0, run.output
    rows = {line.split()[0]: " ".join(line.split()) for line in run.output.splitlines() if line.startswith("  g")}
    assert "Arc A770 i915" in rows["gpu-01"]
    assert "012345678901 ollama up, comfyui up in yes - - - none" in rows["gpu-01"]
    assert "draining (new memory)" in rows["gpu-02"]
    assert "ollama DOWN" in rows["gpu-03"]
    assert "ollama-ipex.service failed" in rows["gpu-03"]
    assert {len(commands) for commands in run.commands.values()} == {1}


def test_status_is_json_for_programs(nodes: FakeFleet) -> None:
    """With --json standard output is one JSON document, and a node that is down is in it."""
    nodes.is_as_declared()
    nodes.unreachable = {"gpu-03"}

    run = nodes.run("--json", deploy="tasks/status.py")

    rows = {row["node"]: row for row in json.loads(run.stdout)["nodes"]}
    assert run.status == 1
    assert rows["gpu-01"]["services"] == {"ollama": True, "comfyui": True}
    assert rows["gpu-03"] == {"node": "gpu-03", "reached": False}


def test_status_says_what_the_health_monitor_keeps_out(nodes: FakeFleet) -> None:
    """A condemned service is named with the reason, in words and for programs."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""}, condemned={"ollama": "ollama:gpu: on the CPU"})

    assert "in; ollama out: ollama:gpu: on the CPU" in nodes.run(deploy="tasks/status.py").output
    rows = json.loads(nodes.run("--data", "json=true", deploy="tasks/status.py").stdout)["nodes"]
    assert rows[0]["condemned"] == {"ollama": "ollama:gpu: on the CPU"}


def test_status_says_what_becomes_of_new_rules(nodes: FakeFleet) -> None:
    """Rules on trial, or taken back because nobody has confirmed them, are named with their generation."""
    nodes.is_as_declared(firewall={"state": "taken back", "generation": OLD, "since": "2026-01-01T00:00:00+0000"})

    assert f"taken back: rules of {OLD}" in nodes.run(deploy="tasks/status.py").output
    rows = json.loads(nodes.run("--data", "json=true", deploy="tasks/status.py").stdout)["nodes"]
    assert rows[0]["firewall"]["state"] == "taken back"


def test_drain_takes_one_node_out_with_its_reason(nodes: FakeFleet) -> None:
    """The node is asked to leave, with the reason for whoever asks why; no other node is."""
    nodes.is_as_declared()

    run = nodes.run("-y", "--limit", "*gpu-02", "--data", "reason=new memory", deploy="tasks/drain.py")

    assert run.status == 0, run.output
    assert run.order(" drain --reason 'new memory'") == ["gpu-02"]
    assert run.order(" drain ") == ["gpu-02"]


def test_drain_keeps_the_floor(nodes: FakeFleet) -> None:
    """Two of three nodes may not leave where two must serve, unless a person insists."""
    nodes.is_as_declared()
    two = ("-y", "--limit", "*gpu-02", "--limit", "*gpu-01")

    refused = nodes.run(*two, deploy="tasks/drain.py")
    forced = nodes.run(*two, "--data", "force=true", deploy="tasks/drain.py")

    assert refused.status == 1
    assert "1 of 3 nodes would serve ollama, its floor is 2" in refused.output
    assert refused.order(" drain ") == []
    assert sorted(forced.order(" drain ")) == ["gpu-01", "gpu-02"]


def test_one_gateway_may_be_drained_and_not_both(nodes: FakeFleet) -> None:
    """Somebody must hold the floating address."""
    nodes.is_as_declared()

    one = nodes.run("-y", "--limit", "*gateway-01", deploy="tasks/drain.py")
    both = nodes.run("-y", "--limit", "*gateway-01", "--limit", "*gateway-02", deploy="tasks/drain.py")

    assert one.status == 0, one.output
    assert one.order(" drain ") == ["gateway-01"]
    assert both.status == 1
    assert "gateway-01, gateway-02: nobody would hold 203.0.113.20. Drain one gateway at a time" in both.output
    assert both.order(" drain ") == []


def test_undrain_asks_gpu_nodes_and_gateways(nodes: FakeFleet) -> None:
    """Engines return to rotation, gateways to the floating address; monitors have neither."""
    nodes.is_as_declared()

    run = nodes.run("-y", deploy="tasks/undrain.py")

    assert sorted(run.order(" undrain")) == ["gateway-01", "gateway-02", "gpu-01", "gpu-02", "gpu-03"]


def test_rollback_goes_by_waves_to_each_nodes_previous_generation(nodes: FakeFleet) -> None:
    """With the lock, wave by wave; a node without a previous generation is left as it is."""
    nodes.is_as_declared()
    for name in ("gpu-01", "gpu-03"):
        _says(nodes, name, previous=OLD, staged=[OLD])

    run = nodes.run("-y", deploy="tasks/rollback.py")

    assert run.status == 0, run.output
    assert [node for node, command in nodes.sent if f" rollback {OLD}" in command] == ["gpu-01", "gpu-03"]
    assert "--> Starting operation: 1. Wave 1 of 2: gpu-01 (canary)" in run.output
    assert run.order("lock acquire") == ["monitor-01"]
    assert run.order(" verify") == ["gateway-01", "gateway-02"]


def test_rollback_to_a_generation_that_no_node_has_is_refused(nodes: FakeFleet) -> None:
    """The refusal names what was asked for; no node is changed."""
    nodes.is_as_declared()

    run = nodes.run("-y", "--data", f"to={OLD}", deploy="tasks/rollback.py")

    assert run.status == 1
    assert f"has generation {OLD} to go back to" in run.output
    assert run.order(" rollback ") == []


def test_verify_probes_the_engines_and_uses_the_routes(nodes: FakeFleet) -> None:
    """GPU nodes let their engines work, gateways use every route; nothing is recorded."""
    nodes.is_as_declared()

    run = nodes.run("-y", deploy="tasks/verify.py")

    assert sorted(run.order(" probe")) == ["gpu-01", "gpu-02", "gpu-03"]
    assert run.order(" verify") == ["gateway-01", "gateway-02"]
    assert run.order("--record") == []


def test_a_reboot_takes_the_nodes_that_need_it(nodes: FakeFleet) -> None:
    """The plan names each with its reason; a node that needs none is left alone, and --dry changes nothing."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})
    assert "Nothing to reboot: none of" in nodes.run("--dry", deploy="tasks/reboot.py").output
    _says(nodes, "gpu-02", reboot_reasons=["kernel 6.12.9 runs, 6.12.10 is installed"])

    run = nodes.run("--dry", deploy="tasks/reboot.py")

    assert run.status == 0, run.output
    assert "gpu-02: reboot: kernel 6.12.9 runs, 6.12.10 is installed" in run.output
    assert "gpu-01: as declared" in run.output
    assert "wave 1 of 1: gpu-02" in run.output


def test_a_node_that_does_not_say_which_boot_it_runs_is_not_rebooted(nodes: FakeFleet) -> None:
    """Nobody could tell its next boot from this one: the wave behind it would begin while it goes down."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})
    _says(nodes, "gpu-02", reboot_reasons=["kernel 6.12.9 runs, 6.12.10 is installed"])

    run = nodes.run("-y", deploy="tasks/reboot.py")

    assert run.status == 1, run.output
    assert "gpu-02: reboot: it does not say which boot it runs, so none was begun" in run.output
    assert run.order("reboot --show") == ["gpu-02"]
    assert run.order("reboot --reason") == []


def test_gateways_reboot_last_and_one_at_a_time(nodes: FakeFleet) -> None:
    """Monitors come before them, and each node that leaves is alone."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})

    run = nodes.run("--dry", "--data", "only_needed=false", "--data", "force=true", deploy="tasks/reboot.py")

    then = [line.split("then: ")[1] for line in run.output.splitlines() if "then: " in line]
    assert then == ["monitor-01", "gateway-01", "gateway-02"]


_SPEEDS = {"declared": [10.0, 11.0], "faster": [20.0, 21.0]}


def _measures(nodes: FakeFleet, name: str, *, proposes: bool = True) -> None:
    """Let a node answer a tuning."""
    four = {"OLLAMA_NUM_PARALLEL": "4"}
    row = {
        "service": "ollama",
        "model": "tinyllama",
        "gpu": "8086:56a0",
        "release": f"{'x' * 32}-ollama-1",
        "failed": "",
    }
    same = {"OLLAMA_KV_CACHE_TYPE": "f16"}
    one = {
        **row,
        "setting": {"OLLAMA_NUM_PARALLEL": "1", **same},
        "declared": True,
        "tokens_per_second": _SPEEDS["declared"],
    }
    two = {**row, "setting": four | same, "declared": False, "tokens_per_second": _SPEEDS["faster"]}
    proposal = {"service": "ollama", "environment": four | same, "gain": 0.95}
    answer = {"ok": True, "failures": [], "measured": [one, two], "compared": []}
    nodes.answer(name, "optimize tuning", json.dumps({**answer, "proposals": [proposal] if proposes else []}))


def test_tuning_takes_one_node_after_the_other_and_prints_a_change(nodes: FakeFleet) -> None:
    """Each node is a wave, with the rollout's lock; all propose the same: a change of group_data."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})
    for name in ("gpu-01", "gpu-02", "gpu-03"):
        _measures(nodes, name)

    run = nodes.run("-y", deploy="tasks/tune.py")

    assert run.status == 0, run.output
    assert [node for node, command in nodes.sent if "optimize tuning" in command] == ["gpu-01", "gpu-02", "gpu-03"]
    assert "Wave 3 of 3: gpu-03" in run.output
    assert run.order("lock acquire") == ["monitor-01"]
    added = [line for line in run.output.splitlines() if line.startswith("+ ")]
    assert added == ['+            "OLLAMA_NUM_PARALLEL": "4",']
    row = next(line.split() for line in run.output.splitlines() if line.endswith("proposed"))
    setting = ["OLLAMA_KV_CACHE_TYPE=f16", "OLLAMA_NUM_PARALLEL=4"]
    assert row == ["gpu-01", "ollama", "tinyllama", "8086:56a0", "ollama-1", *setting, "20.5", "proposed"]


def test_nodes_that_differ_get_a_change_each(nodes: FakeFleet) -> None:
    """For programs, too."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})
    for name in ("gpu-01", "gpu-02", "gpu-03"):
        _measures(nodes, name, proposes=name == "gpu-02")

    run = nodes.run("-y", "--data", "json=true", deploy="tasks/tune.py")

    said = json.loads(run.stdout[run.stdout.index("{") :])
    assert [one["node"] for one in said["proposals"]] == ["gpu-02"]
    assert "for gpu-02, into its entry of the inventory" in said["change"]
    assert '"OLLAMA_HOST": "0.0.0.0:11434"' in said["change"]
    assert [row["node"] for row in said["measured"] if row["proposed"]] == ["gpu-02"]


def test_tuning_keeps_the_floor(nodes: FakeFleet) -> None:
    """Whom somebody has drained is left alone, and no other may leave meanwhile."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})
    _says(nodes, "gpu-01", rotation={"state": "draining", "reason": "new memory", "by": "operator"})

    run = nodes.run("-y", deploy="tasks/tune.py")

    assert run.status == 1
    assert "1 of 3 nodes would serve comfyui; 1 of 3 nodes would serve ollama" in run.output.replace(
        ", its floor is 2", ""
    )
    assert run.order("optimize") == []


def test_a_dry_tuning_asks_nobody_and_a_failed_one_ends_the_run(nodes: FakeFleet) -> None:
    """The plan says what would be measured; behind a node that fails none leaves rotation."""
    nodes.is_as_declared(rotation={"state": "in", "reason": ""})
    failure = {"what": "tuning", "why": "still in flight: ollama 1 request"}
    nodes.answer("gpu-01", "optimize tuning", json.dumps({"ok": False, "failures": [failure]}), succeeded=False)

    dry = nodes.run("--dry", deploy="tasks/tune.py")
    asked = dry.order("optimize tuning")
    run = nodes.run("-y", "--data", "action=declared", deploy="tasks/tune.py")

    assert "gpu-02: measure 6 settings of ollama" in dry.output
    assert asked == []
    assert run.status == 1
    assert "still in flight: ollama 1 request" in run.output
    assert run.order("optimize tuning --declared") == ["gpu-01"]
