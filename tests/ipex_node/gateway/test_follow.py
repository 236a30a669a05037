"""The program on a gateway, from its questions to nginx, against agents and an nginx of a few lines."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ipex_node.failure import FailedError
from ipex_node.gateway import follow, nginx, question, settings, upstreams
from ipex_node.gateway.follow import Gateway
from ipex_node.gateway.nginx import Nginx
from ipex_node.gateway.settings import Backend, GatewaySettings
from ipex_node.paths import Paths
from ipex_node.world import Completed

pytestmark = pytest.mark.timeout(30)

DECLARED = """map $host $ipex_upstreams {
    default "declared";
}
    server 127.0.0.1:11434; # gpu-01 ollama new
    server 127.0.0.2:11434; # gpu-02 ollama new
    server 127.0.0.1:11434; # gpu-01 ollama new big 4
    server 127.0.0.2:11434; # gpu-02 ollama new big 4
"""
READY = {"ready": True, "reason": "", "services": {"ollama": True}}
DRAINS = {"ready": False, "reason": "draining: new disk", "services": {"ollama": True}}


class Machine:
    """Two nodes' agents and one nginx.

    Attributes:
        answers: Node to what its agent says; None says nothing at all.
        questions: Every path that was asked, with the node.
        loaded: The version nginx works with.
        refuses: Whether nginx -t refuses the next file.
        takes_up: Whether nginx reads the file when it is told to.
        reloads: How often it was told to.
        warm_seconds: Least time between reloads for warmth alone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answers: dict[str, Any] = {"gpu-01": READY, "gpu-02": READY}
        self.questions: list[tuple[str, str]] = []
        self.loaded = ""
        self.refuses = False
        self.takes_up = True
        self.reloads = 0
        self.warm_seconds = 0.2
        self.ports: dict[str, int] = {}

    @property
    def settings(self) -> GatewaySettings:
        """The gateway's settings, with this machine's ports, and twenty questions a second."""
        places = {name: f"/{name}" for name in ("declared", "live", "candidate", "check", "state", "fleet", "pid")}
        following = {"interval_seconds": 0.05, "rise": 2, "fall": 2, "fail_open_share": 0.5, "gather_seconds": 0.1}
        following["warm_seconds"] = self.warm_seconds
        agents = {name: self.ports[name] for name in ("gpu-01", "gpu-02")}
        raw = {
            "gateway": "gateway-01",
            "port": self.ports["nginx"],
            "question": "/ipex-upstreams",
            "paths": places,
            "rotation": following,
            "models": {"ollama": {"big": ["gpu-01", "gpu-02"]}},
            "circuit": {"share": 0.5, "nodes": 2},
            "front_page": {
                "environment": "lab",
                "write_seconds": 0.05,
                "numbers_seconds": 60,
                "objectives_seconds": 60,
                "question": "/budgets",
                "monitors": [],
            },
            "nodes": {
                name: {"address": "127.0.0.1", "port": port, "services": ["ollama"]} for name, port in agents.items()
            },
        }
        path = self.root / settings.SETTINGS.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(raw))
        return settings.load(Paths(self.root))

    @property
    def live(self) -> str:
        """The file nginx includes."""
        return (self.root / "live").read_text()

    def run(self, command: list[str], *, show: bool = False) -> Completed:  # noqa: ARG002 - as world's
        """Be `nginx -t`."""
        return Completed(int(self.refuses), "", "unexpected end of file" if self.refuses else "")

    def kill(self, _pid: int, number: int) -> None:
        """Be nginx' master process."""
        assert number == signal.SIGHUP
        self.reloads += 1
        if self.takes_up:
            self.loaded = upstreams.version(self.live)

    def nginx(self) -> Nginx:
        """Return what speaks to this nginx."""
        return Nginx(self.settings, self.run)  # type: ignore[arg-type]


def _server(answer: Callable[[str], str | None]) -> Callable[..., Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
        body = answer(path)
        if body is None:
            await asyncio.sleep(30)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body or '')}\r\n\r\n{body}".encode())
        writer.close()

    return serve


@asynccontextmanager
async def _running(root: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    machine = Machine(root)
    monkeypatch.setattr(os, "kill", machine.kill)
    monkeypatch.setattr(question, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(follow, "TOGETHER_SECONDS", 0.005)
    monkeypatch.setattr(nginx, "SETTLED_SECONDS", 0.05)
    monkeypatch.setattr(nginx, "LOADED_SECONDS", 0.3)
    (root / "declared").write_text(DECLARED)
    (root / "pid").write_text("4711\n")

    def agent(name: str) -> Callable[[str], str | None]:
        def answer(path: str) -> str | None:
            if path.startswith("/ready"):
                machine.questions.append((name, path))
            said = machine.answers[name]
            return None if said is None else json.dumps(said)

        return answer

    answers = {"nginx": lambda _: machine.loaded, "gpu-01": agent("gpu-01"), "gpu-02": agent("gpu-02")}
    servers = {name: await asyncio.start_server(_server(answer), "127.0.0.1", 0) for name, answer in answers.items()}
    machine.ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    yield machine
    for server in servers.values():
        server.close()


@asynccontextmanager
async def _following(machine: Machine) -> AsyncIterator[Gateway]:
    followed = Gateway(machine.settings, machine.nginx())
    task = asyncio.create_task(followed.follow())
    yield followed
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in files too
            await asyncio.sleep(0.01)


def _in_machine(root: Path, monkeypatch: pytest.MonkeyPatch, story: Callable[[Machine], Awaitable[None]]) -> None:
    async def told() -> None:
        async with _running(root, monkeypatch) as machine:
            await story(machine)

    asyncio.run(told())


def test_a_draining_node_is_down_and_told_so_only_when_nginx_has_loaded_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rotation=out` follows nginx' own word that its workers have read the file, and never comes before it."""

    async def story(machine: Machine) -> None:
        async with _following(machine):
            await _until(lambda: machine.reloads == 1)
            machine.takes_up = False
            machine.answers["gpu-02"] = DRAINS
            await _until(lambda: "127.0.0.2:11434 down;" in machine.live)
            await asyncio.sleep(0.4)
            early = [path for name, path in machine.questions if name == "gpu-02"]
            machine.loaded = upstreams.version(machine.live)
            monkeypatch.setattr(follow, "RETRY_SECONDS", 0.05)
            await _until(lambda: ("gpu-02", "/ready?gateway=gateway-01&rotation=out") in machine.questions)

        assert {path.rpartition("=")[2] for path in early} == {"in"}
        assert {path.rpartition("=")[2] for name, path in machine.questions if name == "gpu-01"} == {"in"}

    monkeypatch.setattr(follow, "RETRY_SECONDS", 0.05)
    _in_machine(tmp_path, monkeypatch, story)


def test_a_node_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out, and in again when it has answered well, with one reload each."""

    async def story(machine: Machine) -> None:
        async with _following(machine):
            await _until(lambda: machine.reloads == 1)
            machine.answers["gpu-01"] = None
            await _until(lambda: "127.0.0.1:11434 down;" in machine.live)
            machine.answers["gpu-01"] = READY
            await _until(lambda: " down;" not in machine.live)
            await asyncio.sleep(0.2)

        assert machine.reloads == 3

    _in_machine(tmp_path, monkeypatch, story)


def test_a_steady_fleet_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nginx that works with the right file is not told anything, neither at the start nor later."""

    async def story(machine: Machine) -> None:
        treatments = {"ollama": {"gpu-01": "in", "gpu-02": "in"}}
        text = upstreams.live(DECLARED, treatments)  # type: ignore[arg-type]
        (machine.root / "live").write_text(text)
        machine.loaded = upstreams.version(text)
        async with _following(machine):
            await _until(lambda: len(machine.questions) > 20)

        assert machine.reloads == 0
        assert machine.live == text

    _in_machine(tmp_path, monkeypatch, story)


def test_a_reload_that_is_owed_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between writing and reloading, it finds the file right and nginx at work with another."""

    async def story(machine: Machine) -> None:
        treatments = {"ollama": {"gpu-01": "in", "gpu-02": "in"}}
        (machine.root / "live").write_text(upstreams.live(DECLARED, treatments))  # type: ignore[arg-type]
        machine.loaded = "stale"
        async with _following(machine):
            await _until(lambda: machine.loaded == upstreams.version(machine.live))

        assert machine.reloads == 1

    _in_machine(tmp_path, monkeypatch, story)


def test_an_edit_by_somebody_else_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy may put the declared file in place again while a node is out."""

    async def story(machine: Machine) -> None:
        machine.answers["gpu-02"] = DRAINS
        async with _following(machine):
            await _until(lambda: machine.reloads == 1)
            (machine.root / "live").write_text(DECLARED)
            await _until(lambda: " down;" in machine.live)

    _in_machine(tmp_path, monkeypatch, story)


def test_what_nginx_refuses_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last good upstreams stay, the journal has nginx' reason, and the node hears that it is still in."""

    async def story(machine: Machine) -> None:
        async with _following(machine):
            await _until(lambda: machine.reloads == 1)
            good = machine.live
            machine.refuses = True
            machine.answers["gpu-02"] = DRAINS
            await asyncio.sleep(0.3)

        assert machine.live == good
        assert machine.reloads == 1
        assert not [path for _, path in machine.questions if path.endswith("=out")]

    _in_machine(tmp_path, monkeypatch, story)

    assert "unexpected end of file" in capfd.readouterr().err


def test_a_program_started_anew_tells_a_drained_node_that_it_is_out_from_its_first_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that waits for `out` must not hear another word because a gateway's program died."""

    async def story(machine: Machine) -> None:
        machine.answers["gpu-02"] = DRAINS
        async with _following(machine):
            await _until(lambda: machine.reloads == 1 and (machine.root / "state").exists())
        machine.questions.clear()
        async with _following(machine):
            await _until(lambda: len(machine.questions) > 4)

        assert machine.reloads == 1
        assert {path.rpartition("=")[2] for name, path in machine.questions if name == "gpu-02"} == {"out"}

    _in_machine(tmp_path, monkeypatch, story)


def test_every_change_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The journal says who and why, and the state file knows it too."""

    async def story(machine: Machine) -> None:
        async with _following(machine):
            await _until((machine.root / "state").exists)
            machine.answers["gpu-02"] = DRAINS
            await _until(lambda: "draining" in (machine.root / "state").read_text())
        state = json.loads((machine.root / "state").read_bytes())

        assert state["rotation"] == {"ollama": {"gpu-01": "in", "gpu-02": "draining"}}
        assert state["why"] == {"ollama": {"gpu-02": "draining: new disk"}}

    _in_machine(tmp_path, monkeypatch, story)

    assert "ollama on gpu-02: draining (draining: new disk)" in capfd.readouterr().err


def test_what_fails_on_both_nodes_is_told_to_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A check that fails on one node is that node's affair; on both, each question says that it is doubted."""
    fails = {**READY, "failing": ["ollama:generates"]}
    told = "/ready?gateway=gateway-01&rotation=in&circuit=ollama:generates"

    async def story(machine: Machine) -> None:
        async with _following(machine):
            await _until(lambda: machine.reloads == 1)
            machine.answers["gpu-01"] = fails
            await asyncio.sleep(0.2)
            early = {path for _, path in machine.questions}
            machine.answers["gpu-02"] = fails
            await _until(lambda: {("gpu-01", told), ("gpu-02", told)} <= set(machine.questions))
            machine.answers["gpu-01"] = READY
            await _until(lambda: machine.questions[-1][1] != told)

        assert early == {"/ready?gateway=gateway-01&rotation=in"}
        assert json.loads((machine.root / "state").read_bytes())["circuit"] == []

    _in_machine(tmp_path, monkeypatch, story)

    said = capfd.readouterr().err
    assert "ollama:generates fails on gpu-01, gpu-02 at once: no node repairs itself for it" in said
    assert "ollama:generates: fails on fewer nodes" in said


def test_without_nginx_the_file_is_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At boot nginx starts behind this program, and reads what it has left."""

    async def story(machine: Machine) -> None:
        (machine.root / "pid").unlink()
        text = upstreams.live(DECLARED, {})
        await machine.nginx().load(text)

        assert machine.live == text

    _in_machine(tmp_path, monkeypatch, story)


def test_nginx_that_does_not_take_up_a_file_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that nginx has refused inside is not taken for one that has happened."""

    async def story(machine: Machine) -> None:
        machine.takes_up = False
        with pytest.raises(FailedError, match="has not taken up"):
            await machine.nginx().load(upstreams.live(DECLARED, {}))

    _in_machine(tmp_path, monkeypatch, story)


@pytest.mark.parametrize(
    ("said", "reason", "healthy"),
    [
        (READY, "", True),
        (DRAINS, "draining: new disk", True),
        ({"ready": False, "reason": "activating", "services": {"ollama": False}}, "activating", False),
        ({"ready": False, "reason": "no answer from ollama", "services": {"ollama": False}}, "", False),
    ],
)
def test_a_wish_is_told_from_an_illness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], reason: str, healthy: bool
) -> None:
    """A node none of whose services answers has not asked to be left out: it may be one of too many at once."""

    async def story(machine: Machine) -> None:
        machine.answers["gpu-01"] = said
        backend = machine.settings.nodes["gpu-01"]
        heard, _ = await question.ask(backend, "gateway-01", out=False)

        assert (heard.reason, heard.services, heard.silence) == (reason, {"ollama": healthy}, "")

    _in_machine(tmp_path, monkeypatch, story)


@pytest.mark.parametrize(("said", "why"), [([], "understood"), ({"ready": True}, "understood"), (None, "within")])
def test_an_answer_that_is_none_is_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: object, why: str
) -> None:
    """Neither another program on the agent's port nor a hung agent stops the questions."""

    async def story(machine: Machine) -> None:
        machine.answers["gpu-01"] = said
        if said is not None:
            # What is said is heard, however slow this machine is.
            monkeypatch.setattr(question, "ANSWER_SECONDS", 20)
        heard, _ = await question.ask(machine.settings.nodes["gpu-01"], "gateway-01", out=False)

        assert why in heard.silence

    _in_machine(tmp_path, monkeypatch, story)


def test_nobody_on_the_port_is_silence() -> None:
    """A node whose agent does not run says why: the connection is refused."""
    heard, timed_out = asyncio.run(question.ask(Backend("127.0.0.1", 1, ("ollama",)), "gateway-01", out=False))

    assert "refused" in heard.silence.lower()
    assert not timed_out


def test_missing_settings_say_what_to_do(tmp_path: Path) -> None:
    """On a machine that is no gateway yet the program says so."""
    with pytest.raises(FailedError, match="does not exist"):
        settings.load(Paths(tmp_path))


def test_a_node_that_has_the_model_loaded_comes_first_and_no_reload_is_made_for_that_twice_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """News of warmth reaches nginx, but only so often; when the warm node leaves, the other waits for nobody."""
    warm, cold = {**READY, "warm": {"ollama": ["big"]}}, {**READY, "warm": {"ollama": []}}

    async def story(machine: Machine) -> None:
        machine.warm_seconds = 0.5
        machine.answers = {"gpu-01": cold, "gpu-02": cold}
        async with _following(machine):
            await _until(lambda: machine.reloads == 1)
            begun = asyncio.get_running_loop().time()
            machine.answers["gpu-01"] = warm
            await _until(lambda: "127.0.0.2:11434 backup; # gpu-02 ollama new big 4" in machine.live)
            waited = asyncio.get_running_loop().time() - begun
            machine.answers["gpu-01"] = {**DRAINS, "warm": warm["warm"]}
            await _until(lambda: "127.0.0.1:11434 down; # gpu-01 ollama new big 4" in machine.live)
            both = machine.live
            await _until(lambda: '"waiting": {}' in (machine.root / "state").read_text())

        assert waited > 0.3
        assert machine.reloads == 3
        assert "backup" not in both

    _in_machine(tmp_path, monkeypatch, story)

    assert "ollama: gpu-02 wait behind those that have big loaded" in capfd.readouterr().err


def test_a_model_without_a_node_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When the last node that declares it drains, the journal and the state name the model."""

    async def story(machine: Machine) -> None:
        async with _following(machine):
            await _until((machine.root / "state").exists)
            machine.answers = {"gpu-01": DRAINS, "gpu-02": DRAINS}
            await _until(lambda: '"big"' in (machine.root / "state").read_text())
            await asyncio.sleep(0.3)

        assert json.loads((machine.root / "state").read_bytes())["unserved"] == [["ollama", "big"]]

    _in_machine(tmp_path, monkeypatch, story)

    assert capfd.readouterr().err.count("ollama: nobody is left for big, which gpu-01, gpu-02 declared") == 1


def test_a_program_started_anew_knows_who_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own restart costs no reload, whoever has a model loaded."""

    async def story(machine: Machine) -> None:
        machine.answers["gpu-01"] = {**READY, "warm": {"ollama": ["big"]}}
        machine.answers["gpu-02"] = {**READY, "warm": {"ollama": []}}
        async with _following(machine):
            await _until((machine.root / "state").exists)
            assert "backup" in machine.live
        before = machine.reloads
        machine.questions.clear()
        async with _following(machine):
            await _until(lambda: len(machine.questions) > 8)

        assert machine.reloads == before == 1

    _in_machine(tmp_path, monkeypatch, story)
