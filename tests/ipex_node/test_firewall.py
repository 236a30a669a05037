"""Rules that are tried before they count, on a node in a directory."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ipex_node import activation, firewall, situation
from ipex_node.failure import FailedError
from ipex_node.paths import Paths
from ipex_node.world import Completed, World
from tests.ipex_node.fake_node import FakeNode, bundle, files, manifest

NEWER = "192.0.2.1 50001 203.0.113.11 22"
OLDER = "192.0.2.1 50000 203.0.113.11 22"


@pytest.fixture
def with_rules(node: FakeNode, tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A staged generation with rules, on a node that serves one without, asked by an old connection."""
    assert served
    monkeypatch.setenv("SSH_CONNECTION", OLDER)
    return _staged(node, tmp_path, "rules 1")


def _staged(node: FakeNode, tmp_path: Path, rules: str) -> str:
    contents = files(**{"firewall.nft": rules})
    return node.stage(bundle(tmp_path, contents, manifest(contents)))


def _try(node: FakeNode, identity: str) -> dict[str, object]:
    node.asked.clear()
    return firewall.attempt(node.world, identity, 30)


def _confirm(node: FakeNode, monkeypatch: pytest.MonkeyPatch, connection: str = NEWER) -> dict[str, object]:
    monkeypatch.setenv("SSH_CONNECTION", connection)
    return firewall.confirm(node.world)


def test_nothing_is_activated_before_a_trial(node: FakeNode, with_rules: str, served: str) -> None:
    """The refusal names what to do, and nothing has changed; at a console it can be forced."""
    with pytest.raises(FailedError, match="no new SSH connection has confirmed"):
        node.activate(with_rules)

    assert node.status()["generation"] == served
    status, _ = activation.activate(node.world, with_rules, node.check, force=True)
    assert status == 0


def test_confirmed_rules_are_activated(
    node: FakeNode, with_rules: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tried, confirmed by a newer connection, activated; the same rules in another generation need no second trial."""
    answer = _try(node, with_rules)
    assert answer["trial"] is True
    assert node.status()["firewall"]["state"] == "on trial"
    _confirm(node, monkeypatch)
    assert node.status()["firewall"] == {}

    status, _ = node.activate(with_rules)

    assert status == 0
    contents = files("2", **{"firewall.nft": "rules 1"})
    again = node.stage(bundle(tmp_path, contents, manifest(contents, "2")))
    node.on("/run/ipex/firewall-confirmed").unlink()
    assert _try(node, again)["trial"] is False
    assert node.activate(again)[0] == 0


def test_the_timer_is_armed_before_the_rules_are_loaded(node: FakeNode, with_rules: str) -> None:
    """Whatever becomes of the program, systemd takes the rules back."""
    _try(node, with_rules)

    programs = [command[0] for command in node.asked if command[0] != "systemctl"]
    assert programs == ["nft", "systemd-run", "nft"]
    assert "--check" in next(command for command in node.asked if command[0] == "nft")


def test_what_is_taken_back_is_the_current_generations(node: FakeNode, with_rules: str) -> None:
    """The timer's command loads the committed rules, not a file that somebody may have edited, or forgets the table."""
    _try(node, with_rules)

    script = next(command for command in node.asked if command[0] == "systemd-run")[-1]
    subprocess.run(["sh", "-c", script.replace("nft", "echo")], check=True, capture_output=True)

    assert f"nft --file {node.world.paths.current}/root/etc/ipex/firewall.nft || nft delete table inet ipex" in script
    assert node.status()["firewall"]["state"] == "taken back"
    assert node.status()["firewall"]["generation"] == with_rules
    with pytest.raises(FailedError, match="no rules are on trial"):
        firewall.confirm(node.world)


def test_a_connection_older_than_the_rules_confirms_nothing(
    node: FakeNode, with_rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on whatever the rules say."""
    _try(node, with_rules)

    with pytest.raises(FailedError, match="older than the rules"):
        _confirm(node, monkeypatch, OLDER)

    assert node.status()["firewall"]["state"] == "on trial"
    with pytest.raises(FailedError, match="no new SSH connection has confirmed"):
        node.activate(with_rules)


@pytest.mark.parametrize("breaks", ["nft --check", "systemd-run", "nft --file"])
def test_what_cannot_be_tried_leaves_nothing_behind(node: FakeNode, with_rules: str, breaks: str) -> None:
    """Nft refuses, the timer cannot be armed, the kernel refuses: no trial, and the old rules are put back."""
    node.breaks = [breaks]

    with pytest.raises(FailedError, match="broken on purpose"):
        _try(node, with_rules)

    assert node.status()["firewall"] == {}
    node.breaks = []
    assert _try(node, with_rules)["trial"] is True


def test_other_rules_than_the_confirmed_ones_are_not_activated(
    node: FakeNode, with_rules: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confirmation is for these very bytes."""
    _try(node, with_rules)
    _confirm(node, monkeypatch)

    with pytest.raises(FailedError, match="no new SSH connection has confirmed"):
        node.activate(_staged(node, tmp_path, "rules 2"))


def test_rules_that_somebody_has_changed_are_drift_and_are_loaded_again(
    node: FakeNode, with_rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel says is held against what it said when the unit loaded the file."""
    _try(node, with_rules)
    _confirm(node, monkeypatch)
    node.activate(with_rules)
    loaded = node.on(firewall.LOADED)
    loaded.parent.mkdir(parents=True)
    loaded.write_text("table inet ipex")

    def run(command: Sequence[str], *, show: bool = False) -> Completed:
        return Completed(0, said, "") if tuple(command) == firewall.LISTED else node.run(command, show=show)

    world = World(node.world.paths, run)
    said = "table inet ipex"
    found = list(firewall.drift(world, situation.find(world, with_rules).new))
    said = "another"
    changed = situation.find(world, with_rules)

    assert found == []
    assert [one.name for one in firewall.drift(world, changed.new)] == [firewall.RULES]
    assert changed.plan.install == (firewall.RULES,)


def test_the_connection_is_found_behind_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sudo clears the variable: an ancestor still has it; at a console nobody has."""
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr("os.getppid", lambda: 30)
    for process, parent, environment in ((30, 20, b"A=b\0"), (20, 1, f"X=y\0SSH_CONNECTION={OLDER}\0".encode())):
        place = tmp_path / f"proc/{process}"
        place.mkdir(parents=True)
        (place / "environ").write_bytes(environment)
        (place / "status").write_text(f"Name:\tsh\nPPid:\t{parent}\n")

    assert firewall.connection(Paths(tmp_path)) == OLDER
    (tmp_path / "proc/20/environ").write_bytes(b"")
    assert firewall.connection(Paths(tmp_path)) == ""


def test_a_damaged_record_is_no_trial(node: FakeNode, with_rules: str) -> None:
    """Whoever cuts it off in the middle of its file has confirmed nothing."""
    _try(node, with_rules)
    record = node.world.paths.firewall_trial
    record.write_text(json.dumps(json.loads(record.read_text()))[:10])

    assert node.status()["firewall"] == {}
    with pytest.raises(FailedError, match="no rules are on trial"):
        firewall.confirm(replace(node.world))
