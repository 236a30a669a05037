"""The transaction on a node in a directory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ipex_node.changes import Changes
from tests.ipex_node import fake_node
from tests.ipex_node.fake_node import AGENT, OLLAMA, PROFILE, FakeNode, FakeUnit, files

Bundle = Callable[..., Path]
UNIT_FILE = f"/etc/systemd/system/{OLLAMA}"


def test_first_activation_serves(node: FakeNode, make: Bundle) -> None:
    """An empty machine ends with files, profile, running units and a current generation."""
    identity = node.stage(make())
    status, answer = node.activate(identity)
    assert (status, answer["ok"], answer["from"], answer["to"]) == (0, True, None, identity)
    assert node.on(UNIT_FILE).read_text() == "ollama 1"
    assert node.on(PROFILE).is_dir()
    assert {(unit.active, unit.file) for unit in node.units.values()} == {("active", "enabled")}
    assert node.status()["generation"] == identity
    assert node.status()["drift"] == []


def test_second_activation_touches_nothing(node: FakeNode, served: str) -> None:
    """Activating what is current asks systemd for states and nothing else."""
    before = node.snapshot()
    status, answer = node.activate(served)
    assert (status, answer["changed"]) == (0, False)
    assert {command[1] for command in node.asked if command[0] == "systemctl"} == {"show"}
    assert node.snapshot() == before


def test_drift_restarts_only_the_affected_unit(node: FakeNode, served: str) -> None:
    """An edited unit file is mended and only its own unit started anew."""
    node.on(UNIT_FILE).write_text("edited by hand")
    status, _ = node.activate(served)
    assert status == 0
    assert node.on(UNIT_FILE).read_text() == "ollama 1"
    assert node.did("restart") == {OLLAMA}
    assert node.did("reload") == node.did("start") == set()


def test_configuration_is_reloaded_where_the_unit_can(node: FakeNode, served: str) -> None:
    """A unit with on_change reload is reloaded for its configuration."""
    node.on("/etc/ipex/node.json").write_text("{ }")
    assert node.activate(served)[0] == 0
    assert node.did("reload") == {AGENT}
    assert node.did("restart") == set()


def test_new_unit_file_restarts_even_a_reloading_unit(node: FakeNode, served: str) -> None:
    """A reload would leave the old process with the old sandbox."""
    node.on(f"/etc/systemd/system/{AGENT}").write_text("edited by hand")
    assert node.activate(served)[0] == 0
    assert node.did("restart") == {AGENT}


def test_a_unit_that_does_not_name_its_own_file_is_never_restarted_for_it(node: FakeNode, tmp_path: Path) -> None:
    """What must not end, like a gateway's nginx, runs on; systemd knows the new unit file for its next start."""
    contents = files()
    raw = fake_node.manifest(contents)
    raw["units"][AGENT]["inputs"] = ["/etc/ipex/node.json"]
    served = node.stage(fake_node.bundle(tmp_path, contents, raw))
    assert node.activate(served)[0] == 0

    node.on(f"/etc/systemd/system/{AGENT}").write_text("edited by hand")
    assert node.activate(served)[0] == 0

    assert node.did("restart") | node.did("reload") == set()
    assert ["systemctl", "daemon-reload"] in node.asked


@pytest.mark.parametrize("why", ["stopped", "disabled", "failed", "masked-runtime"])
def test_unit_drift_is_found_and_mended(node: FakeNode, served: str, why: str) -> None:
    """A unit stopped, disabled, failed or masked by hand is named, and runs again."""
    node.units[OLLAMA] = {
        "stopped": FakeUnit("inactive", "enabled"),
        "disabled": FakeUnit("active", "disabled"),
        "failed": FakeUnit("failed", "enabled"),
        "masked-runtime": FakeUnit("inactive", "masked-runtime"),
    }[why]
    assert node.status()["drift"] == [{"what": "unit", "name": OLLAMA, "why": why}]
    assert node.activate(served)[0] == 0
    assert node.units[OLLAMA] == FakeUnit("active", "enabled")
    assert node.did("restart") == set()


def test_moved_profile_is_switched_back(node: FakeNode, served: str) -> None:
    """A profile rolled back by hand leads to the generation's closure again, and its unit restarts."""
    profile = node.on(PROFILE)
    profile.unlink()
    profile.symlink_to("/nowhere")
    assert [one["what"] for one in node.status()["drift"]] == ["closure"]
    assert node.activate(served)[0] == 0
    assert node.did("restart") == {OLLAMA}
    assert node.status()["drift"] == []


def test_refused_files_change_nothing(node: FakeNode, served: str, make: Bundle) -> None:
    """A validator that refuses ends the activation before anything is touched."""
    contents = files("2") | {"/etc/ipex/node.json": "bad"}
    bad = node.stage(make(contents, "2"))
    before = node.snapshot()
    status, answer = node.activate(bad)
    assert (status, answer["rolled_back"]) == (1, False)
    assert answer["failures"][0]["why"] == "/etc/ipex/node.json: bad"
    assert node.snapshot() == before
    assert node.status()["generation"] == served


def test_failed_probe_restores_everything(node: FakeNode, served: str, make: Bundle) -> None:
    """Files with mode and time, profile with its links, and units are as before; the reason is said."""
    node.on("/etc/ipex/node.json").chmod(0o600)
    new = node.stage(make(files("2", extra="new"), "2"))
    before = node.snapshot()
    node.sick = {OLLAMA}
    status, answer = node.activate(new)
    assert node.snapshot() == before
    assert answer["failures"][0] == {"what": OLLAMA, "why": "does not generate"}
    # The old generation is asked too, and is as sick: the node could not be put back into service.
    assert status == 2
    assert node.status()["generation"] == served


def test_rollback_to_a_healthy_generation_is_status_1(node: FakeNode, served: str, make: Bundle) -> None:
    """What was put back serves again, and the answer says so."""
    new = node.stage(make(files("2"), "2"))
    before = node.snapshot()

    def broken(_: Changes) -> str:
        raise OSError("disk on fire")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Changes, "commit", broken)
        status, answer = node.activate(new)
    assert (status, answer["ok"], answer["rolled_back"]) == (1, False, True)
    assert answer["failures"] == [{"what": "commit", "why": "OSError: disk on fire"}]
    assert node.snapshot() == before
    assert served == node.status()["generation"]


STEPS = ["remember", "leave_rotation", "retire", "snapshot", "install", "switch", "start", "commit"]


@pytest.mark.parametrize("half", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_exception_at_any_step_rolls_back(node: FakeNode, make: Bundle, step: str, half: str) -> None:
    """Whatever step breaks, before or after its work, the node is exactly as before, and a retry succeeds."""
    gone = "/etc/systemd/system/extra.timer"
    contents = files("2", fresh="new")

    def with_timer(raw: dict[str, object]) -> None:
        units = raw["units"]
        assert isinstance(units, dict)
        units["extra.timer"] = {"enabled": True, "on_change": "restart", "inputs": [gone]}

    old = node.stage(make(files() | {gone: "timer"}, "1", with_timer))
    assert node.activate(old)[0] == 0
    new = node.stage(make(contents, "2"))
    before = node.snapshot()
    original = getattr(Changes, step)

    def broken(changes: Changes) -> str:
        if half == "after":
            original(changes)
        raise RuntimeError("broken on purpose")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Changes, step, broken)
        status, answer = node.activate(new)
    assert (status, answer["rolled_back"]) == (1, True)
    assert "broken on purpose" in answer["failures"][0]["why"]
    assert node.snapshot() == before
    assert node.activate(new)[0] == 0
    assert node.status()["drift"] == []


def test_crashing_version_is_taken_back(node: FakeNode, served: str, make: Bundle) -> None:
    """A crash loop uses up the unit's start limit; the old version starts all the same."""
    new = node.stage(make(files("crash"), "2"))
    before = node.snapshot()
    status, answer = node.activate(new)
    assert (status, answer["rolled_back"]) == (1, True)
    assert f"{OLLAMA}: is failed" in "{what}: {why}".format(**answer["failures"][0])
    assert node.snapshot() == before
    assert served


def test_nodes_first_activation_leaves_no_trace_when_it_fails(node: FakeNode, make: Bundle) -> None:
    """On an empty machine a rollback removes files, directories, profile and units again."""
    identity = node.stage(make())
    before = node.snapshot()
    node.sick = {OLLAMA}
    status, answer = node.activate(identity)
    assert (status, answer["rolled_back"]) == (1, True)
    after = node.snapshot()
    assert after.pop(OLLAMA) == after.pop(AGENT) == ("inactive", "disabled")
    assert after == before


def test_file_gone_from_the_generation_is_removed(node: FakeNode, make: Bundle) -> None:
    """What only the old generation had is removed, and the unit that read it reads again."""
    first = node.stage(make(files(extra="x")))
    node.activate(first)
    assert node.on("/etc/ipex/extra").exists()
    assert node.activate(node.stage(make()))[0] == 0
    assert not node.on("/etc/ipex/extra").exists()
    assert node.status()["previous"] == first


def test_unit_gone_from_the_generation_is_stopped(node: FakeNode, served: str, make: Bundle) -> None:
    """A unit that only the old generation had is stopped and disabled before its file goes."""

    def without_agent(raw: dict[str, object]) -> None:
        units = raw["units"]
        assert isinstance(units, dict)
        del units[AGENT]

    contents = {path: text for path, text in files().items() if AGENT not in path}
    assert node.activate(node.stage(make(contents, "1", without_agent)))[0] == 0
    assert node.units[AGENT] == FakeUnit("inactive", "disabled")
    assert not node.on(f"/etc/systemd/system/{AGENT}").exists()
    assert node.did("restart") == set()
    assert served


def test_damaged_stage_is_refused(node: FakeNode, make: Bundle) -> None:
    """A staged file that is no longer what its digest says is named, and nothing is touched."""
    identity = node.stage(make())
    (node.on(f"/var/lib/ipex/generations/{identity}/root") / UNIT_FILE.lstrip("/")).write_text("rotten")
    before = node.snapshot()
    status, answer = node.activate(identity)
    assert status == 1
    assert answer["failures"][0]["what"] == f"staged {UNIT_FILE}"
    assert node.snapshot() == before


def test_undo_that_fails_is_status_2(node: FakeNode, served: str, make: Bundle) -> None:
    """A node that could not be put back is told apart from one that was."""
    new = node.stage(make(files("2"), "2"))
    node.breaks = ["systemctl restart"]
    status, answer = node.activate(new)
    assert status == 2
    assert not answer["rolled_back"]
    assert len(answer["failures"]) >= 2
    assert node.status()["generation"] == served


def test_journal_names_each_step_before_it_is_done(node: FakeNode, served: str, make: Bundle) -> None:
    """The journal of a rolled-back transaction reads do, do, ..., undo, ..., end."""
    node.sick = {OLLAMA}
    node.activate(node.stage(make(files("2"), "2")))
    text = node.on("/var/lib/ipex/journal.json").read_text()
    events = [line.split('"event": "')[1].split('"')[0] for line in text.splitlines()]
    assert events[0] == "begin"
    assert events[-1] == "end"
    assert events.index("undo") > events.index("do")
    assert served in text
