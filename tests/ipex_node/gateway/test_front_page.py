"""What the gateway's program writes for the front page: from nodes and monitors that may say anything."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ipex_node.gateway import numbers, objectives, question, settings, view
from ipex_node.gateway.front_page import FrontPage
from ipex_node.gateway.objectives import Budget
from ipex_node.gateway.rotation import Heard, Rotation
from ipex_node.gateway.settings import GatewaySettings, Monitor
from ipex_node.paths import Paths

pytestmark = pytest.mark.timeout(30)

RECORDED = Path(__file__).parents[2] / "recorded"
NOW = 1_790_000_000.0
READY = {"ready": True, "reason": "", "services": {"ollama": True}, "generation": "abc", "in_flight": {"ollama": 3}}


def _settings(root: Path, port: int = 1, monitors: Iterable[int] = (), **page: Any) -> GatewaySettings:
    places = ("declared", "live", "candidate", "check", "state", "fleet", "pid")
    raw = {
        "gateway": "gateway-01",
        "port": 1,
        "question": "/q",
        "paths": {name: f"/{name}" for name in places},
        "rotation": {
            "interval_seconds": 1,
            "rise": 2,
            "fall": 2,
            "fail_open_share": 0.5,
            "gather_seconds": 1,
            "warm_seconds": 60,
        },
        "models": {},
        "circuit": {"share": 0.5, "nodes": 2},
        "front_page": {
            "environment": "lab",
            "write_seconds": 0.02,
            "numbers_seconds": 0.05,
            "objectives_seconds": 0.05,
            "question": "/api/v1/query?query=budgets",
            "monitors": [{"address": "127.0.0.1", "port": one} for one in monitors],
            **page,
        },
        "nodes": {
            name: {"address": address, "port": port, "services": ["ollama"]}
            for name, address in (("gpu-1", "127.0.0.1"), ("gpu-2", "127.0.0.12"), ("gpu-3", "127.0.0.3"))
        },
    }
    path = root / settings.SETTINGS.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw))
    return settings.load(Paths(root))


class Gateway:
    """What a gateway knows."""

    def __init__(self, root: Path) -> None:
        self.settings = _settings(root)
        self.rotation = Rotation(self.settings.members(), 2, 2, 0.5)
        self.known = {node: view.Known() for node in self.settings.nodes}
        for node in self.settings.nodes:
            self.hear(node, question._heard(dict(READY)))

    def hear(self, node: str, heard: Heard, times: int = 3) -> None:
        """Take in an answer, or silence."""
        for _ in range(times):
            self.rotation.hear(node, heard)
        known = self.known[node]
        known.silence = bool(heard.silence)
        if not heard.silence:
            known.heard, known.heard_at = heard, NOW

    def data(self, budgets: tuple[Budget, ...] | None = None) -> dict[str, Any]:
        """Return the live data."""
        return view.fleet(self.settings, self.rotation, self.known, budgets, NOW)

    def service(self, node: str) -> dict[str, Any]:
        """Return what is said of the one service of a node."""
        found: dict[str, Any] = self._node(node)["services"][0]
        return found

    def _node(self, node: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.data()["nodes"] if one["name"] == node)
        return found


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """Three nodes, all well."""
    return Gateway(tmp_path)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({}, "serving"),
        ({"ready": False, "reason": "draining: new disk"}, "draining"),
        ({"ready": False, "reason": "activating"}, "changing"),
        ({"services": {"ollama": False}, "out": {"ollama": "ollama:generates: no token"}}, "condemned"),
        ({"services": {"ollama": False}}, "down"),
    ],
)
def test_a_state_is_one_word(gateway: Gateway, answer: dict[str, Any], state: str) -> None:
    """What an answer of a node's agent comes to, when the gateway has acted on it."""
    gateway.hear("gpu-1", question._heard({**READY, **answer}))

    assert gateway.service("gpu-1")["state"] == state


def test_a_condemned_service_says_why(gateway: Gateway) -> None:
    """In the health monitor's words."""
    gateway.hear("gpu-1", question._heard({**READY, "services": {"ollama": False}, "out": {"ollama": "hangs"}}))

    assert gateway.service("gpu-1")["reason"] == "hangs"


def test_a_node_that_was_out_returns_before_it_serves(gateway: Gateway) -> None:
    """One good answer is not enough for the gateway, and the page does not say otherwise."""
    gateway.hear("gpu-1", question._heard({**READY, "services": {"ollama": False}}))
    gateway.hear("gpu-1", question._heard(dict(READY)), times=1)

    assert gateway.service("gpu-1")["state"] == "returning"


def test_a_silent_node_keeps_its_last_numbers_with_their_age(gateway: Gateway) -> None:
    """And tells nothing of what is in flight: that is not known."""
    gateway.known["gpu-1"].gpus = numbers.read((RECORDED / "b580-xe.prom").read_bytes())
    gateway.known["gpu-1"].gpus_at = NOW - 3600
    gateway.known["gpu-1"].heard_at = NOW - 90
    gateway.hear("gpu-1", Heard(silence="no answer within 0.7 s"))
    node = gateway._node("gpu-1")

    assert (node["silent"], node["heard_seconds_ago"], node["numbers_old"]) == (True, 90, True)
    assert [gpu["product"] for gpu in node["gpus"]] == ["Arc B580"]
    assert gateway.service("gpu-1") == {"name": "ollama", "state": "silent", "reason": "", "in_flight": None}


def test_nodes_that_are_kept_though_they_look_down_do_not_count_as_serving(gateway: Gateway) -> None:
    """Where all fall silent at once the gateway doubts itself, and users should know."""
    for _ in range(3):
        for node in gateway.settings.nodes:
            gateway.hear(node, Heard(silence="no answer"), times=1)

    assert {gateway.service(node)["state"] for node in gateway.settings.nodes} == {"doubted"}
    assert gateway.data()["services"][0] == {"name": "ollama", "nodes": 3, "serving": 0, "in_flight": None}


def test_words_of_nodes_are_cut_cleaned_and_hold_no_address(gateway: Gateway) -> None:
    """Everybody may read the page; a longer address is not taken for a shorter one."""
    reason = "draining: \n\x00\x1b[31m see 127.0.0.12 and 127.0.0.1 " + "x" * 10_000
    said = {**READY, "ready": False, "reason": reason, "generation": "g" * 999}
    gateway.hear("gpu-1", question._heard(said))
    node = gateway._node("gpu-1")

    assert len(node["reason"]) == view.WORDS
    assert node["reason"].isprintable()
    assert "see gpu-2 and gpu-1 x" in node["reason"]
    assert len(node["generation"]) <= 16
    assert "127.0.0." not in json.dumps(gateway.data())


@pytest.mark.parametrize(
    "more",
    [
        {"in_flight": {"ollama": "<b>"}},
        {"in_flight": {"ollama": True}},
        {"in_flight": {"ollama": 1.5}},
        {"in_flight": {"ollama": -1}},
        {"in_flight": {"ollama": 10**400}},
        {"in_flight": [1]},
        {"in_flight": None, "out": None, "generation": None},
        {"in_flight": "3", "out": "all of it"},
        {"in_flight": {"other": 4}, "out": {"other": "x"}},
    ],
)
def test_what_cannot_be_meant_is_unknown(gateway: Gateway, more: dict[str, Any]) -> None:
    """A node of another version, or none of this project's at all."""
    gateway.hear("gpu-1", question._heard({**READY, **more}))

    assert gateway.service("gpu-1") == {"name": "ollama", "state": "serving", "reason": "", "in_flight": None}


def test_a_page_of_metrics_becomes_gpus() -> None:
    """Two cards: products by their ids, the hottest part, the whole card's power, its own memory alone."""
    found = numbers.read((RECORDED / "two-gpus.prom").read_bytes())

    assert found == {
        "card0": numbers.Gpu("Arc A770", "i915", 0.85, 7452229632, 17095983104, 52, 120),
        "card1": numbers.Gpu("Arc B580", "xe", 0.85, 7552892928, 12168933376, 54, 120),
    }


def test_a_gpu_without_sensors_has_no_numbers() -> None:
    """Absence is no 0."""
    page = b'ipex_gpu_info{gpu="card0",pci_id="8086:56a0",pci_slot="0000:03:00.0",driver="xe"} 1\n'

    assert numbers.read(page) == {"card0": numbers.Gpu("Arc A770", "xe")}


def test_a_page_of_anything_is_bounded() -> None:
    """Neither a thousand GPUs nor a line of a megabyte nor a number that is none reaches the page."""
    many = "".join(f'ipex_gpu_info{{gpu="card{number}",pci_id="x",driver="{"d" * 99}"}} 1\n' for number in range(999))
    odd = (
        'ipex_gpu_temperature_celsius{gpu="card0",sensor="x"} NaN\n'
        'ipex_gpu_power_watts{gpu="card0",sensor="x"} +Inf\n'
        'ipex_gpu_power_watts{gpu="card0",sensor="x"} 1e999\n'
        'ipex_gpu_utilization_ratio{gpu="card0",engine="x"} 1.2.3\n'
        'ipex_gpu_info{gpu="../x",pci_id="x"} 1\n'
        f'ipex_gpu_info{{gpu="card0",driver="{"y" * 2**20}"}} 1\n'
        'ipex_gpu_power_watts{gpu="card0",sensor="x"} 12'
    )
    found = numbers.read((many + odd).encode() + b"\xff\xfe")

    assert len(found) == numbers.GPUS
    assert found["card0"] == numbers.Gpu("unknown GPU x", "d" * 20)


def _vector(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": list(rows)}}).encode()


def _row(slo: object, value: object, **labels: object) -> dict[str, Any]:
    return {"metric": {"slo": slo, **labels}, "value": [NOW, value]}


def test_budgets_are_read_and_bounded() -> None:
    """Rows of a form that cannot be meant are left out, and so is what is too much."""
    rows = [_row("latency", "0.5", service="ollama"), _row("availability", "-0.25"), _row("<b>", "1"), _row("x", "NaN")]
    many = [_row(f"slo{number:03}", "1") for number in range(99)]

    assert objectives._read(json.loads(_vector(*rows))) == (
        Budget("availability", "", -0.25),
        Budget("latency", "ollama", 0.5),
    )
    assert len(objectives._read(json.loads(_vector(*many)))) == objectives.OBJECTIVES


def test_the_example_page_has_no_address_and_every_key(gateway: Gateway) -> None:
    """The whole of it, as docs/use/front-page.md describes it."""
    gateway.known["gpu-1"].gpus = numbers.read((RECORDED / "two-gpus.prom").read_bytes())
    gateway.known["gpu-1"].gpus_at = NOW - 4
    data = gateway.data((Budget("availability", "ollama", 0.9),))
    described = (Path(__file__).parents[3] / "docs/use/front-page.md").read_text()

    keys = {key for key in _keys(data) if f"`{key}`" not in described}
    assert keys == set()
    assert "127.0.0" not in json.dumps(data)


def _keys(data: object) -> set[str]:
    if isinstance(data, dict):
        return set(data) | {key for value in data.values() for key in _keys(value)}
    return {key for value in data for key in _keys(value)} if isinstance(data, list) else set()


@asynccontextmanager
async def _server(answer: Callable[[str], bytes | None]) -> AsyncIterator[int]:
    """Answer with the bytes of a whole HTTP answer; None says nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = answer((await reader.readuntil(b"\r\n\r\n")).decode().split()[1])
        if said is None:
            await asyncio.sleep(30)
        writer.write(said or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def _http(body: bytes, *, chunked: bool = False, status: str = "200 OK") -> bytes:
    if not chunked:
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    halves = (body[: len(body) // 2], body[len(body) // 2 :])
    pieces = b"".join(f"{len(half):x}\r\n".encode() + half + b"\r\n" for half in halves)
    return f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + pieces + b"0\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True])
def test_the_next_monitor_is_asked_where_one_does_not_know(chunked: bool) -> None:
    """A monitor that is away, that is no Prometheus, that has no rule yet, and one that knows."""
    good = _http(_vector(*[_row("availability", "0.9", service=f"s{n}") for n in range(20)]), chunked=chunked)

    async def story() -> tuple[Budget, ...] | None:
        async with (
            _server(lambda _: _http(b"<html>")) as other,
            _server(lambda _: _http(_vector())) as new,
            _server(lambda _: _http(b"{}", status="500 Oh")) as ill,
            _server(lambda _: good) as knows,
        ):
            return await objectives.ask([Monitor("127.0.0.1", port) for port in (1, other, new, ill, knows)], "/q")

    found = asyncio.run(story())

    assert found is not None
    assert len(found) == 20


def test_nobody_knows_where_no_monitor_answers() -> None:
    """And that is said, not guessed."""
    assert asyncio.run(objectives.ask([Monitor("127.0.0.1", 1)], "/q")) is None
    assert asyncio.run(objectives.ask([], "/q")) is None


@pytest.mark.parametrize("pieces", [b"ffffff\r\n", b"-5\r\nhello\r\n", b"5\r\nhe", b"x\r\n"])
def test_pieces_that_make_no_answer_are_refused(pieces: bytes) -> None:
    """A length that is none, or too much, or more than comes."""

    async def story() -> None:
        said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces
        async with _server(lambda _: said) as port:
            await question.get("127.0.0.1", port, "/", 2)

    with pytest.raises(ValueError):  # noqa: PT011 - whatever its words
        asyncio.run(story())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in files
            await asyncio.sleep(0.01)


async def _beside(page: FrontPage, story: Callable[[], Awaitable[None]]) -> None:
    tasks = [asyncio.create_task(work) for work in page.tasks()]
    try:
        await story()
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    return found


def test_live_data_are_written_from_nodes_and_a_monitor(tmp_path: Path) -> None:
    """The whole way: what agents answer to /ready and /metrics and a monitor to its question is in the file."""
    metrics = _http((RECORDED / "b580-xe.prom").read_bytes())
    budgets = _http(_vector(_row("latency", "0.5", service="ollama")))

    async def told() -> None:
        async with (
            _server(lambda path: metrics if path == "/metrics" else None) as agents,
            _server(lambda path: budgets if path == "/api/v1/query?query=budgets" else None) as monitor,
        ):
            known = _settings(tmp_path, agents, [monitor])
            page = FrontPage(known, Rotation(known.members(), 2, 2, 0.5))
            for node in known.nodes:
                page.hear(node, question._heard(dict(READY)))

            async def story() -> None:
                await _until(lambda: bool((_read(known.fleet).get("nodes") or [{}])[0].get("gpus")))
                await _until(lambda: _read(known.fleet)["objectives"] is not None)

            await _beside(page, story)
            data = _read(known.fleet)

        assert data["objectives"] == [{"slo": "latency", "service": "ollama", "left": 0.5}]
        assert data["nodes"][0]["gpus"][0]["product"] == "Arc B580"
        assert data["services"] == [{"name": "ollama", "nodes": 3, "serving": 3, "in_flight": 9}]
        assert abs(data["time"] - time.time()) < 5
        assert known.fleet.stat().st_mode & 0o777 == 0o644

    asyncio.run(told())


def test_nothing_that_goes_wrong_here_ends_the_gateway(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written is said once, and written as soon as it can be."""

    async def told() -> None:
        known = _settings(tmp_path)
        page = FrontPage(known, Rotation(known.members(), 2, 2, 0.5))
        known.fleet.mkdir()

        async def story() -> None:
            await asyncio.sleep(0.2)
            known.fleet.rmdir()
            await _until(known.fleet.is_file)

        await _beside(page, story)

    asyncio.run(told())

    assert capfd.readouterr().err.count("the front page's data stay as they are") == 1
