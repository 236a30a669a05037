"""What ComfyUI's web interface asks for beside prompts: its own files, a user's settings and workflows.

ComfyUI's own interface is a package of its own and not part of the lab: where somebody has put its files under
`/lab/front-end` (or where --front-end-root says), this engine serves them, as the real one does. Answers follow
app/user_manager.py, app/app_settings.py and server.py of Comfy-Org/ComfyUI at a125cd84, and what version 1.58.1 of the
interface reads of newer routes.
"""

import json
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .http import HttpError, Request, Response, compact

ROOT = Path("/lab/front-end")
PAGE = b"<!DOCTYPE html><title>ComfyUI</title><p>The lab's ComfyUI: its API without a picture worth seeing.\n"

Route = Callable[[Request], Awaitable[Response]]


class FrontEnd:
    """The interface's files, and what one user keeps on the node."""

    def __init__(self, root: str | None, user: Path) -> None:
        self._root = (Path(root) if root else ROOT).resolve()
        self._user = user.resolve() / "default"
        self._settings = self._user / "comfy.settings.json"

    def routes(self) -> tuple[tuple[str, str, Route], ...]:
        """Return method, pattern of the path and route, each also under /api."""
        nothing: dict[str, object] = {}
        return (
            ("GET", "/", self._page),
            ("GET", "/users", _answer({"storage": "server", "migrated": True})),
            ("GET", "/settings", self._read_settings),
            ("POST", "/settings", self._write_settings),
            ("GET", "/settings/([^/]+)", self._read_setting),
            ("POST", "/settings/([^/]+)", self._write_setting),
            ("GET", "/userdata", self._list),
            ("GET", "/userdata/(.+)", self._read),
            ("POST", "/userdata/(.+)", self._write),
            ("DELETE", "/userdata/(.+)", self._delete),
            ("GET", "/extensions", self._extensions),
            ("GET", "/embeddings", _answer([])),
            ("GET", "/models", _answer(["checkpoints"])),
            ("GET", "/models/([^/]+)", _answer([])),
            ("GET", "/experiment/models", _answer([{"name": "checkpoints", "folders": []}])),
            ("GET", "/experiment/models/([^/]+)", _answer([])),
            ("GET", "/i18n", _answer(nothing)),
            ("GET", "/workflow_templates", _answer(nothing)),
            ("GET", "/global_subgraphs", _answer(nothing)),
            ("GET", "/node_replacements", _answer(nothing)),
        )

    def file(self, path: str) -> Response | None:
        """Return one of the interface's files; None where there is none."""
        found = (self._root / path.lstrip("/")).resolve()
        if not found.is_relative_to(self._root) or not found.is_file():
            return None
        kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
        return Response(found.read_bytes(), content_type=kind, headers={"Cache-Control": "no-cache"})

    async def _page(self, _request: Request) -> Response:
        return self.file("index.html") or Response(PAGE, content_type="text/html")

    async def _extensions(self, _request: Request) -> Response:
        found = self._root.glob("extensions/**/*.js")
        return Response(sorted(f"/{path.relative_to(self._root)}" for path in found))

    def _stored(self) -> dict[str, object]:
        return json.loads(self._settings.read_text()) if self._settings.is_file() else {}

    def _store(self, **changed: object) -> Response:
        self._user.mkdir(exist_ok=True)
        self._settings.write_bytes(compact({**self._stored(), **changed}))
        return Response()

    async def _read_settings(self, _request: Request) -> Response:
        return Response(self._stored())

    async def _write_settings(self, request: Request) -> Response:
        return self._store(**request.json())

    async def _read_setting(self, request: Request) -> Response:
        return Response(self._stored().get(request.parameters[0]))

    async def _write_setting(self, request: Request) -> Response:
        return self._store(**{request.parameters[0]: json.loads(request.body)})

    async def _list(self, request: Request) -> Response:
        folder = self._path(request.query.get("dir", ""))
        if not folder.is_dir():
            raise HttpError(404)
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        if request.query.get("full_info") == "true":
            return Response([_described(path, folder) for path in files])
        return Response([str(path.relative_to(folder)) for path in files])

    async def _read(self, request: Request) -> Response:
        path = self._named(request)
        if not path.is_file():
            raise HttpError(404)
        return Response(path.read_bytes(), content_type=mimetypes.guess_type(path.name)[0] or "text/plain")

    async def _write(self, request: Request) -> Response:
        path = self._named(request)
        if path.exists() and request.query.get("overwrite") == "false":
            raise HttpError(409)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(request.body)
        described = request.query.get("full_info") == "true"
        return Response(_described(path, self._user) if described else str(path.relative_to(self._user)))

    async def _delete(self, request: Request) -> Response:
        path = self._named(request)
        if not path.is_file():
            raise HttpError(404)
        path.unlink()
        return Response(status=204)

    def _named(self, request: Request) -> Path:
        """Return the file of a path's last segment: a slash in its name is an encoded one (aiohttp's {file})."""
        segment = urlsplit(request.target).path.rpartition("/userdata/")[2]
        if "/" in segment:
            raise HttpError(404)
        return self._path(unquote(segment))

    def _path(self, name: str) -> Path:
        """Return a place of the user's; 400 without a name, 403 for one that leads out."""
        if not name:
            raise HttpError(400)
        path = (self._user / name).resolve()
        if not path.is_relative_to(self._user):
            raise HttpError(403)
        return path


def _answer(value: object) -> Route:
    async def route(_request: Request) -> Response:
        return Response(value)

    return route


def _described(path: Path, folder: Path) -> dict[str, object]:
    status = path.stat()
    modified = int(status.st_mtime * 1000)
    return {"path": str(path.relative_to(folder)), "size": status.st_size, "modified": modified, "created": modified}
