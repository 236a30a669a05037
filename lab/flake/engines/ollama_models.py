"""Which models the Ollama of the lab has, which are loaded, and who may compute now."""

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from .golang import timestamp
from .http import HttpError

CONTEXT_LENGTH = 4096
WEIGHTS = 6000
"""Bytes of a pulled model's weights."""
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ERR_MAX_QUEUE = "server busy, please try again.  maximum pending requests exceeded"  # server/sched.go


@dataclass
class Model:
    """A model on disk; size is bytes, digest its manifest's."""

    name: str
    size: int
    modified: float
    digest: str
    level: str = "Q4_0"

    def described(self) -> dict[str, object]:
        """Return what /api/tags says about it (api/types.go, ListModelResponse)."""
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": timestamp(self.modified),
            "size": self.size,
            "digest": self.digest,
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
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Shelf:
    """The models of OLLAMA_MODELS, in Ollama's own layout: those the lab declares, and those that came later.

    manifests/HOST/NAMESPACE/MODEL/TAG names layers, which lie in blobs/sha256-DIGEST (manifest/manifest.go,
    manifest/layer.go). What no manifest names goes when it starts (server/images.go, PruneLayers).
    """

    def __init__(self, directory: Path, declared: list[str]) -> None:
        self._manifests = directory / "manifests"
        self._blobs = directory / "blobs"
        self._manifests.mkdir(parents=True, exist_ok=True)
        self._blobs.mkdir(exist_ok=True)
        for name in declared:
            if not self._path(name).exists():
                self.pull(name)
        self._prune()

    def _path(self, name: str) -> Path:
        *places, last = full_name(name).split("/")
        model, _, tag = last.rpartition(":")
        host = places[-2] if len(places) > 1 else "registry.ollama.ai"
        namespace = places[-1] if places else "library"
        parts = (host, namespace, model, tag)
        # A slash or a dot would lead out of the directory.
        if not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", part) for part in parts):
            raise HttpError(400, {"error": "invalid model name"})
        return self._manifests.joinpath(*parts)

    def pull(self, name: str) -> None:
        """Add a model as the library has it, with small layers that are made of its name."""
        self._write(name, WEIGHTS, level_of(name))

    def create(self, name: str, source: str, quantize: str) -> None:
        """Make a model from another; the refusals are those of server/create.go and fs/ggml/type.go."""
        found, wanted = self.find(source), {"Q4_K": "Q4_K_M"}.get(quantize.upper(), quantize.upper())
        if quantize and wanted not in (*QUANTISED, *UNQUANTISED):
            raise HttpError(400, {"error": f"unsupported quantization type {quantize.upper()}"})
        if quantize and found.level not in UNQUANTISED:
            raise HttpError(400, {"error": "quantization is only supported for F16, BF16 and F32 models"})
        self._write(name, int(found.size * QUANTISED.get(wanted, 1.0)), wanted or found.level)

    def _write(self, name: str, size: int, level: str) -> None:
        weights = f"weights of {full_name(name)} at {level}\n".encode()
        # What a GGUF's file type is called there (server/create.go, createModel).
        config = {"model_format": "gguf", "file_type": level, "of": full_name(name)}
        layers = [self._layer(json.dumps(config).encode()), self._layer((weights * (size // len(weights) + 1))[:size])]
        described, *rest = [
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest, "size": length}
            for kind, (digest, length) in zip(("config", "model"), layers, strict=True)
        ]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": rest}
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest))

    def _layer(self, content: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(content).hexdigest()
        (self._blobs / f"sha256-{digest}").write_bytes(content)
        return f"sha256:{digest}", len(content)

    def remove(self, name: str) -> None:
        """Remove a model, and what no other one needs of it; a 404 where there is none."""
        self.find(name)
        self._path(name).unlink()
        self._prune()

    def _prune(self) -> None:
        kept = {self._blob(layer) for path in self._paths() for layer in _layers(path)}
        for blob in set(self._blobs.iterdir()) - kept:
            blob.unlink()

    def _blob(self, layer: dict[str, object]) -> Path:
        return self._blobs / str(layer["digest"]).replace(":", "-")

    def find(self, name: object) -> Model:
        """Return a model; a 404 as the real one's where there is none."""
        path = self._path(str(name))
        if not path.is_file():
            raise HttpError(404, {"error": f"model '{name}' not found"})
        return self._model(path)

    def _model(self, path: Path) -> Model:
        layers = _layers(path)
        if any(not self._blob(layer).is_file() for layer in layers):
            raise HttpError(500, {"error": "unable to load model"})
        host, namespace, model, tag = path.parts[-4:]
        place = "" if host == "registry.ollama.ai" else f"{host}/"
        place += "" if namespace == "library" and not place else f"{namespace}/"
        size = sum(int(str(layer["size"])) for layer in layers)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Model(f"{place}{model}:{tag}", size, path.stat().st_mtime, digest, self._level(layers[0]))

    def _level(self, config: dict[str, object]) -> str:
        try:
            return str(json.loads(self._blob(config).read_bytes())["file_type"])
        except (ValueError, KeyError, TypeError):
            # Made by somebody else, who did not say.
            return "Q4_0"

    def all(self) -> list[Model]:
        """Return every model, newest first."""
        found = [self._model(path) for path in self._paths()]
        return sorted(found, key=lambda model: (-model.modified, model.name))

    def _paths(self) -> list[Path]:
        # What is being written bears a name that begins with a dot.
        return [path for path in self._manifests.glob("*/*/*/*") if path.is_file() and path.name[0] != "."]


def _layers(path: Path) -> list[dict[str, object]]:
    manifest = json.loads(path.read_text())
    return [manifest["config"], *manifest["layers"]]


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
