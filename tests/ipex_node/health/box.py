"""A node with one engine, whose kernel log, gateways, samplers and systemd are small fakes."""

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ipex_node import samples
from ipex_node.health import run
from ipex_node.readiness import Readiness
from ipex_node.samples import Sample
from ipex_node.settings import load
from tests.ipex_node import fake_node
from tests.ipex_node.fake_node import OLLAMA, FakeNode
from tests.ipex_node.tiny_server import Handler, Server

SECONDS = 0.3
HEALTH: dict[str, Any] = {
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
FITNESS = {
    "services": [
        {"name": "ollama", "unit": OLLAMA, "gpu_classes": ["arc", "xe-lp"], "gpu_classes_warned": ["xe-lp"]}
        | {"discrete_only": True},
    ],
    "distributions": [],
    "memory_gb": 16,
    "render_nodes": "/dev/dri",
}


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

    def start(self, invocation: str, seconds_ago: float = 3600) -> None:
        """Let systemd run the engine's unit, under the name of a new start."""
        link = self.node.world.paths.running_units / f"invocation:{OLLAMA}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(invocation)
        at = time.time() - seconds_ago
        os.utime(link, (at, at), follow_symlinks=False)

    def gpu(self, card: str, slot: str, pci_id: str) -> None:
        """Show a GPU with its driver in sysfs."""
        device = self.node.on(f"/sys/class/drm/{card}/device")
        device.mkdir(parents=True)
        (device / "vendor").write_text("0x8086\n")
        (device / "uevent").write_text(f"DRIVER=xe\nPCI_ID={pci_id}\nPCI_SLOT_NAME={slot}\n")

    def connect(self, *ports: str) -> None:
        """Let the kernel show established connections of a gateway to Ollama."""
        table = self.node.world.paths.connections / "tcp"
        table.parent.mkdir(parents=True, exist_ok=True)
        local = f"0B0012C6:{self.engine.server_port:04X}"
        lines = (f"  {number}: {local} 150012C6:{port} 01 0:0 0:0 0 0 0 1 1 0\n" for number, port in enumerate(ports))
        table.write_text("  sl  local_address rem_address   st ...\n" + "".join(lines))

    def sampled(self, *, succeeded: int = 0, tokens: int = 0, refused: int = 0, gpu_seconds: float = 0) -> None:
        """Let the samplers have counted so much."""
        requests = {"service": "ollama", "operation": "generate"}
        traffic = [
            Sample("ipex_inference_requests_total", {**requests, "outcome": "success"}, succeeded),
            Sample("ipex_inference_requests_total", {**requests, "outcome": "error"}, refused),
            Sample("ipex_inference_tokens_total", {"service": "ollama", "kind": "generated"}, tokens),
        ]
        busy = Sample("ipex_gpu_engine_busy_seconds_total", {"gpu": "card0", "engine": "compute"}, gpu_seconds)
        samples.write(self.node.world.paths.samples("traffic"), traffic)
        samples.write(self.node.world.paths.samples("gpu"), [busy])

    def set(self, **health: float) -> None:
        """Change how the node is judged."""
        path = self.node.world.paths.settings
        raw = json.loads(path.read_text())
        raw["health"] |= health
        path.write_text(json.dumps(raw))

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


def generation(node: FakeNode, engine: Server, version: str = "1") -> tuple[dict[str, str], str, Callable[..., None]]:
    """Return contents, version and change of a generation whose engine and settings are a test's."""
    service = fake_node.SERVICE | {"port": engine.server_port, "drain_seconds": 0.1}
    paths = {"sysfs": str(node.on("/sys")), "procfs": "/proc"}
    settings = fake_node.SETTINGS | {"services": [service], "paths": paths, "health": HEALTH}
    settings |= {"sources": {"gpu": 60, "traffic": 60}, "fitness": FITNESS}
    contents = fake_node.files(version) | {"/etc/ipex/node.json": json.dumps(settings)}

    def change(raw: dict[str, Any]) -> None:
        raw["probes"][0] |= {"url": engine.url, "deadline_seconds": SECONDS}

    return contents, version, change
