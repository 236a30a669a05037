"""The health monitor on a node whose engine, kernel log, gateways and systemd are small fakes."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ipex_node import marker, rotation
from ipex_node.__main__ import main
from ipex_node.failure import FailedError, Failure
from ipex_node.health import kernel, memory, run, verdict
from ipex_node.health.verdict import Verdict
from tests.ipex_node.conftest import Bundle
from tests.ipex_node.fake_node import OLLAMA, FakeNode
from tests.ipex_node.health.box import GENERATE, HANG, HEALTH, WEDGE, Box, generation, hang, healthy, on_cpu, refuse
from tests.ipex_node.tiny_server import Handler


def test_a_healthy_engine_is_left_alone(box: Box) -> None:
    """Nothing is restarted and nothing held against it; every level is counted as passed."""
    assert box.check() == {
        "ok": True,
        "failures": [],
        "checks": {"ollama": "healthy"},
        "restarted": [],
        "circuit": [],
    }
    assert (box.restarts, box.out) == ([], "")
    assert set(box.counted("ipex_health_check_failed").values()) == {0}
    assert box.counted("ipex_gpu_resets_total") == {"card0 reset": 0, "card0 hang": 0, "card0 wedge": 0}


@pytest.mark.parametrize(
    ("path", "answer", "level"),
    [
        (GENERATE, hang, "generates"),
        (GENERATE, refuse, "generates"),
        ("GET /api/ps", on_cpu, "gpu"),
        ("GET /api/tags", refuse, "api"),
    ],
    ids=["hangs", "503", "cpu", "api"],
)
def test_an_ill_engine_is_restarted_once_and_comes_back(
    box: Box, path: str, answer: Callable[[Handler], None], level: str
) -> None:
    """The fault is named, the engine out of rotation while it lasts, restarted, proved, counted and taken back."""
    box.engine.answers[path] = answer
    seen: list[str] = []

    def restart() -> None:
        seen.append(box.out)
        healthy(box.engine)

    box.on_restart = restart
    answered = box.check()

    assert (answered["ok"], answered["checks"], answered["restarted"]) == (
        True,
        {"ollama": f"ollama:{level}"},
        ["ollama"],
    )
    assert len(box.restarts) == 1
    assert seen[0].startswith(f"ollama is out: ollama:{level}: ")
    assert box.out == ""
    assert box.counted("ipex_health_check_failed")[f"ollama {level}"] == 1
    assert box.counted("ipex_health_restarts_total") == {"ollama": 1}
    assert box.counted("ipex_health_budget_left") == {"ollama": 1}


def test_a_restart_is_counted_before_it_is_asked_for(box: Box) -> None:
    """A monitor that is killed at that moment must not have one more restart than it may."""
    counted: list[dict[str, int]] = []

    def restart() -> None:
        counted.append(memory.load(box.node.world.paths).restarts)
        healthy(box.engine)

    box.engine.answers[GENERATE] = refuse
    box.on_restart = restart
    box.check()
    assert counted == [{"ollama": 1}]


@pytest.mark.parametrize("level", ["runs", "port"])
def test_a_dead_engine_is_restarted(box: Box, level: str) -> None:
    """A unit that systemd has given up, and one that runs and listens nowhere."""
    if level == "runs":
        (box.node.world.paths.running_units / f"invocation:{OLLAMA}").unlink()
    else:
        _move(box, 1)
    box.on_restart = lambda: _move(box, box.engine.server_port)
    answered = box.check()
    assert answered["checks"] == {"ollama": f"ollama:{level}"}
    assert box.restarts == [f"ollama:{level}"]


def _move(box: Box, port: int) -> None:
    path = box.node.world.paths.settings
    raw = json.loads(path.read_text())
    raw["services"][0]["port"] = port
    path.write_text(json.dumps(raw))


def test_an_engine_on_the_processor_gets_one_restart(box: Box) -> None:
    """A second would show the same: it stays out, and the next runs restart nothing."""
    box.engine.answers["GET /api/ps"] = on_cpu
    assert [box.check()["ok"] for _ in range(3)] == [False, False, False]
    assert len(box.restarts) == 1
    assert "computes on the CPU" in box.out


def test_a_flapping_engine_ends_out_of_rotation(box: Box) -> None:
    """Each restart heals it for a moment; when the budget is used up it stays out, until another generation."""
    box.on_restart = lambda: healthy(box.engine)
    for _ in range(4):
        box.engine.answers[GENERATE] = refuse
        box.check()
    assert len(box.restarts) == HEALTH["restarts"]
    assert box.counted("ipex_health_budget_left") == {"ollama": 0}
    healthy(box.engine)
    assert not box.check()["ok"]
    assert "DeviceLostError" in box.out


def test_another_generation_is_another_chance(box: Box, make: Bundle) -> None:
    """A deploy that restarts and proves an engine takes it back; another is judged anew by the next run."""
    box.engine.answers["GET /api/ps"] = on_cpu
    box.check()
    healthy(box.engine)
    assert not box.check()["ok"]
    condemned = verdict.read(box.node.world.paths.verdict)
    box.node.activate(box.node.stage(make(*generation(box.node, box.engine, "2"))))
    assert box.out == ""
    verdict.write(box.node.world.paths.verdict, condemned)
    assert box.check()["ok"]
    assert box.out == ""


def test_what_was_given_up_in_another_generation_is_tried_once_more(box: Box) -> None:
    """Still ill after a deploy that has not touched it, an engine gets what its budget has left."""
    box.engine.answers["GET /api/ps"] = on_cpu
    box.check()
    path = box.node.world.paths.verdict
    held = verdict.read(path)
    verdict.write(path, held.against("ollama", replace(held.services["ollama"], generation="another")))
    box.check()
    assert len(box.restarts) == 2


def test_undrain_takes_back_what_was_given_up(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator's word ends every verdict."""
    box.engine.answers["GET /api/ps"] = on_cpu
    box.check()
    assert main(["undrain"], box.node.world) == 0
    assert json.loads(capsys.readouterr().out)["changed"]
    assert box.out == ""


def test_the_second_restart_waits(box: Box) -> None:
    """Behind a restart that has not helped, the next run asks for none before its time."""
    box.set(backoff_seconds=60)
    box.engine.answers[GENERATE] = refuse
    box.check()
    box.check()
    assert len(box.restarts) == 1
    assert box.out.startswith("ollama is out: ollama:generates: ")


@pytest.mark.parametrize("why", ["drain", "activating"])
def test_it_keeps_still_while_the_node_changes(box: Box, why: str) -> None:
    """A node that drains or activates is neither judged nor repaired, and says why."""
    box.engine.answers[GENERATE] = refuse
    paths = box.node.world.paths
    (marker.put_drain(paths, "new fan", "operator") if why == "drain" else marker.put_activating(paths, "x"))
    answered = box.check()
    assert answered["ok"]
    assert {"drain": "new fan", "activating": "activating"}[why] in answered["still"]
    assert box.restarts == []
    assert not paths.verdict.exists()


def test_a_change_that_begins_meanwhile_stays_its_hand(box: Box) -> None:
    """Between verdict and restart it looks again."""

    def answer(handler: Handler) -> None:
        marker.put_activating(box.node.world.paths, "x")
        refuse(handler)

    box.engine.answers[GENERATE] = answer
    box.check()
    assert box.restarts == []
    assert verdict.read(box.node.world.paths.verdict) == Verdict()


def test_a_reset_restarts_a_healthy_engine_and_a_second_asks_for_a_reboot(box: Box) -> None:
    """An engine behind a reset GPU may answer well and hang a moment later; two resets in a window are no accident."""
    box.check()
    box.kernel("usb 1-2: new device", HANG)
    seen: list[str] = []
    box.on_restart = lambda: seen.append(box.out)
    first = box.check()
    assert (first["ok"], first["restarted"], box.restarts) == (True, ["ollama"], ["gpu:reset"])
    assert "Timedout job" in seen[0]
    box.kernel(HANG)
    second = box.check()
    assert not second["ok"]
    assert len(box.restarts) == 1
    assert "reboot needed: 2 in 3600 seconds" in box.out
    assert box.counted("ipex_node_reboot_needed") == {"": 1}
    assert box.counted("ipex_gpu_resets_total")["card0 hang"] == 2


def test_a_wedge_asks_for_a_reboot_at_once(box: Box) -> None:
    """No restart helps: the node stays out, run after run, until an operator or a reboot ends it."""
    box.kernel(WEDGE)
    assert not box.check()["ok"]
    assert not box.check()["ok"]
    assert box.restarts == []
    assert "gpu:wedge: reboot needed" in box.out
    box.node.world.paths.verdict.unlink()
    assert box.check()["ok"]
    assert box.counted("ipex_gpu_resets_total")["card0 wedge"] == 1


def test_what_happened_before_the_first_run_is_past(box: Box) -> None:
    """A reset of weeks ago is counted, and nobody is restarted for it; behind a reboot every reset is new."""
    box.kernel(HANG)
    assert box.check()["restarted"] == []
    assert box.counted("ipex_gpu_resets_total")["card0 hang"] == 1
    box.node.world.paths.boot_id.write_text("boot-2\n")
    assert box.check()["restarted"] == ["ollama"]


def test_killing_a_hanging_engine_is_no_second_reset(box: Box) -> None:
    """What the driver says while the engine is restarted is counted and not acted on."""
    box.check()
    box.on_restart = lambda: box.kernel(HANG)
    box.kernel(HANG)
    assert box.check()["ok"]
    assert box.check()["ok"]
    assert len(box.restarts) == 1
    assert box.counted("ipex_gpu_resets_total")["card0 hang"] == 2


def test_a_wedge_during_the_restart_is_seen(box: Box) -> None:
    """The driver gives up in the middle of the repair."""
    box.check()
    box.on_restart = lambda: box.kernel(WEDGE)
    box.kernel(HANG)
    assert not box.check()["ok"]
    assert "gpu:wedge" in box.out


def test_an_unreadable_log_is_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to read it, the monitor says that it sees no resets, and does the rest."""

    def read(path: Path, _after: int) -> None:
        raise FailedError(Failure(str(path), "may not be read: GPU resets are not seen"))

    monkeypatch.setattr(kernel, "read", read)
    answered = box.check()
    assert "may not be read" in answered["failures"][0]["why"]
    assert answered["checks"] == {"ollama": "healthy"}


def test_what_fails_everywhere_is_not_repaired(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open circuit: nothing is condemned, nothing restarted, and both are said; closed again, it is repaired."""
    box.engine.answers[GENERATE] = refuse
    monkeypatch.setattr(rotation, "circuit", lambda _port: ("ollama:generates",))
    answered = box.check()
    assert (answered["ok"], answered["circuit"]) == (False, ["ollama:generates"])
    assert (box.restarts, box.out) == ([], "")
    assert box.counted("ipex_health_circuit_open") == {"ollama:generates": 1}
    assert verdict.read(box.node.world.paths.verdict).failing == ("ollama:generates",)
    monkeypatch.setattr(rotation, "circuit", lambda _port: ())
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["restarted"] == ["ollama"]
    assert verdict.read(box.node.world.paths.verdict).failing == ()


def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the window of a verdict go by, and nothing else."""
    clock = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda which: clock(which) + HEALTH["window_seconds"])


def test_what_was_given_up_counts_for_a_window(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the whole fleet may be failing, one node after the other; then it is this node that is ill."""
    box.engine.answers["GET /api/ps"] = on_cpu
    path = box.node.world.paths.verdict
    for _ in range(2):
        box.check()
        assert verdict.read(path).failing == ("ollama:gpu",)
    _later(monkeypatch)
    box.check()
    assert verdict.read(path).failing == ()
    assert (len(box.restarts), "computes on the CPU" in box.out) == (1, True)


def test_a_wedge_counts_for_a_window(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everything that is final; the node stays out."""
    box.kernel(WEDGE)
    path = box.node.world.paths.verdict
    for _ in range(2):
        box.check()
        assert verdict.read(path).failing == ("gpu:wedge",)
    _later(monkeypatch)
    box.check()
    assert verdict.read(path).failing == ()
    assert "gpu:wedge" in box.out


def test_a_full_disk_asks_for_the_cleanup(box: Box) -> None:
    """The request names the place; with room enough there is none."""
    request = box.node.world.paths.health / "cleanup"
    box.check()
    assert not request.exists()
    box.set(disk_share=0)
    box.check()
    assert f"of the file system of {box.node.world.paths.state} is used" in request.read_text()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"boot": 1}', b'{"spent": {"ollama": 3}}', b"\xff", b"null", b"[" * 60_000]
)
def test_a_broken_memory_is_a_fresh_start(node: FakeNode, content: bytes) -> None:
    """The file is a memory aid: damaged, it must not end the monitor."""
    path = node.world.paths.health_memory
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert memory.load(node.world.paths) == memory.Memory()


def test_the_memory_of_an_older_program_is_kept(node: FakeNode) -> None:
    """What it did not know yet is no reason to forget the restarts it has counted."""
    memory.save(node.world.paths, memory.Memory(boot="a", restarts={"ollama": 3}, looked=7))
    path = node.world.paths.health_memory
    raw = json.loads(path.read_bytes())
    del raw["looked"]
    path.write_text(json.dumps(raw))
    assert memory.load(node.world.paths) == memory.Memory(boot="a", restarts={"ollama": 3})


def test_a_node_that_is_not_deployed_says_so(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings there is nothing to judge."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(FailedError, match="says nothing of health"):
        run.check(node.world)


def test_root_is_told_how_to_run_it(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root would leave, the monitor's own user could not write again."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(FailedError, match="systemctl start ipex-health-monitor"):
        box.check()
    assert not box.node.world.paths.samples("health").exists()


def test_a_request_for_the_cleanup_that_cannot_be_written_is_told(box: Box) -> None:
    """The engines are looked at all the same."""
    (box.node.world.paths.health / "cleanup").mkdir()
    box.set(disk_share=0)
    answered = box.check()
    assert answered["failures"][0]["why"] == "cannot be written: Is a directory"
    assert answered["checks"] == {"ollama": "healthy"}


def test_the_last_look_is_one_at_the_engines(box: Box) -> None:
    """A run that keeps still, or waits for a reboot, has not looked: the time of the last that has stands."""
    paths = box.node.world.paths
    marker.put_drain(paths, "new fan", "operator")
    box.check()
    assert box.counted("ipex_health_last_run_timestamp_seconds") == {}
    marker.clear_drain(paths)
    box.check()
    looked = box.counted("ipex_health_last_run_timestamp_seconds")[""]
    box.kernel(WEDGE)
    for _ in range(2):
        box.check()
    assert verdict.read(paths.verdict).node
    assert box.counted("ipex_health_last_run_timestamp_seconds")[""] >= looked > 0
    again = box.counted("ipex_health_last_run_timestamp_seconds")
    box.check()
    assert box.counted("ipex_health_last_run_timestamp_seconds") == again
