"""Which models the Ollama of the lab has, which are loaded, and who may compute now."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from .golang import timestamp
from .http import HttpError

CONTEXT_LENGTH = 4096
ERR_MAX_QUEUE = "server busy, please try again.  maximum pending requests exceeded"  # server/sched.go


@dataclass
class Model:
    """A model on disk; sizes are bytes."""

    name: str
    size: int
    modified: float
    level: str = "Q4_0"

    def described(self) -> dict[str, object]:
        """Return what /api/tags says about it (api/types.go, ListModelResponse)."""
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": timestamp(self.modified),
            "size": self.size,
            "digest": hashlib.sha256(self.name.encode()).hexdigest(),
            "details": self.details(),
        }

    def details(self) -> dict[str, object]:
        """Return the details that /api/tags, /api/ps and /api/show share."""
        return {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "1.1B",
            "quantization_level": self.level,
        }


QUANTISED = {"Q4_K_S": 0.28, "Q4_K_M": 0.3, "Q8_0": 0.53}
"""What fs/ggml/type.go takes for a quantisation, each with the share of F16's size that is left."""
UNQUANTISED = ("F16", "BF16", "F32")
_TAGS = {"fp16": "F16", "f16": "F16", "bf16": "BF16", "fp32": "F32", "f32": "F32"}


def level_of(name: str) -> str:
    """Return what a library's tag promises: its last word, or a quantised model where it has none."""
    return _TAGS.get(name.rpartition(":")[2].rpartition("-")[2].lower(), "Q4_0")


def full_name(name: str) -> str:
    """Return a name with its tag; Ollama's default is latest."""
    return name if ":" in name else f"{name}:latest"


class Shelf:
    """The models of OLLAMA_MODELS: those the lab declares and those that were pulled."""

    def __init__(self, directory: Path, declared: list[str]) -> None:
        self._manifests = directory / "manifests"
        self._manifests.mkdir(parents=True, exist_ok=True)
        (directory / "blobs").mkdir(exist_ok=True)
        for name in declared:
            if not self._path(name).exists():
                self.pull(name)

    def _path(self, name: str) -> Path:
        # A slash would lead out of the directory.
        return self._manifests / full_name(name).replace("/", "%2F")

    def pull(self, name: str) -> None:
        """Add a model as the library has it."""
        self._write(name, 637_700_138, level_of(name))

    def create(self, name: str, source: str, quantize: str) -> None:
        """Make a model from another; the refusals are those of server/create.go and fs/ggml/type.go."""
        found, wanted = self.find(source), {"Q4_K": "Q4_K_M"}.get(quantize.upper(), quantize.upper())
        if quantize and wanted not in (*QUANTISED, *UNQUANTISED):
            raise HttpError(400, {"error": f"unsupported quantization type {quantize.upper()}"})
        if quantize and found.level not in UNQUANTISED:
            raise HttpError(400, {"error": "quantization is only supported for F16, BF16 and F32 models"})
        self._write(name, int(found.size * QUANTISED.get(wanted, 1.0)), wanted or found.level)

    def _write(self, name: str, size: int, level: str) -> None:
        self._path(name).write_text(json.dumps({"name": full_name(name), "size": size, "level": level}))

    def remove(self, name: str) -> None:
        """Remove a model; a 404 where there is none."""
        self.find(name)
        self._path(name).unlink()

    def find(self, name: object) -> Model:
        """Return a model; a 404 as the real one's where there is none."""
        try:
            path = self._path(str(name))
            manifest = json.loads(path.read_text())
            return Model(manifest["name"], manifest["size"], path.stat().st_mtime, manifest.get("level", "Q4_0"))
        except OSError as error:
            raise HttpError(404, {"error": f"model '{name}' not found"}) from error

    def all(self) -> list[Model]:
        """Return every model, newest first."""
        found = (self.find(path.name.replace("%2F", "/")) for path in self._manifests.iterdir())
        return sorted(found, key=lambda model: (-model.modified, model.name))


@dataclass
class Loaded:
    """A model in memory."""

    model: Model
    expires: float
    keep_alive: float


class Scheduler:
    """Loads models and lets `parallel` requests compute at a time, with at most `max_queue` waiting."""

    def __init__(self, *, parallel: int, max_queue: int, load_seconds: float) -> None:
        self.loaded: dict[str, Loaded] = {}
        self._slots = asyncio.Semaphore(parallel)
        self._load = asyncio.Lock()
        self._max_queue = max_queue
        self._load_seconds = load_seconds
        self._waiting = 0

    def expire(self) -> None:
        """Forget the models whose keep_alive has run out."""
        now = time.time()
        self.loaded = {name: entry for name, entry in self.loaded.items() if entry.expires > now}

    def unload(self, model: Model) -> None:
        """Free a model's memory at once."""
        self.loaded.pop(model.name, None)

    @contextlib.asynccontextmanager
    async def slot(self, model: Model, keep_alive: float) -> AsyncIterator[float]:
        """Wait for a turn with the model loaded, and yield the seconds that loading took.

        Raises:
            HttpError: 503, when too many wait already.
        """
        if self._slots.locked() and self._waiting >= self._max_queue:
            raise HttpError(503, {"error": ERR_MAX_QUEUE})
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield await self._ensure(model, keep_alive)
            self._touch(model, keep_alive)
        finally:
            self._slots.release()

    async def _ensure(self, model: Model, keep_alive: float) -> float:
        begin = time.monotonic()
        async with self._load:
            self.expire()
            if model.name not in self.loaded:
                await asyncio.sleep(self._load_seconds)
            self._touch(model, max(keep_alive, 1.0))
        return time.monotonic() - begin

    def _touch(self, model: Model, keep_alive: float) -> None:
        self.loaded[model.name] = Loaded(model, time.time() + keep_alive, keep_alive)
        self.expire()
