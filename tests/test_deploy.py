"""The real deploy.py, through the real command line, on the example fleet's fake nodes."""

import json
from typing import Any

import pytest
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput

from fleet import desired, load
from ipex_node import record
from tests.fake_fleet import ARC, FakeFleet


def test_fresh_machines_get_everything_in_order(nodes: FakeFleet) -> None:
    """Packages, stage, activation and verification come in this order on a fresh fleet."""
    run = nodes.run("-y")

    assert run.status == 0, run.output
    gateway = [command for command in run.commands["gateway-01"] if "ipex-question" not in command]
    marks = ["apt-get", "base64 -d", " activate ", "verify --record"]
    places = [next(place for place, command in enumerate(gateway) if mark in command) for mark in marks]
    assert places == sorted(places)


def test_a_fleet_as_declared_is_asked_one_question_a_node(nodes: FakeFleet) -> None:
    """A run that changes nothing sends each node exactly one command."""
    nodes.is_as_declared()

    run = nodes.run("-y")

    assert run.status == 0, run.output
    assert {node: len(commands) for node, commands in run.commands.items()} == dict.fromkeys(run.commands, 1)
    assert sorted(run.commands) == ["gateway-01", "gateway-02", "gpu-01", "gpu-02", "gpu-03", "monitor-01"]
    assert "Nothing to change: 6 of 6 nodes are as declared" in run.output


def test_a_dry_run_shows_the_plan_and_asks_only(nodes: FakeFleet) -> None:
    """--dry prints what each node would get, and no command but the question is sent."""
    run = nodes.run("--dry")

    assert run.status == 0, run.output
    assert "gpu-01: install curl, nftables, nginx, nix-bin" in run.output
    assert all("ipex-question" in command for commands in run.commands.values() for command in commands)


def test_drift_is_shown_by_a_dry_run_and_mended_by_a_run(nodes: FakeFleet) -> None:
    """A node whose file was edited by hand is activated again, and only that node."""
    nodes.is_as_declared()
    nodes.fleet["gpu-02"]
    lines = nodes.answers["gpu-02"]["ipex-question"][1]
    lines[-1] = lines[-1].replace(
        '"drift": []', '"drift": [{"what": "file", "name": "/etc/ipex/node.json", "why": "edited"}]'
    )

    shown = nodes.run("--dry")
    mended = nodes.run("-y")

    assert "gpu-02: mend /etc/ipex/node.json: edited" in shown.output
    assert mended.order(" activate ") == ["gpu-02"]


def test_a_limit_touches_that_node_only(nodes: FakeFleet) -> None:
    """With --limit, gateways are asked who serves, the first monitor for lock and record, and nobody else."""
    run = nodes.run("-y", "--limit", "*gpu-02")

    assert run.status == 0, run.output
    assert sorted(run.commands) == ["gateway-01", "gateway-02", "gpu-02", "monitor-01"]
    assert all("ipex-question" in command for command in run.commands["gateway-01"])
    assert all("ipex-monitor" in command for command in run.commands["monitor-01"])


def test_a_node_that_is_left_out_and_does_not_serve_counts_for_the_floor(nodes: FakeFleet) -> None:
    """With --limit, the gateway tells of the nodes that are not asked: one of them is out, so none may leave."""
    nodes.is_as_declared()
    lines = nodes.answers["gateway-01"]["ipex-question"][1]
    lines.insert(0, 'gateway {"rotation": {"ollama": {"gpu-01": "in", "gpu-02": "in", "gpu-03": "out"}}}')

    run = nodes.run("-y", "--limit", "*gpu-02", "--data", 'agent={"port": 9099}')

    assert run.status == 1
    assert "gpu-02: cannot be taken out: 1 of 3 nodes would serve ollama, its floor is 2" in run.output


def test_a_condemned_node_counts_as_not_serving(nodes: FakeFleet) -> None:
    """What its health monitor keeps out is missed by nobody: that node changes first."""
    nodes.is_as_declared()
    lines = nodes.answers["gpu-03"]["ipex-question"][1]
    lines[-1] = json.dumps({**json.loads(lines[-1]), "condemned": {"ollama": "no answer", "comfyui": "no answer"}})

    run = nodes.run("-y", "--dry", "--data", 'agent={"port": 9099}')

    assert "wave 1 of 3: gpu-03" in run.output


def test_a_wave_that_has_become_too_much_does_not_begin(nodes: FakeFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the canary changes another node dies: the gateway says so, and the next wave does not begin."""
    nodes.is_as_declared()
    monkeypatch.setattr("operations.capacity._ROOM_SECONDS", 0)
    view = {"ollama": {"gpu-01": "in", "gpu-02": "in", "gpu-03": "in"}}
    nodes.answers["gateway-01"]["ipex-question"][1].insert(0, f"gateway {json.dumps({'rotation': view})}")
    respond = nodes.respond

    def dies(connector: FakeConnector, command: Any, stdin: str) -> tuple[bool, CommandOutput]:
        said = respond(connector, command, stdin)
        if any(" activate " in text for _, text in nodes.sent):
            view["ollama"]["gpu-03"] = "out"
        nodes.answers["gateway-01"]["ipex-question"][1][0] = f"gateway {json.dumps({'rotation': view})}"
        return said

    monkeypatch.setattr(nodes, "respond", dies)
    run = nodes.run("-y", "--data", 'agent={"port": 9099}')

    assert run.status == 1
    assert run.order(" activate ") == ["gpu-01"]
    assert "Stopped before '5. Wave 2 of 3" in run.output
    assert "gpu-02: cannot be taken out: 1 of 3 nodes would serve ollama, its floor is 2" in run.output


def test_a_failed_node_stops_the_run_before_the_next_chapter(nodes: FakeFleet) -> None:
    """When one GPU node cannot activate, the waves behind it and the gateways are left alone."""
    nodes.depot_serves()
    failure = '{"ok": false, "to": "f", "from": null, "failures": [{"what": "ollama", "why": "hangs"}]}'
    nodes.answer("gpu-02", " activate ", failure, succeeded=False)

    run = nodes.run("-y")

    assert run.status == 1
    assert "ollama: hangs" in run.output
    assert run.order(" activate ") == ["gpu-01", "gpu-02"]


def test_the_last_lines_say_what_happened_and_how_to_go_on(nodes: FakeFleet) -> None:
    """What, where, why, every node's state, and the command to type."""
    nodes.depot_serves()
    failure = {
        "ok": False,
        "rolled_back": True,
        "from": "0123456789abcdef",
        "to": "fedcba9876543210",
        "failures": [{"what": "ollama", "why": "hangs"}],
    }
    nodes.answer("gpu-02", " activate ", json.dumps(failure), succeeded=False)

    run = nodes.run("-y")

    last = run.output.split("pyinfra error: ")[1]
    assert last.startswith("Stopped before '6. Wave 3 of 3: gpu-03': gpu-02 failed\n  gpu-02: Activate the generation")
    assert "    ollama: hangs\n" in last
    assert "    old generation, after a failure: gpu-02 (0123456789abcdef)\n" in last
    assert "    untouched: gpu-03, gateway-01, gateway-02, monitor-01 (0123456789abcdef)\n" in last
    assert "    new generation: gpu-01 (" in last
    assert "To go on, once the cause is mended:\n  pyinfra -y inventory/example.py deploy.py\n" in last


def test_every_unfit_node_is_reported_before_anything_changes(nodes: FakeFleet) -> None:
    """Problems of several nodes come in one report, and no node is changed."""
    nodes.answer("gpu-01", "ipex-question", "distribution debian:12", "memory 32768000", "gpu 0000:00:02.0 3e92 i915")
    nodes.answer("gpu-02", "ipex-question", "distribution debian:13", "memory 8000000", *ARC)
    nodes.answer("gpu-03", "ipex-question", "distribution debian:13", "memory 32768000")

    run = nodes.run("-y")

    assert run.status == 1
    assert "gpu-01: runs debian:12" in run.output
    assert "gpu-01: has no GPU of class arc or xe-lp" in run.output
    assert "gpu-02: services may use 24 GiB" in run.output
    assert "gpu-03: has no Intel GPU" in run.output
    assert all("ipex-question" in command for commands in run.commands.values() for command in commands)


def test_an_unreachable_node_is_warned_about_and_does_not_block_the_others(nodes: FakeFleet) -> None:
    """The nodes that can be reached are changed; the last lines and the exit status tell of the one that was not."""
    nodes.unreachable = {"gpu-03"}

    run = nodes.run("-y")

    assert run.status == 1
    assert "gpu-03: cannot be reached over SSH" in run.output
    assert sorted(run.order(" activate ")) == ["gateway-01", "gateway-02", "gpu-01", "gpu-02", "monitor-01"]
    assert "Done, but for gpu-03: the next run brings up to date what could not be reached" in run.output
    assert "    cannot be reached: gpu-03\n" in run.output


def test_an_unreachable_node_blocks_where_the_floor_could_not_be_held(nodes: FakeFleet) -> None:
    """With one node of three down, neither of the two that serve may be taken out; nothing is changed."""
    nodes.is_as_declared()
    nodes.unreachable = {"gpu-03"}

    run = nodes.run("-y", "--data", "prometheus=null", "--data", 'agent={"port": 9099}')

    assert run.status == 1
    assert "gpu-01, gpu-02: cannot be taken out: 1 of 3 nodes would serve comfyui, its floor is 2" in run.output
    assert "Bring gpu-03 back into service, or lower the floor of comfyui and ollama" in run.output
    assert run.order(" activate ") == []


def test_waves_come_one_after_the_other(nodes: FakeFleet) -> None:
    """The canary, then the shares, then gateways and monitors; each is a chapter of its own."""
    nodes.depot_serves()
    run = nodes.run("-y")

    activations = [node for node, command in nodes.sent if " activate " in command]
    assert activations[:3] == ["gpu-01", "gpu-02", "gpu-03"]
    assert sorted(activations[3:5]) == ["gateway-01", "monitor-01"]
    assert activations[5:] == ["gateway-02"]
    assert "--> Starting operation: 4. Wave 1 of 3: gpu-01 (canary)" in run.output


def test_the_plan_with_its_waves_is_shown_by_a_dry_run(nodes: FakeFleet) -> None:
    """--dry prints the waves, and takes no lock."""
    run = nodes.run("--dry")

    assert "wave 1 of 3: gpu-01 (canary)" in run.output
    assert run.order("lock acquire") == []


@pytest.mark.parametrize("flag", ["--serial", "--no-wait"])
def test_flags_that_break_the_order_are_refused(nodes: FakeFleet, flag: str) -> None:
    """A flag that would break the order or hide a failure ends the run before any node is contacted."""
    run = nodes.run("-y", flag)

    assert run.status == 1
    assert flag in run.output
    assert run.commands == {}


def test_a_small_node_is_warned_about(nodes: FakeFleet) -> None:
    """Less than 16 GB of memory is a warning with a cure, where the services' limits fit."""
    for name in ("gpu-01", "gpu-02", "gpu-03"):
        nodes.answer(name, "ipex-question", "distribution debian:13", "memory 14000000", *ARC)

    run = nodes.run("--dry", "--data", 'service_overrides={"comfyui": {"memory_max": "2G"}}')

    assert run.status == 0, run.output
    assert "gpu-01, gpu-02, gpu-03: has 14.3 GB of memory, less than 16 GB. Performance may be limited" in run.output


def test_a_gpu_that_only_some_services_run_on_is_refused_for_the_others(nodes: FakeFleet) -> None:
    """An Xe-LP GPU runs Ollama with a warning, not ComfyUI; a node's own data takes ComfyUI's need away."""
    lines = [ARC[0].replace("56a0", "9a49"), ARC[1]]
    for name in ("gpu-01", "gpu-02", "gpu-03"):
        nodes.answer(name, "ipex-question", "distribution debian:13", "memory 32768000", *lines)

    refused = nodes.run("-y")
    let_through = nodes.run("--dry", "--data", 'service_overrides={"comfyui": {"gpu_classes": ["arc", "xe-lp"]}}')

    assert "has no GPU of class arc for comfyui: Tiger Lake (8086:9a49, xe-lp)" in refused.output
    assert refused.order("lock acquire") == []
    assert let_through.status == 0, let_through.output
    assert "on which ollama is slow. An Arc GPU is recommended." in let_through.output


def test_what_a_machine_lacks_beside_its_gpu_is_refused_or_warned_about(nodes: FakeFleet) -> None:
    """A render node the engines cannot open ends the run; a clock adrift, a full disk and an old kernel are said."""
    machine = ["distribution debian:13", "memory 32768000", "kernel 6.1.0-13-amd64", "clock adrift", "cgroup unified"]
    disks = ["free 1000000 4096 /var/lib", "free 1000000 4096 /nix"]
    for name in ("gpu-02", "gpu-03"):
        nodes.answer(name, "ipex-question", *machine, *disks, *ARC)
    closed = ARC[1].replace("root render", "root root")
    nodes.answer("gpu-01", "ipex-question", *machine, *disks, ARC[0], closed)

    refused = nodes.run("-y")
    nodes.answer("gpu-01", "ipex-question", *machine, *disks, *ARC)
    warned = nodes.run("--dry")

    assert "gpu-01: ollama cannot open /dev/dri/renderD128 (0660 root:root)" in refused.output
    assert refused.order("lock acquire") == []
    assert warned.status == 0, warned.output
    for words in (
        "runs Linux 6.1.0-13-amd64; Arc A770 (8086:56a0) needs 6.2 or newer with i915",
        "has 4.1 GB free for /var/lib, its services want 60 GB for models and outputs",
        "has 4.1 GB free for /nix, new closures of its services take up to 20.0 GB",
        "has a clock that nothing keeps in time",
    ):
        assert warned.output.count(words) == 1


def test_every_operation_has_a_name(nodes: FakeFleet) -> None:
    """No operation prints its arguments as its name: what is staged would be in the log."""
    run = nodes.run("-y")

    headings = [line for line in run.output.splitlines() if line.startswith("--> Starting operation:")]
    assert headings
    assert not [line for line in headings if "=" in line or "bundle" in line]


def test_a_second_run_is_told_who_holds_the_lock(nodes: FakeFleet) -> None:
    """Where somebody else rolls, nothing is changed, and the refusal passes on who and how to break it."""
    held = '{"ok": false, "failures": [{"what": "the rollout lock", "why": "ann@desk holds it", "cure": "wait"}]}'
    nodes.answer("monitor-01", "lock acquire", held, succeeded=False)

    run = nodes.run("-y")

    assert run.status == 1
    assert "No node was changed:\n  the rollout lock: ann@desk holds it\n    To do: wait" in run.output
    assert run.order("apt-get") == []
    assert run.order("lock release") == []


def test_the_lock_is_given_back_after_a_failure(nodes: FakeFleet) -> None:
    """A run that stops lets others roll at once, with the token it took the lock by."""
    nodes.answer("gpu-01", "base64 -d", succeeded=False)

    nodes.run("-y")

    acquired, released = ([text for _, text in nodes.sent if word in text] for word in ("lock acquire", "lock release"))
    assert len(acquired) == len(released) == 1
    assert released[0].split("--token ")[1].strip("'") in acquired[0]


def test_a_monitor_that_is_down_ends_the_run_unless_the_lock_is_waived(nodes: FakeFleet) -> None:
    """Nobody rolls without the lock by accident; break_lock goes on without it."""
    nodes.unreachable = {"monitor-01"}

    refused = nodes.run("-y")
    waived = nodes.run("-y", "--data", "break_lock=true")

    assert "monitor-01 keeps the rollout lock and does not answer" in refused.output
    assert refused.order("apt-get") == []
    assert waived.order(" activate ") == ["gpu-01", "gpu-02", "gpu-03", "gateway-01", "gateway-02"]


def test_a_run_is_recorded_on_the_controller_and_the_monitor(nodes: FakeFleet) -> None:
    """One record a run, with who, plan, and each node's end; the controller's chain is whole."""
    run = nodes.run("-y")
    nodes.answer("gpu-01", "base64 -d", succeeded=False)
    nodes.run("-y")

    first, second = record.read(nodes.records)
    assert run.order("record append") == ["monitor-01"]
    assert record.verify(nodes.records)["records"] == 2
    assert first["result"] == "done"
    assert first["plan"] == [["gpu-01"], ["gpu-02"], ["gpu-03"], ["monitor-01", "gateway-01"], ["gateway-02"]]
    assert first["nodes"]["gpu-01"]["ending"] == "new"
    assert second["result"] == "stopped"
    assert second["nodes"]["gpu-02"]["ending"] == "untouched"


def test_a_guarded_environment_asks_for_a_confirmation(nodes: FakeFleet) -> None:
    """All of a guarded environment changes only with its name typed; --dry and --limit need none."""
    guard = 'rollout={"canaries": 1, "fractions": [], "lock_seconds": 900, "guard": "limit-or-confirm"}'

    refused = nodes.run("-y", "--data", guard)
    wrong = nodes.run("-y", "--data", guard, "--data", "confirm=prod")
    allowed = [
        nodes.run("-y", "--data", guard, "--data", "confirm=example"),
        nodes.run("-y", "--data", guard, "--limit", "*gpu-01"),
        nodes.run("--dry", "--data", guard),
    ]

    for run in (refused, wrong):
        assert run.status == 1
        assert "pyinfra --data confirm=example -y --data" in run.output
        assert run.order("lock acquire") == []
    assert [run.status for run in allowed] == [0, 0, 0]


def test_a_quarantined_generation_is_refused_until_forced(nodes: FakeFleet) -> None:
    """What has failed on a node is not tried again by itself."""
    nodes.is_as_declared(generation="0123456789abcdef")
    mine = desired.generation(nodes.fleet["gpu-01"], nodes.fleet).id
    lines = nodes.answers["gpu-01"]["ipex-question"][1]
    entry = {"why": "ollama hangs", "at": "2026-01-01"}
    lines[-1] = json.dumps({**json.loads(lines[-1]), "quarantined": {mine: entry}})

    refused = nodes.run("-y")
    forced = nodes.run("-y", "--data", "force=true")

    assert f"gpu-01: generation {mine} has failed here before (2026-01-01): ollama hangs" in refused.output
    assert refused.order("lock acquire") == []
    assert next(command for command in forced.commands["gpu-01"] if " activate " in command).endswith("--force")


_TRIAL = '{"ok": true, "failures": [], "generation": "f", "trial": true, "seconds": 2}'


def test_new_rules_are_confirmed_by_a_connection_of_their_own(
    nodes: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a node says that rules are on trial, it is connected to once more before it activates; others are not."""
    nodes.answer("gpu-02", "firewall try", _TRIAL)
    nodes.answer("gpu-02", "firewall confirm", '{"ok": true, "failures": [], "generation": "f", "trial": false}')
    connected = []
    connect = FakeConnector.connect

    def counted(connector: FakeConnector) -> None:
        connected.append(load.node_name(connector.host))
        connect(connector)

    monkeypatch.setattr(FakeConnector, "connect", counted, raising=False)
    run = nodes.run("-y")

    assert run.status == 0, run.output
    assert run.order("firewall confirm") == ["gpu-02"]
    sent = [
        mark
        for command in run.commands["gpu-02"]
        for mark in ("firewall try", " confirm", " activate ")
        if mark in command
    ]
    assert sent == ["firewall try", " confirm", " activate "]
    assert {name: connected.count(name) for name in ("gpu-01", "gpu-02")} == {"gpu-01": 1, "gpu-02": 2}


@pytest.mark.parametrize("way", ["cannot connect", "is refused"])
def test_rules_that_let_nobody_in_end_the_run(nodes: FakeFleet, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Without a confirmation nothing of the node is activated, the run stops, and the last lines say why."""
    nodes.depot_serves()
    nodes.answer("gpu-01", "firewall try", _TRIAL)
    late = '{"ok": false, "failures": [{"what": "firewall confirm", "why": "no rules are on trial"}]}'
    nodes.answer("gpu-01", "firewall confirm", late, succeeded=False)
    connect = FakeConnector.connect

    def refused(connector: FakeConnector) -> None:
        if way == "cannot connect" and any("firewall try" in text for _, text in nodes.sent):
            raise ConnectError("Could not connect (timed out)")
        connect(connector)

    monkeypatch.setattr(FakeConnector, "connect", refused, raising=False)
    run = nodes.run("-y")

    assert run.status == 1
    assert run.order(" activate ") == []
    assert "no new SSH connection came in through the rules of generation f" in run.output
    assert ("timed out" if way == "cannot connect" else "no rules are on trial") in run.output
    assert "    untouched: gpu-01" in run.output


def test_a_controller_that_would_lock_itself_out_changes_nothing(nodes: FakeFleet) -> None:
    """The node tells by which connection it is asked; rules that do not admit that are refused before any change."""
    nodes.is_as_declared()
    for name, port in (("gpu-01", 22), ("gpu-02", 2222)):
        nodes.answers[name]["ipex-question"][1].insert(0, f"asked 192.0.2.1 50000 203.0.113.11 {port}")
    wanted = '{"ssh_ports": [22], "ssh_from": ["198.51.100.0/24"], "confirm_seconds": 30}'

    run = nodes.run("-y", "--data", f"firewall={wanted}")

    assert run.status == 1
    assert "gpu-01, gpu-02: is reached over SSH from 192.0.2.1, which firewall.ssh_from does not admit" in run.output
    assert "gpu-02: is reached over SSH on its port 2222, and firewall.ssh_ports admits 22" in run.output
    assert all("ipex-question" in command for commands in run.commands.values() for command in commands)


def test_the_gateway_with_the_floating_address_changes_last(nodes: FakeFleet) -> None:
    """Wherever it is: what the other one refuses never reaches users."""
    nodes.depot_serves()
    nodes.answer("gateway-01", "ipex-question", "distribution debian:13", "memory 32768000", "floating held")

    run = nodes.run("-y")

    activations = [node for node, command in nodes.sent if " activate " in command]
    assert run.status == 0, run.output
    assert sorted(activations[3:5]) == ["gateway-02", "monitor-01"]
    assert activations[5:] == ["gateway-01"]
