"""A registry of models for the lab, which has no route to Ollama's: its protocol, counted bytes, and faults on demand.

It speaks what `ollama pull` asks of a registry (ollama/ollama, server/images.go, pullModelManifest, and
server/download.go): GET /v2/NAMESPACE/MODEL/manifests/TAG, and HEAD and GET of /v2/NAMESPACE/MODEL/blobs/DIGEST with
ranges. Below /files/ lie single files, as a host of checkpoints would have them.
"""

import hashlib
import json
import random
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from lab.roster import MACHINE_ADDRESS

PORT = 5000
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CHUNK = 1 << 16


@dataclass
class Shelf:
    """What the registry has and what was asked of it.

    Attributes:
        manifests: `NAMESPACE/MODEL:TAG` to the manifest's bytes.
        blobs: digest to content.
        files: path to content.
        sent: digest or path to the bytes of it that were sent.
        cut_after: digest to the bytes after which its next answer is cut off, once.
    """

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    cut_after: dict[str, int] = field(default_factory=dict)

    def publish(self, name: str, *sizes: int, shared: tuple[str, ...] = ()) -> str:
        """Add a model, or another one under its name, and return its manifest's digest.

        Args:
            name: `NAMESPACE/MODEL:TAG`.
            sizes: its layers' sizes in bytes; their content is random, and the same for the same arguments.
            shared: digests of layers that it shares with others.
        """
        made = [self._add(_noise(f"{name} {place} {size}", size)) for place, size in enumerate(sizes)]
        config = self._add(f"config of {name} {sizes}".encode())
        layers = [*made, *shared]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._described("container.image.v1+json", config),
            "layers": [self._described("ollama.image.model", digest) for digest in layers],
        }
        content = json.dumps(manifest).encode()
        self.manifests[name] = content
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def _add(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return digest

    def _described(self, kind: str, digest: str) -> dict[str, object]:
        return {"mediaType": f"application/vnd.{kind}", "digest": digest, "size": len(self.blobs[digest])}


def _noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - content that no compression helps, not a secret


class Registry(ThreadingHTTPServer):
    """Serves a shelf on a thread of its own, from `with` to its end."""

    daemon_threads = True

    def __init__(self, shelf: Shelf, address: str = MACHINE_ADDRESS, port: int = PORT) -> None:
        super().__init__((address, port), _Handler)
        self.shelf = shelf
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_words: object) -> None:
        """End."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Say how long something is."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Send it."""
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        shelf = self.server.shelf
        if found := re.fullmatch(r"/v2/([^/]+/[^/]+)/manifests/([^/]+)", self.path):
            self._send(f"{found[1]}:{found[2]}", shelf.manifests.get(f"{found[1]}:{found[2]}"), with_body=with_body)
        elif found := re.fullmatch(r"/v2/[^/]+/[^/]+/blobs/(sha256:[0-9a-f]{64})", self.path):
            self._send(found[1], shelf.blobs.get(found[1]), with_body=with_body)
        elif self.path.startswith("/files/"):
            self._send(self.path, shelf.files.get(self.path.removeprefix("/files/")), with_body=with_body)
        else:
            self._send(self.path, None, with_body=with_body)

    def _send(self, key: str, content: bytes | None, *, with_body: bool) -> None:
        if content is None:
            # As Docker's registries say it, which Ollama's is.
            body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            self._head(404, len(body))
            self.wfile.write(body if with_body else b"")
            return
        begin = self._begin(len(content))
        self._head(206 if begin else 200, len(content) - begin, f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if with_body:
            self._body(key, content, begin)

    def _begin(self, length: int) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found and int(found[1]) < length else 0

    def _head(self, status: int, length: int, part: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", part)
        self.end_headers()

    def _body(self, key: str, content: bytes, begin: int) -> None:
        most = self.server.shelf.cut_after.pop(key, len(content))
        view = memoryview(content)[begin : begin + most]
        for place in range(0, len(view), _CHUNK):
            part = view[place : place + _CHUNK]
            self.wfile.write(part)
            self.server.shelf.sent[key] += len(part)
        if most < len(content) - begin:
            self.close_connection = True

    def log_message(self, *_words: object) -> None:
        """Log nothing."""
