"""The lab's Ollama: its HTTP API, its environment and its manners, without a model.

What it imitates was read in ollama/ollama at fb3076099 (0.33.0-rc2): server/routes.go, server/sched.go,
api/types.go, envconfig/config.go and docs/api.
"""

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path

from . import faults
from .golang import duration_text, timestamp
from .http import HttpError, Request, Response, Server, compact, complain, text
from .ollama_generate import Engine
from .ollama_models import CONTEXT_LENGTH, Scheduler, Shelf, full_name
from .ollama_openai import OpenAI
from .revision import revision

IMITATED = "0.33.0"
DECLARED_MODELS = "tinyllama:latest,llama3.2:latest"
BODY_LIMIT = 256 * 1024 * 1024
VRAM_SHARE = {"cpu": 0.0}


class Ollama:
    """The routes of one Ollama."""

    def __init__(self, shelf: Shelf, scheduler: Scheduler, *, loopback: bool) -> None:
        self._shelf = shelf
        self._scheduler = scheduler
        self._loopback = loopback
        self._engine = Engine(shelf, scheduler)
        openai = OpenAI(self._engine)
        self._routes = {
            ("GET", "/"): self._root,
            ("GET", "/api/version"): self._version,
            ("GET", "/api/status"): self._status,
            ("GET", "/api/tags"): self._tags,
            ("GET", "/api/ps"): self._ps,
            ("POST", "/api/show"): self._show,
            ("POST", "/api/pull"): self._pull,
            ("POST", "/api/create"): self._create,
            ("DELETE", "/api/delete"): self._delete,
            ("POST", "/api/generate"): self._engine.generate,
            ("POST", "/api/chat"): self._engine.chat,
            ("POST", "/api/embed"): self._engine.embed,
            ("GET", "/v1/models"): self._openai_models,
            ("POST", "/v1/chat/completions"): openai.chat,
            ("POST", "/v1/completions"): openai.complete,
        }

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        if self._loopback and not host_allowed(request.headers.get("host", "")):
            raise HttpError(403)
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes.get((method, request.path))
        if route:
            return await route(request)
        if any(path == request.path for _, path in self._routes):
            return text("405 method not allowed", 405)
        return text("404 page not found", 404)

    async def _root(self, _request: Request) -> Response:
        return text("Ollama is running")

    async def _version(self, _request: Request) -> Response:
        return Response({"version": version()})

    async def _status(self, _request: Request) -> Response:
        return Response({"cloud": {"disabled": True, "source": "env"}})

    async def _tags(self, _request: Request) -> Response:
        return Response({"models": [model.described() for model in self._shelf.all()]})

    async def _ps(self, _request: Request) -> Response:
        self._scheduler.expire()
        share = VRAM_SHARE.get(faults.current("ollama").generate, 1.0)
        return Response(
            {
                "models": [
                    {
                        **{key: value for key, value in entry.model.described().items() if key != "modified_at"},
                        "expires_at": timestamp(entry.expires),
                        "size_vram": int(entry.model.size * share),
                        "context_length": CONTEXT_LENGTH,
                    }
                    for entry in self._scheduler.loaded.values()
                ]
            }
        )

    async def _show(self, request: Request) -> Response:
        asked = request.json()
        model = self._shelf.find(asked.get("model") or asked.get("name"))
        return Response(
            {
                "license": "",
                "modelfile": f"FROM {model.name}\n",
                "template": "{{ .Prompt }}",
                "details": model.details(),
                "model_info": {"general.architecture": "llama", "llama.context_length": CONTEXT_LENGTH},
                "capabilities": ["completion"],
                "modified_at": timestamp(model.modified),
            }
        )

    async def _pull(self, request: Request) -> Response:
        asked = request.json()
        name = full_name(str(asked.get("model") or asked.get("name") or ""))
        if name.startswith(":"):
            raise HttpError(400, {"error": "invalid model name"})
        self._shelf.pull(name)
        return Response({"status": "success"}, content_type="application/x-ndjson")

    async def _create(self, request: Request) -> Response:
        """Make a model from another (docs/api.md, "Create a Model"); the quantiser refuses in the stream."""
        asked = request.json()
        name, source = str(asked.get("model") or asked.get("name") or ""), str(asked.get("from") or "")
        if not name or full_name(name).startswith(":"):
            raise HttpError(400, {"error": "invalid model name"})
        if not source:
            raise HttpError(400, {"error": "neither 'from' or 'files' was specified"})
        level, quantize = self._shelf.find(source).level, str(asked.get("quantize") or asked.get("quantization") or "")
        begun = [{"status": f"quantizing {level} model to {quantize.upper()}"}] if quantize else []
        try:
            self._shelf.create(name, source, quantize)
            told = [*begun, {"status": "writing manifest"}, {"status": "success"}]
        except HttpError as error:
            told = [error.body if isinstance(error.body, dict) else {"error": str(error)}]
        return Response(content_type="application/x-ndjson", stream=_told(told))

    async def _delete(self, request: Request) -> Response:
        asked = request.json()
        self._shelf.remove(str(asked.get("model") or asked.get("name") or ""))
        return Response()

    async def _openai_models(self, _request: Request) -> Response:
        return Response(
            {
                "object": "list",
                "data": [
                    {
                        "id": model.name,
                        "object": "model",
                        "created": int(model.modified),
                        "owned_by": "library",
                    }
                    for model in self._shelf.all()
                ],
            }
        )


async def _told(lines: list[dict[str, str]]) -> AsyncGenerator[bytes, None]:
    for line in lines:
        yield compact(line) + b"\n"


def version() -> str:
    """Return the version it reports: the one it imitates, and its own revision."""
    return f"{IMITATED}-lab{revision()}"


def host_allowed(host: str) -> bool:
    """Tell whether an Ollama bound to loopback answers this Host header (allowedHostsMiddleware)."""
    name = host.rsplit(":", 1)[0] if host.count(":") == 1 or host.startswith("[") else host
    name = name.strip("[]").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        known = {"", "localhost", socket.gethostname().lower()}
        return name in known or name.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_unspecified


def client_ip(request: Request) -> str:
    """Return whom gin takes for the client: it believes every proxy, and so the first address of X-Forwarded-For.

    gin.go, validateHeader: read from the right, and one that is no address spoils the header.
    """
    forwarded = request.headers.get("x-forwarded-for", "").split(",")
    try:
        addresses = [ipaddress.ip_address(one.strip()) for one in forwarded]
    except ValueError:
        return request.peer
    return str(addresses[0])


def access_log(request: Request, status: int, seconds: float) -> None:
    """Print gin's line for one request on standard output (gin 1.10, logger.go)."""
    # Gin cuts what takes longer than a minute to whole seconds.
    seconds = float(int(seconds)) if seconds > 60 else seconds
    now = datetime.now().astimezone().strftime("%Y/%m/%d - %H:%M:%S")
    print(
        f"[GIN] {now} | {status:3d} | {duration_text(seconds):>13} | {client_ip(request):>15} | "
        f'{request.method:<7}  "{request.target}"',
        flush=True,
    )


def note(message: str, **fields: object) -> None:
    """Print a line as Go's slog does, on standard error."""
    extra = "".join(f" {key}={value}" for key, value in fields.items())
    print(
        f'time={timestamp()} level=INFO source=routes.go:1544 msg="{message}"{extra}',
        file=sys.stderr,
        flush=True,
    )


def address(value: str) -> tuple[str, int]:
    """Split OLLAMA_HOST as envconfig does: [scheme://]host[:port], port 11434 where none stands."""
    host, colon, port = value.rpartition("://")[2].strip("/").rpartition(":")
    if not colon or port.endswith("]"):
        host, port = value.rpartition("://")[2].strip("/"), "11434"
    return host.strip("[]") or "0.0.0.0", int(port)


def serve() -> int:
    """Run the server until SIGTERM."""
    home = os.environ.get("HOME")
    if not home:
        return complain("panic: $HOME is not defined")
    if faults.current("ollama").start == "exit":
        return complain("Error: no GPU runner: vk: ErrorDeviceLost")
    models = Path(os.environ.get("OLLAMA_MODELS") or f"{home}/.ollama/models")
    declared = os.environ.get("OLLAMA_LAB_MODELS", DECLARED_MODELS).split(",")
    try:
        shelf = Shelf(models, [name for name in declared if name])
    except OSError as error:
        return complain(f"Error: mkdir {models}: {error.strerror}: ensure path elements are traversable")
    host, port = address(os.environ.get("OLLAMA_HOST", "127.0.0.1:11434"))
    try:
        asyncio.run(_run(shelf, host, port))
    except OSError as error:
        return complain(f"Error: listen tcp {host}:{port}: {error.strerror}")
    return 0


async def _run(shelf: Shelf, host: str, port: int) -> None:
    scheduler = Scheduler(
        parallel=int(os.environ.get("OLLAMA_NUM_PARALLEL") or 1),
        max_queue=int(os.environ.get("OLLAMA_MAX_QUEUE") or 512),
        load_seconds=float(os.environ.get("OLLAMA_LAB_LOAD_SECONDS", "0.2")),
    )
    loopback = host == "localhost" or ((":" in host or host[0].isdigit()) and ipaddress.ip_address(host).is_loopback)
    ollama = Ollama(shelf, scheduler, loopback=loopback)
    server = Server(ollama.handle, body_limit=BODY_LIMIT, access_log=access_log)

    def started(bound: int) -> None:
        note(f"Listening on {host}:{bound} (version {version()})")
        note(
            "inference compute",
            id=0,
            library="Vulkan",
            name="Vulkan0",
            description='"Intel Arc"',
            type="discrete",
        )

    await server.run([host], port, started)


def main() -> int:
    """Run `ollama serve` or `ollama --version`."""
    arguments = sys.argv[1:]
    if arguments in (["serve"], ["start"]):
        return serve()
    if arguments in (["--version"], ["-v"]):
        print(f"ollama version is {version()}")
        return 0
    return complain(f'Error: unknown command "{" ".join(arguments)}" for "ollama": the lab has serve and --version')
