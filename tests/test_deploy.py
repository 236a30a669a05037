"""The real deploy.py, through the real command line, on the example fleet's fake nodes."""

import pytest

from tests.fake_fleet import FakeFleet


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
    assert sorted(run.commands) == ["gateway-01", "gpu-01", "gpu-02", "gpu-03", "monitor-01"]
    assert "Nothing to change: 5 of 5 nodes are as declared" in run.output


def test_a_dry_run_shows_the_plan_and_asks_only(nodes: FakeFleet) -> None:
    """--dry prints what each node would get, and no command but the question is sent."""
    run = nodes.run("--dry")

    assert run.status == 0, run.output
    assert "gpu-01: install nix-bin" in run.output
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
    """With --limit, no other node is sent a command, and the plan still knows the whole fleet."""
    run = nodes.run("-y", "--limit", "*gpu-02")

    assert run.status == 0, run.output
    assert list(run.commands) == ["gpu-02"]


def test_a_failed_node_stops_the_run_before_the_next_chapter(nodes: FakeFleet) -> None:
    """When one GPU node cannot activate, gateways are left alone and the last lines name it."""
    failure = '{"ok": false, "rolled_back": true, "from": null, "failures": [{"what": "ollama", "why": "hangs"}]}'
    nodes.answer("gpu-02", " activate ", failure, succeeded=False)

    run = nodes.run("-y")

    assert run.status == 1
    assert "ollama: hangs" in run.output
    assert "gpu-02 failed" in run.output
    assert "gateway-01" not in run.order(" activate ")


def test_every_unfit_node_is_reported_before_anything_changes(nodes: FakeFleet) -> None:
    """Problems of several nodes come in one report, and no node is changed."""
    nodes.answer("gpu-01", "ipex-question", "distribution debian:12", "memory 32768000", "gpu 0000:00:02.0 3e92 i915")
    nodes.answer("gpu-02", "ipex-question", "distribution debian:13", "memory 8000000", "gpu 0000:03:00.0 56a0 i915")
    nodes.answer("gpu-03", "ipex-question", "distribution debian:13", "memory 32768000")

    run = nodes.run("-y")

    assert run.status == 1
    assert "gpu-01: runs debian:12" in run.output
    assert "gpu-01: has no GPU of class arc or xe-lp" in run.output
    assert "gpu-02: services may use 24 GiB" in run.output
    assert "gpu-03: has no Intel GPU" in run.output
    assert all("ipex-question" in command for commands in run.commands.values() for command in commands)


def test_an_unreachable_node_is_refused_with_the_others(nodes: FakeFleet) -> None:
    """A node that cannot be reached ends the run before any other is changed."""
    nodes.unreachable = {"gpu-03"}

    run = nodes.run("-y")

    assert run.status == 1
    assert "gpu-03: cannot be reached over SSH" in run.output
    assert all("ipex-question" in command for commands in run.commands.values() for command in commands)


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
        nodes.answer(name, "ipex-question", "distribution debian:13", "memory 25000000", "gpu 0000:03:00.0 9a49 i915")

    run = nodes.run("--dry")

    assert run.status == 0, run.output
    assert "is xe-lp. An Arc GPU is recommended." in run.output


def test_every_operation_has_a_name(nodes: FakeFleet) -> None:
    """No operation prints its arguments as its name: what is staged would be in the log."""
    run = nodes.run("-y")

    headings = [line for line in run.output.splitlines() if line.startswith("--> Starting operation:")]
    assert headings
    assert not [line for line in headings if "(" in line or "bundle" in line]
