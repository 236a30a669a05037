"""One job at a time: the prompt queue of the lab's ComfyUI, its history and its events."""

import asyncio
import contextlib
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import faults
from .comfyui_nodes import CLASSES, Prompt
from .png import png

if TYPE_CHECKING:
    from .websocket import WebSocket

NODE_SECONDS = 0.01
STEP_SECONDS = 0.05
HISTORY_LIMIT = 10_000  # execution.py, MAXIMUM_HISTORY_SIZE


@dataclass
class Job:
    """One prompt, queued or running."""

    number: float
    prompt_id: str
    prompt: Prompt
    client_id: str
    extra: dict[str, object]
    outputs: dict[str, object] = field(default_factory=dict)
    messages: list[list[object]] = field(default_factory=list)

    def listed(self) -> list[object]:
        """Return the job as /queue and /history list it."""
        outputs = [node for node, content in self.prompt.items() if CLASSES[str(content["class_type"])].shown]
        return [self.number, self.prompt_id, self.prompt, self.extra, outputs]


class PromptQueue:
    """Runs jobs in order and tells the sockets about it."""

    def __init__(self, output: Path, temp: Path) -> None:
        self.sockets: dict[str, WebSocket] = {}
        self.history: dict[str, dict[str, object]] = {}
        self.pending: deque[Job] = deque()
        self.running: Job | None = None
        self._work: asyncio.Task[None] | None = None
        self._directories = {"SaveImage": (output, "output"), "PreviewImage": (temp, "temp")}
        self._added = asyncio.Event()
        self._numbers = 0

    def remaining(self) -> int:
        """Return how many jobs are queued or running."""
        return len(self.pending) + (self.running is not None)

    def add(self, prompt: Prompt, document: dict[str, object]) -> Job:
        """Queue a prompt; at the front where the request says so."""
        self._numbers += 1
        front = bool(document.get("front"))
        client = str(document.get("client_id") or "")
        identifier = str(document.get("prompt_id") or uuid.uuid4())
        # server.py, POST /prompt: whatever the client sent under create_time is replaced.
        given = document.get("extra_data")
        extra = {
            **(given if isinstance(given, dict) else {}),
            "client_id": client,
            "create_time": int(time.time() * 1000),
        }
        job = Job(-self._numbers if front else self._numbers, identifier, prompt, client, extra)
        (self.pending.appendleft if front else self.pending.append)(job)
        self._added.set()
        self.broadcast_status()
        return job

    def delete(self, identifiers: set[str] | None) -> None:
        """Remove queued jobs; all of them for None. The running one stays."""
        self.pending = deque(
            job for job in self.pending if identifiers is not None and job.prompt_id not in identifiers
        )
        self.broadcast_status()

    def interrupt(self, prompt_id: str | None) -> None:
        """Stop the running job; whosever it is, when no id is given (as the real one)."""
        if self.running and self._work and prompt_id in {None, self.running.prompt_id}:
            self._work.cancel()

    def status(self) -> dict[str, object]:
        """Return what a `status` event carries."""
        return {"status": {"exec_info": {"queue_remaining": self.remaining()}}}

    def broadcast_status(self) -> None:
        """Tell every socket how long the queue is."""
        for socket in self.sockets.values():
            socket.send("status", self.status())

    async def run(self) -> None:
        """Execute jobs for ever."""
        while True:
            while not self.pending:
                self._added.clear()
                await self._added.wait()
            self.running = self.pending.popleft()
            self._work = asyncio.ensure_future(self._execute(self.running))
            await asyncio.wait({self._work})
            self._finish(self.running, completed=not self._work.cancelled())
            self.running = None
            self.broadcast_status()

    def _tell(self, job: Job, event: str, **data: object) -> None:
        data = {**data, "prompt_id": job.prompt_id}
        if event.startswith("execution_"):
            data["timestamp"] = int(time.time() * 1000)
            job.messages.append([event, data])
        if socket := self.sockets.get(job.client_id):
            socket.send(event, data)

    async def _execute(self, job: Job) -> None:
        self._tell(job, "execution_start")
        self._tell(job, "execution_cached", nodes=[])
        for node, content in job.prompt.items():
            self._tell(job, "executing", node=node, display_node=node)
            await self._sample(job, node, content)
            if produced := self._produce(content):
                job.outputs[node] = produced
                self._tell(job, "executed", node=node, display_node=node, output=produced)

    async def _sample(self, job: Job, node: str, content: dict[str, object]) -> None:
        inputs = content.get("inputs")
        steps = inputs.get("steps") if isinstance(inputs, dict) else None
        count = steps if isinstance(steps, int) else 1
        for step in range(1, count + 1):
            fault = faults.current("comfyui")
            if fault.generate == "hang":
                await asyncio.Event().wait()
            if fault.generate == "cut" and job.client_id in self.sockets:
                self.sockets[job.client_id].abort()
            await asyncio.sleep(fault.pace(STEP_SECONDS if steps else NODE_SECONDS))
            state = {
                "value": step,
                "max": count,
                "state": "running",
                "node_id": node,
                "prompt_id": job.prompt_id,
            }
            self._tell(job, "progress_state", nodes={node: state})
            if steps:
                self._tell(job, "progress", value=step, max=count, node=node)

    def _produce(self, content: dict[str, object]) -> dict[str, object] | None:
        place = self._directories.get(str(content["class_type"]))
        inputs = content.get("inputs")
        if not place or not isinstance(inputs, dict):
            return None
        directory, kind = place
        prefix = Path(str(inputs.get("filename_prefix") or "ComfyUI_temp")).name
        number = sum(1 for _ in directory.glob(f"{prefix}_*_.png")) + 1
        name = f"{prefix}_{number:05}_.png"
        (directory / name).write_bytes(png(64, 64, (0, 113, 197)))
        return {"images": [{"filename": name, "subfolder": "", "type": kind}]}

    def _finish(self, job: Job, *, completed: bool) -> None:
        failure = None
        if completed and self._work:
            failure = self._work.exception()
        event = "execution_success" if completed else "execution_interrupted"
        if failure:
            print(f"!!! Exception during processing !!! {failure}", flush=True)
            self._tell(job, "execution_error", exception_message=str(failure), exception_type=type(failure).__name__)
        else:
            self._tell(job, event)
        self._tell(job, "executing", node=None)
        status = {
            "status_str": "success" if completed and not failure else "error",
            "completed": completed and not failure,
            "messages": job.messages,
        }
        self.history[job.prompt_id] = {
            "prompt": job.listed(),
            "outputs": job.outputs,
            "status": status,
            "meta": {},
        }
        while len(self.history) > HISTORY_LIMIT:
            with contextlib.suppress(KeyError):
                del self.history[next(iter(self.history))]
