"""The routes of the lab's ComfyUI (server.py of Comfy-Org/ComfyUI at 002c3fb9), each also under /api."""

import argparse
import asyncio
import ipaddress
import mimetypes
import os
import platform
import re
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from . import faults
from .comfyui_front_end import FrontEnd, Route
from .comfyui_jobs import Jobs
from .comfyui_nodes import object_info, validated
from .comfyui_queue import PromptQueue
from .http import HttpError, Request, Response, text
from .multipart import parts
from .revision import revision
from .websocket import WebSocket, handshake

IMITATED = "0.34.1"
VRAM_BYTES = 16 * 1024**3
# What its pages may load where --disable-api-nodes was given.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self' data:; frame-src 'self'; object-src 'self';"
)


class Routes:
    """What one ComfyUI answers."""

    def __init__(
        self, queue: PromptQueue, places: dict[str, Path], chosen: argparse.Namespace, arguments: list[str]
    ) -> None:
        self._queue = queue
        self._places = places
        self._chosen = chosen
        self._arguments = arguments
        self._front_end = FrontEnd(chosen.front_end_root, places["user"])
        jobs = Jobs(queue)
        self._routes: list[tuple[str, re.Pattern[str], Route]] = [
            (method, re.compile(pattern), route)
            for method, pattern, route in (
                *self._front_end.routes(),
                ("GET", "/ws", self._ws),
                ("GET", "/system_stats", self._system_stats),
                ("GET", "/features", self._features),
                ("GET", "/object_info", self._object_info),
                ("GET", "/object_info/([^/]+)", self._object_info),
                ("GET", "/prompt", self._exec_info),
                ("POST", "/prompt", self._prompt),
                ("GET", "/queue", self._list_queue),
                ("POST", "/queue", self._change_queue),
                ("POST", "/interrupt", self._interrupt),
                ("POST", "/free", self._free),
                ("GET", "/history", self._history),
                ("GET", "/history/([^/]+)", self._history),
                ("POST", "/history", self._change_history),
                ("GET", "/view", self._view),
                ("POST", "/upload/image", self._upload),
                ("GET", "/jobs", jobs.index),
                ("GET", "/jobs/([^/]+)", jobs.show),
                ("POST", "/jobs/([^/]+)/cancel", jobs.cancel),
            )
        ]

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        if not self._chosen.enable_cors_header and foreign(request):
            raise HttpError(403)
        response = await self._answer(request)
        if self._chosen.disable_api_nodes:
            response.headers["Content-Security-Policy"] = POLICY
        return response

    async def _answer(self, request: Request) -> Response:
        path = request.path.removeprefix("/api") if request.path.startswith("/api/") else request.path
        matches = [(m, found, route) for m, pattern, route in self._routes if (found := pattern.fullmatch(path))]
        method = "GET" if request.method == "HEAD" else request.method
        for allowed, found, route in matches:
            if allowed == method:
                request.parameters = found.groups()
                return await route(request)
        if matches:
            return text("405: Method Not Allowed", 405)
        if method == "GET" and (found_file := self._front_end.file(path)):
            return found_file
        return text("404: Not Found", 404)

    def device(self) -> dict[str, object]:
        """Return the one device, as /system_stats shows it; sizes in bytes."""
        on_cpu = self._chosen.cpu or faults.current("comfyui").generate == "cpu"
        kind, name = ("cpu", "cpu") if on_cpu else ("xpu", "xpu:0 Intel(R) Arc(TM) Graphics")
        total = memory("MemTotal") if on_cpu else VRAM_BYTES
        return {
            "name": name,
            "type": kind,
            "index": None if on_cpu else 0,
            "vram_total": total,
            "vram_free": total,
            "torch_vram_total": 0,
            "torch_vram_free": 0,
        }

    async def _system_stats(self, _request: Request) -> Response:
        system = {
            "os": platform.system().lower(),
            "ram_total": memory("MemTotal"),
            "ram_free": memory("MemAvailable"),
            "comfyui_version": f"{IMITATED}-lab{revision()}",
            "python_version": platform.python_version(),
            "pytorch_version": "2.15.0+xpu",
            "embedded_python": False,
            "argv": self._arguments,
        }
        return Response({"system": system, "devices": [self.device()]})

    async def _features(self, _request: Request) -> Response:
        return Response(self._feature_flags())

    def _feature_flags(self) -> dict[str, object]:
        limit = int(self._chosen.max_upload_size * 1024 * 1024)
        return {"supports_preview_metadata": True, "max_upload_size": limit}

    async def _object_info(self, request: Request) -> Response:
        return Response(object_info(request.parameters[0] if request.parameters else None))

    async def _exec_info(self, _request: Request) -> Response:
        return Response({"exec_info": {"queue_remaining": self._queue.remaining()}})

    async def _prompt(self, request: Request) -> Response:
        if faults.current("comfyui").generate == "error503":
            raise HttpError(503, {"error": "level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)"})
        document = request.json()
        job = self._queue.add(validated(document), document)
        print("got prompt", flush=True)
        return Response({"prompt_id": job.prompt_id, "number": job.number, "node_errors": {}})

    async def _list_queue(self, _request: Request) -> Response:
        running = [self._queue.running.listed()] if self._queue.running else []
        return Response({"queue_running": running, "queue_pending": [job.listed() for job in self._queue.pending]})

    async def _change_queue(self, request: Request) -> Response:
        document = request.json()
        if document.get("clear"):
            self._queue.delete(None)
        elif identifiers := _identifiers(document):
            self._queue.delete(identifiers)
        return Response()

    async def _interrupt(self, request: Request) -> Response:
        identifier = request.json().get("prompt_id") if request.body else None
        self._queue.interrupt(str(identifier) if identifier else None)
        return Response()

    async def _free(self, _request: Request) -> Response:
        return Response()

    async def _history(self, request: Request) -> Response:
        history = self._queue.history
        if request.parameters:
            return Response({key: history[key] for key in request.parameters if key in history})
        most = int(request.query.get("max_items", "0"))
        return Response(dict(list(history.items())[-most:]))

    async def _change_history(self, request: Request) -> Response:
        document = request.json()
        doomed = set(self._queue.history) if document.get("clear") else _identifiers(document)
        for identifier in doomed:
            self._queue.history.pop(identifier, None)
        return Response()

    async def _view(self, request: Request) -> Response:
        path = self._place(
            request.query.get("type", "output"),
            request.query.get("subfolder", ""),
            request.query.get("filename", ""),
        )
        if not path.is_file():
            raise HttpError(404)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        headers = {"Content-Disposition": f'filename="{path.name}"'}
        return Response(path.read_bytes(), content_type=kind, headers=headers)

    async def _upload(self, request: Request) -> Response:
        form = parts(request.headers.get("content-type", ""), request.body)
        image = form.get("image")
        if not image or not image.filename:
            raise HttpError(400)
        fields = {name: part.content.decode() for name, part in form.items() if not part.filename}
        kind, subfolder = fields.get("type", "input"), fields.get("subfolder", "")
        path = self._place(kind, subfolder, image.filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        if fields.get("overwrite", "").lower() not in {"true", "1"}:
            path = _free_name(path, image.content)
        path.write_bytes(image.content)
        return Response({"name": path.name, "subfolder": subfolder, "type": kind})

    def _place(self, kind: str, subfolder: str, filename: str) -> Path:
        """Return where a file belongs; 400 for a bad kind or name, 403 for a folder that leads out."""
        if kind not in {"input", "output", "temp"} or not filename or filename != Path(filename).name:
            raise HttpError(400)
        root = self._places[kind].resolve()
        folder = (root / subfolder).resolve()
        if not folder.is_relative_to(root) or filename in {".", ".."}:
            raise HttpError(403)
        return folder / filename

    async def _ws(self, request: Request) -> Response:
        response = handshake(request)
        sid = request.query.get("clientId") or uuid.uuid4().hex
        response.upgraded = lambda: self._attend(sid, WebSocket(request.reader, request.writer))
        return response

    async def _attend(self, sid: str, socket: WebSocket) -> None:
        """Hold one socket until its client leaves."""
        self._queue.sockets[sid] = socket
        socket.send("status", {**self._queue.status(), "sid": sid})
        if self._queue.running and self._queue.running.client_id == sid:
            socket.send("executing", {"node": None})
        try:
            while (message := await socket.receive()) is not None:
                if message.get("type") == "feature_flags":
                    socket.send("feature_flags", self._feature_flags())
        except asyncio.IncompleteReadError:
            pass
        finally:
            # A client that came back under the same id has its new socket here: that one stays.
            if self._queue.sockets.get(sid) is socket:
                del self._queue.sockets[sid]


def foreign(request: Request) -> bool:
    """Tell whether a page of another origin reaches a loopback host (create_origin_only_middleware)."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin", "")
    if not host or not origin:
        return False
    name = urlsplit(f"//{host}").hostname or ""
    try:
        loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = name == "localhost"
    return loopback and urlsplit(origin).netloc.lower() != host.lower()


def memory(key: str) -> int:
    """Return one value of /proc/meminfo in bytes; 0 where it cannot be read."""
    try:
        lines = Path(os.environ.get("IPEX_LAB_MEMINFO", "/proc/meminfo")).read_text().splitlines()
    except OSError:
        return 0
    values = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    return int(values.get(key, "0 kB").split()[0]) * 1024


def _identifiers(document: dict[str, object]) -> set[str]:
    doomed = document.get("delete")
    return {str(one) for one in doomed} if isinstance(doomed, list) else set()


def _free_name(path: Path, content: bytes) -> Path:
    """Return a name that is free, counting up as ComfyUI does; the same picture keeps its name."""
    number, wanted = 0, path
    while wanted.exists() and wanted.read_bytes() != content:
        number += 1
        wanted = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return wanted
