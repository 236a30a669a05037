"""An engine as its own process on loopback, spoken to over its real socket."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAKE = Path(__file__).parents[2] / "lab" / "flake"
START_SECONDS = 20.0

SIMPLE = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "test"}},
}


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        """Return the body as newline-delimited JSON."""
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass
class Engine:
    """A running engine."""

    process: subprocess.Popen[str]
    faults: Path
    port: int = 0
    log: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request and read all of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, content, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    @contextlib.contextmanager
    def broken(self, **fault: object) -> Iterator[None]:
        """Give the engine a fault for a while."""
        self.faults.write_text(json.dumps(fault))
        try:
            yield
        finally:
            self.faults.unlink()

    def logged(self, text: str) -> bool:
        """Wait until the engine has printed something."""
        return until(lambda: any(text in line for line in self.log))


def until(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    """Wait for a condition; tell whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@contextlib.contextmanager
def running(name: str, arguments: list[str], directory: Path, **environment: str) -> Iterator[Engine]:
    """Run one engine until the end of the block; an announced port tells that it listens."""
    command = [sys.executable, "-IB", str(FLAKE / f"{name}-ipex" / "bin" / name), *arguments]
    process = subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], "IPEX_LAB_FAULTS": str(directory), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    engine = Engine(process, directory / f"{name}.json")
    reader = threading.Thread(target=lambda: engine.log.extend(iter(_readline(process), "")), daemon=True)
    reader.start()
    try:
        until(lambda: _announced(engine) or process.poll() is not None, START_SECONDS)
        yield engine
    finally:
        process.kill()
        process.wait()
        reader.join()


def _readline(process: subprocess.Popen[str]) -> Callable[[], str]:
    assert process.stdout
    return process.stdout.readline


def _announced(engine: Engine) -> bool:
    found = re.search(r"(?:Listening on |http://)127\.0\.0\.1:(\d+)", "".join(engine.log))
    engine.port = int(found.group(1)) if found else 0
    return bool(found)


def ollama_environment(directory: Path, **more: str) -> dict[str, str]:
    """Return what an Ollama needs to start on a free port, without delays."""
    paces = {"OLLAMA_LAB_LOAD_SECONDS": "0", "OLLAMA_LAB_TOKEN_SECONDS": "0.001"}
    return {"HOME": str(directory), "OLLAMA_HOST": "127.0.0.1:0", **paces, **more}


def comfyui_arguments(directory: Path, *more: str) -> list[str]:
    """Return what a ComfyUI needs to start on a free port."""
    return ["--port", "0", "--base-directory", str(directory), "--max-upload-size", "1", *more]
