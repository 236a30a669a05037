"""The health monitor on a node whose engine, kernel log, gateways and systemd are small fakes."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipex_node import marker, probing, rotation, samples
from ipex_node.__main__ import main
from ipex_node.failure import FailedError, Failure
from ipex_node.health import checks, kernel, memory, repair, run, verdict
from ipex_node.health.verdict import Verdict
from ipex_node.readiness import Readiness
from ipex_node.settings import load
from tests.ipex_node import fake_node
from tests.ipex_node.conftest import Bundle
from tests.ipex_node.fake_node import OLLAMA, FakeNode
from tests.ipex_node.tiny_server import Handler, Server, running

SECONDS = 0.3
HEALTH = {
    "kernel_log": "/kmsg",
    "tries": 2,
    "try_seconds": 0,
    "busy_runs": 1,
    "leave_seconds": 0.05,
    "restarts": 2,
    "window_seconds": 3600,
    "backoff_seconds": 0,
    "disk_share": 0.999999,
}
HANG = "xe 0000:03:00.0: [drm] Tile0: GT0: Timedout job: seqno=1523, lrc_seqno=1523, guc_id=9, flags=0x20 in ollama [9]"
WEDGE = "xe 0000:03:00.0: [drm] *ERROR* CRITICAL: Xe has declared device 0000:03:00.0 as wedged."
GENERATE = "POST /api/generate"


class Box:
    """A node with one engine.

    Attributes:
        node: Its files and commands.
        engine: Its Ollama.
        restarts: What was asked for at the door, in order.
        on_restart: What a restart does to the engine.
    """

    def __init__(self, node: FakeNode, engine: Server) -> None:
        self.node = node
        self.engine = engine
        self.restarts: list[str] = []
        self.on_restart: Callable[[], None] = lambda: None
        self.stopped = threading.Event()
        node.world.paths.health.mkdir(parents=True)
        self.start("first")

    def start(self, invocation: str) -> None:
        """Let systemd run the engine's unit, under the name of a new start."""
        link = self.node.world.paths.running_units / f"invocation:{OLLAMA}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(invocation)

    def watch(self) -> None:
        """Stand for the path unit: restart the engine whenever the monitor has asked."""
        request = self.node.world.paths.health / "restart-ollama-ipex"
        while not self.stopped.wait(0.002):
            if request.exists() and request.read_text():
                self.restarts.append(request.read_text().strip())
                request.unlink()
                self.on_restart()
                self.start(f"start {len(self.restarts)}")

    def check(self) -> dict[str, Any]:
        """Run the monitor."""
        return run.check(self.node.world)

    def kernel(self, *texts: str) -> None:
        """Let the kernel say something."""
        log = self.node.on("/kmsg")
        number = len(log.read_text().splitlines()) if log.exists() else 0
        with log.open("a") as file:
            file.writelines(f"4,{number + place},0,-;{text}\n" for place, text in enumerate(texts))

    @property
    def out(self) -> str:
        """Why the agent keeps Ollama out of rotation; empty where it does not."""
        paths = self.node.world.paths
        answer = Readiness(paths, load(paths.settings).services, lambda _: True).answer()
        assert answer["ready"] == answer["services"]["ollama"]
        return str(answer["reason"])

    def counted(self, family: str) -> dict[str, float]:
        """Return a family's numbers by their labels' values."""
        left = samples.read(self.node.world.paths.samples("health"), 60)
        assert left is not None
        return {" ".join(one.labels.values()): one.value for one in left if one.family == family}


def healthy(engine: Server) -> None:
    """Let the engine work, on the GPU."""
    engine.answers = {
        "GET /api/tags": lambda it: it.say(200, {"models": [{"name": "tiny:latest"}]}),
        GENERATE: lambda it: it.chunks(b'{"response":"a"}\n', b'{"done":true}\n'),
        "GET /api/ps": lambda it: it.say(200, {"models": [{"name": "tiny:latest", "size_vram": 9}]}),
    }


def hang(_: Handler) -> None:
    """Answer nothing for longer than the monitor waits."""
    time.sleep(SECONDS + 0.1)


def refuse(handler: Handler) -> None:
    """Answer as an engine whose GPU is lost."""
    handler.say(503, {"error": "llama-server process no longer running: vk::DeviceLostError"})


def on_cpu(handler: Handler) -> None:
    """List the model as one that lies in main memory."""
    handler.say(200, {"models": [{"name": "tiny:latest", "size_vram": 0}]})


@pytest.fixture
def box(node: FakeNode, make: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """A deployed node with a healthy engine and a GPU."""
    for module, name, seconds in (
        (run, "LISTEN_SECONDS", 0),
        (repair, "DOOR_SECONDS", 0.3),
        (probing, "PAUSE_SECONDS", 0.01),
        (checks, "ROOM_SECONDS", 0.1),
    ):
        monkeypatch.setattr(module, name, seconds)
    device = node.on("/sys/class/drm/card0/device")
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x8086\n")
    (device / "uevent").write_text("DRIVER=xe\nPCI_ID=8086:E20B\nPCI_SLOT_NAME=0000:03:00.0\n")
    boot = node.world.paths.boot_id
    boot.parent.mkdir(parents=True)
    boot.write_text("boot-1\n")
    with running() as engine:
        healthy(engine)
        node.activate(node.stage(make(*_generation(node, engine))))
        one = Box(node, engine)
        thread = threading.Thread(target=one.watch, daemon=True)
        thread.start()
        yield one
        one.stopped.set()
        thread.join()


def _generation(node: FakeNode, engine: Server, version: str = "1") -> tuple[dict[str, str], str, Callable[..., None]]:
    """Return contents, version and change of a generation whose engine and settings are a test's."""
    service = fake_node.SERVICE | {"port": engine.server_port, "drain_seconds": 0.1}
    paths = {"sysfs": str(node.on("/sys")), "procfs": "/proc"}
    settings = fake_node.SETTINGS | {"services": [service], "paths": paths, "health": HEALTH}
    contents = fake_node.files(version) | {"/etc/ipex/node.json": json.dumps(settings)}

    def change(raw: dict[str, Any]) -> None:
        raw["probes"][0] |= {"url": engine.url, "deadline_seconds": SECONDS}

    return contents, version, change


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
        counted.append(memory.load(box.node.world.paths.health_memory).restarts)
        healthy(box.engine)

    box.engine.answers[GENERATE] = refuse
    box.on_restart = restart
    box.check()
    assert counted == [{"ollama": 1}]


def test_a_quick_failure_is_no_sign_of_being_busy(box: Box) -> None:
    """An engine whose GPU is lost ends its users' requests quickly, too: with errors."""
    number = iter(range(1000, 2000))

    def answer(handler: Handler) -> None:
        _connect(box, str(next(number)))
        refuse(handler)

    _connect(box, "0999")
    box.engine.answers[GENERATE] = answer
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["restarted"] == ["ollama"]


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
    assert box.restarts[0].startswith(f"ollama:{level}: ")


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
    box.node.activate(box.node.stage(make(*_generation(box.node, box.engine, "2"))))
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


def test_a_shut_door_is_told(box: Box) -> None:
    """Where nobody restarts the engine, the monitor says so and keeps it out."""
    box.stopped.set()
    box.engine.answers[GENERATE] = refuse
    assert not box.check()["ok"]
    assert "DeviceLostError" in box.out


def test_a_request_that_cannot_be_written_is_told(box: Box, capfd: pytest.CaptureFixture[str]) -> None:
    """Where something else stands in its place, the run goes on to its end and says so."""
    box.stopped.set()
    (box.node.world.paths.health / "restart-ollama-ipex").mkdir()
    box.engine.answers[GENERATE] = refuse
    assert not box.check()["ok"]
    assert "restart-ollama-ipex: cannot be written: Is a directory" in capfd.readouterr().err


def test_the_second_restart_waits(box: Box) -> None:
    """Behind a restart that has not helped, the next run asks for none before its time."""
    raw = json.loads(box.node.world.paths.settings.read_text())
    raw["health"]["backoff_seconds"] = 60
    box.node.world.paths.settings.write_text(json.dumps(raw))
    box.engine.answers[GENERATE] = refuse
    box.check()
    box.check()
    assert len(box.restarts) == 1
    assert box.counted("ipex_health_condemned") == {"ollama": 1}


def _connect(box: Box, *ports: str) -> None:
    """Let the kernel show established connections of a gateway to Ollama."""
    table = box.node.world.paths.connections / "tcp"
    table.parent.mkdir(parents=True, exist_ok=True)
    local = f"0B0012C6:{box.engine.server_port:04X}"
    lines = (f"  {number}: {local} 150012C6:{port} 01 0:0 0:0 0 0 0 1 1 0\n" for number, port in enumerate(ports))
    table.write_text("  sl  local_address rem_address   st ...\n" + "".join(lines))


@pytest.mark.parametrize("full", [False, True], ids=["waits", "queue-full"])
def test_a_busy_engine_is_not_ill(box: Box, full: bool) -> None:
    """While users' work comes to its end an engine may let the proof wait, or refuse it; but not for ever."""
    number = iter(range(1000, 2000))

    def answer(handler: Handler) -> None:
        _connect(box, str(next(number)))
        if full:
            handler.say(503, {"error": "server busy, please try again.  maximum pending requests exceeded"})
        else:
            hang(handler)

    _connect(box, "0999")
    box.engine.answers[GENERATE] = answer
    assert box.check()["checks"] == {"ollama": "healthy"}
    assert (box.restarts, box.out) == ([], "")
    box.check()
    assert len(box.restarts) == 1


def test_work_that_ends_nowhere_is_no_excuse(box: Box) -> None:
    """With the same connections before and after, an engine that lets the proof wait hangs."""
    _connect(box, "1000", "1001")
    box.engine.answers[GENERATE] = hang
    box.on_restart = lambda: healthy(box.engine)
    assert box.check()["restarted"] == ["ollama"]


def test_out_of_rotation_it_may_turn_out_to_have_been_busy(box: Box) -> None:
    """Proved once more without new work, it works: nothing is restarted."""
    asked = []

    def answer(handler: Handler) -> None:
        asked.append(1)
        if len(asked) == 1:
            hang(handler)
        handler.chunks(b'{"done":true}\n')

    box.engine.answers[GENERATE] = answer
    assert box.check()["ok"]
    assert (box.restarts, box.out) == ([], "")


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
    first = box.check()
    assert (first["ok"], first["restarted"]) == (True, ["ollama"])
    assert "Timedout job" in box.restarts[0]
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


def test_a_full_disk_asks_for_the_cleanup(box: Box) -> None:
    """The request names the place; with room enough there is none."""
    request = box.node.world.paths.health / "cleanup"
    box.check()
    assert not request.exists()
    raw = json.loads(box.node.world.paths.settings.read_text())
    raw["health"]["disk_share"] = 0
    box.node.world.paths.settings.write_text(json.dumps(raw))
    box.check()
    assert f"of the file system of {box.node.world.paths.state} is used" in request.read_text()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"boot": 1}', b'{"spent": {"ollama": 3}}', b"\xff", b"null"])
def test_a_broken_memory_is_a_fresh_start(tmp_path: Path, content: bytes) -> None:
    """The file is a memory aid: damaged, it must not end the monitor."""
    path = tmp_path / "memory.json"
    path.write_bytes(content)
    assert memory.load(path) == memory.Memory()


def test_a_node_that_is_not_deployed_says_so(node: FakeNode) -> None:
    """Without settings there is nothing to judge."""
    with pytest.raises(FailedError, match="says nothing of health"):
        run.check(node.world)
