"""Silences, through the real command line, on the example fleet's fake nodes."""

import json

import pytest

from tests.fake_fleet import FakeFleet

NONE = ("--output=json silence query", "[]")
LASTS = {
    "comment": "new memory",
    "createdBy": "root@desk",
    "endsAt": "2026-03-01T19:04:54.577Z",
    "matchers": [{"isEqual": True, "isRegex": False, "name": "node", "value": "gpu-02"}],
}


def _amtool(nodes: FakeFleet) -> list[tuple[str, str]]:
    return [(node, command) for node, command in nodes.sent if "amtool" in command]


def test_each_node_is_silenced_for_its_time_with_a_reason(nodes: FakeFleet) -> None:
    """One silence a node, asked of the monitor; the nodes themselves, which may be down, are not spoken to."""
    nodes.answer("monitor-01", *NONE)
    data = ("--data", "nodes=gpu-02,gpu-03", "--data", "minutes=60", "--data", "reason=it's new memory")

    run = nodes.run("-y", "--limit", "*monitor-01", *data, deploy="tasks/silence.py")

    assert run.status == 0, run.output
    assert {node for node, _ in nodes.sent} == {"monitor-01"}
    commands = [command for _, command in _amtool(nodes)]
    assert len(commands) == 3
    for command, node in zip(commands, ("gpu-02", "gpu-03"), strict=False):
        assert command.startswith(
            "amtool --alertmanager.url=http://127.0.0.1:9093 silence add --duration=60m --author="
        )
        assert command.endswith(f"""'--comment=it'"'"'s new memory' 'node="{node}"'""")


def test_all_are_silenced_but_the_watchdog(nodes: FakeFleet) -> None:
    """Its silence would be a call for help of the dead man's switch."""
    nodes.answer("monitor-01", *NONE)
    data = ("--data", "minutes=5", "--data", "reason=move")

    run = nodes.run("-y", *data, deploy="tasks/silence.py")

    assert run.status == 0, run.output
    assert _amtool(nodes)[0][1].endswith("""'alertname!="Watchdog"'""")
    assert {node for node, _ in _amtool(nodes)} == {"monitor-01"}


def test_without_minutes_it_says_what_is_silent(nodes: FakeFleet) -> None:
    """And asks for nothing else."""
    nodes.answer("monitor-01", NONE[0], json.dumps([LASTS]))

    run = nodes.run("-y", deploy="tasks/silence.py")

    assert "node=gpu-02: until 2026-03-01 19:04 UTC, by root@desk: new memory" in run.output
    assert len(_amtool(nodes)) == 1


def test_dry_silences_nothing(nodes: FakeFleet) -> None:
    """As with every task."""
    run = nodes.run("--dry", "--data", "minutes=5", "--data", "reason=move", deploy="tasks/silence.py")

    assert run.status == 0, run.output
    assert _amtool(nodes) == []


def test_silences_are_ended_by_what_they_are_about(nodes: FakeFleet) -> None:
    """The same matcher finds them again."""
    nodes.answer("monitor-01", *NONE)

    run = nodes.run("-y", "--data", "nodes=gpu-02", deploy="tasks/unsilence.py")

    assert run.status == 0, run.output
    assert _amtool(nodes)[0][1].endswith("""unsilence --alertmanager.url=http://127.0.0.1:9093 'node="gpu-02"'""")
    assert "no alert is silenced" in run.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "minutes=5"), "say why"),
        (("--data", "minutes=0", "--data", "reason=x"), "write minutes from 1 to 10080"),
        (("--data", "minutes=10081", "--data", "reason=x"), "write minutes from 1 to 10080"),
        (("--data", "minutes=5", "--data", "reason=x", "--data", "nodes=gpu-9"), "is none of gateway-01, gateway-02"),
        (("--limit", "*gpu-02", "--data", "minutes=5", "--data", "reason=x"), "let --limit name one"),
    ],
)
def test_what_cannot_be_meant_is_refused(nodes: FakeFleet, arguments: tuple[str, ...], said: str) -> None:
    """Before anything is silenced, with what to do."""
    run = nodes.run("-y", *arguments, deploy="tasks/silence.py")

    assert run.status == 1
    assert said in run.output
    assert _amtool(nodes) == []
