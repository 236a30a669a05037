"""What clients ask the gateway for, and the right that each takes: written down apart from the rows that decide it.

Sources: the APIs of Ollama (docs/api.md), OpenAI, ComfyUI (server.py and its front end) and Prometheus. A test asks
for each row of the allow-list that one of these fits it, so a new row needs a line here.
"""

from dataclasses import dataclass

_BLOB = "sha256:" + 64 * "0"
_JOB = "0f0e0d0c-0b0a-0908-0706-050403020100"


@dataclass(frozen=True)
class Asked:
    """A request, and who may make it: `use`, `operate`, `look`, `both` of the first two, or `none` for nobody."""

    right: str
    method: str
    path: str
    body: bytes | None = None

    @property
    def id(self) -> str:
        """Its name among the tests."""
        return f"{self.right}: {self.method} {self.path[:60]}" + (f" {self.body.decode()[:40]}" if self.body else "")


def _all(right: str, method: str, prefix: str, *paths: str, body: bytes | None = None) -> tuple[Asked, ...]:
    return tuple(Asked(right, method, prefix + path, body) for path in paths)


OLLAMA = (
    *_all("use", "POST", "/ollama/api/", "generate", "chat", "embed", "embeddings", "show", body=b'{"model": "no"}'),
    *_all(
        "use",
        "POST",
        "/ollama/v1/",
        "chat/completions",
        "completions",
        "embeddings",
        "responses",
        "messages",
        body=b"{}",
    ),
    *_all(
        "use",
        "GET",
        "/ollama/",
        "api/tags",
        "api/ps",
        "api/version",
        "v1/models",
        "v1/models/library/tinyllama:latest",
        "",
    ),
    *_all("use", "HEAD", "/ollama/", "", "api/tags"),
    *_all("operate", "POST", "/ollama/api/", "pull", "push", "create", "copy", body=b'{"model": "no"}'),
    Asked("operate", "DELETE", "/ollama/api/delete", b'{"model": "no"}'),
    Asked("operate", "POST", f"/ollama/api/blobs/{_BLOB}", b"no blob"),
    Asked("operate", "HEAD", f"/ollama/api/blobs/{_BLOB}"),
    *_all(
        "none",
        "GET",
        "/ollama/",
        "api/generate",
        "api/pull",
        "api/delete",
        "api/blobs/x",
        "debug/pprof/",
        "metrics",
        "api",
    ),
    *_all(
        "none",
        "POST",
        "/ollama/",
        "api/tags",
        "api/delete",
        "api/me",
        "api/signout",
        "api/experimental/web_fetch",
        "v1/x",
        body=b"{}",
    ),
    *_all("none", "DELETE", "/ollama/", "api/generate", f"api/blobs/{_BLOB}", "api/tags"),
    *_all("none", "PUT", "/ollama/", "api/generate", "api/pull", body=b"{}"),
)
COMFYUI = (
    *_all("use", "GET", "/comfyui/", "ws?clientId=x", "api/ws"),
    *_all(
        "use",
        "GET",
        "/comfyui/",
        "",
        "queue",
        "history",
        f"history/{_JOB}",
        "prompt",
        "system_stats",
        "object_info",
        "features",
    ),
    *_all(
        "use",
        "GET",
        "/comfyui/",
        "object_info/KSampler",
        "view?filename=a.png&type=output&subfolder=",
        "embeddings",
        "extensions",
    ),
    *_all(
        "use",
        "GET",
        "/comfyui/api/",
        "queue",
        "history",
        f"history/{_JOB}",
        "system_stats",
        "object_info",
        "users",
        "settings",
    ),
    *_all(
        "use",
        "GET",
        "/comfyui/api/",
        "userdata?dir=workflows&recurse=true",
        "userdata/workflows%2Fa%20b.json",
        "i18n",
        "jobs",
    ),
    *_all(
        "use",
        "GET",
        "/comfyui/api/",
        f"jobs/{_JOB}",
        "models",
        "models/loras",
        "experiment/models/loras",
        "workflow_templates",
    ),
    *_all(
        "use",
        "GET",
        "/comfyui/api/",
        "view_metadata/loras?filename=a.safetensors",
        "global_subgraphs",
        "settings/Comfy.Locale",
    ),
    *_all(
        "use",
        "GET",
        "/comfyui/",
        "assets/index-abc.js",
        "scripts/app.js",
        "extensions/core/a.js",
        "fonts/a.woff2",
        "user.css",
    ),
    *_all(
        "use",
        "GET",
        "/comfyui/",
        "materialdesignicons.min.css",
        "templates/index.json",
        "cursor/colorSelect.png",
        "docs/KSampler/en.md",
    ),
    *_all(
        "use",
        "POST",
        "/comfyui/",
        "prompt",
        "api/prompt",
        "upload/image",
        "upload/mask",
        "api/upload/image",
        body=b"{}",
    ),
    *_all("use", "POST", "/comfyui/api/", "settings", "settings/Comfy.Templates.SortBy", body=b"{}"),
    *_all("use", "POST", "/comfyui/api/", "userdata/workflows%2Fa.json?overwrite=true", body=b"{}"),
    *_all(
        "use",
        "POST",
        "/comfyui/api/",
        "userdata/a.json/move/b.json",
        f"jobs/{_JOB}/cancel",
        "assets",
        "assets/from-hash",
        body=b"{}",
    ),
    Asked("use", "DELETE", "/comfyui/api/userdata/workflows%2Fa.json"),
    *_all("use", "POST", "/comfyui/", "interrupt", "api/interrupt", body=f'{{"prompt_id": "{_JOB}"}}'.encode()),
    *_all("use", "POST", "/comfyui/", "queue", "api/history", body=f'{{"delete": ["{_JOB}", "{_JOB}"]}}'.encode()),
    *_all("operate", "POST", "/comfyui/", "free", "api/free", body=b'{"unload_models": true}'),
    *_all("operate", "PUT", "/comfyui/api/", f"assets/{_JOB}", body=b"{}"),
    *_all("operate", "DELETE", "/comfyui/api/", f"assets/{_JOB}/tags"),
    *_all("operate", "POST", "/comfyui/api/", "users", "jobs/cancel", body=b"{}"),
    *_all("operate", "GET", "/comfyui/", "internal/logs", "api/internal/logs/raw", "internal/folder_paths"),
    *_all("operate", "PATCH", "/comfyui/", "internal/logs/subscribe", body=b"{}"),
    *_all(
        "operate",
        "GET",
        "/comfyui/",
        "manager/queue/status",
        "customnode/getlist?mode=cache",
        "api/v2/manager/queue/start",
    ),
    *_all(
        "operate",
        "POST",
        "/comfyui/",
        "customnode/install",
        "manager/reboot",
        "externalmodel/getlist",
        "snapshot/save",
        body=b"{}",
    ),
    *_all("none", "POST", "/comfyui/", "", "system_stats", "object_info", "view", "userdata", "x", body=b"{}"),
    *_all("none", "DELETE", "/comfyui/", "queue", "history", "settings", "models/loras", "userdata"),
    *_all("none", "PUT", "/comfyui/", "prompt", "queue", "interrupt", "userdata/a.json", body=b"{}"),
    *_all("none", "GET", "/comfyui/", "interrupt", "free", "x", "upload/image", "proxy/http", "api"),
)
JUDGED = tuple(
    Asked("both", "POST", f"/comfyui/{path}", body)
    for path, bodies in {
        "interrupt": (b"", b"{}", b'{"prompt_id": ""}', b'{"prompt_id": null}', b'{"prompt_id": ["a"]}'),
        "api/interrupt": (b'{"prompt_id": "a", "prompt_id": ""}', b'{"Prompt_id": "a"}', b'{"prompt_id": "a"} {}'),
        "queue": (b'{"clear": true}', b'{"delete": ["a"], "clear": true}', b'{"delete": []}', b'{"delete": "a"}'),
        "api/history": (
            b'{"clear": true}',
            b'{"delete": ["a"], "cl\\u0065ar": true}',
            b'{"clear": true, "delete": ["a"]}',
        ),
        "history": (b'\xef\xbb\xbf{"clear": true}', b"{" + b" " * 70_000 + b'"clear": true}'),
    }.items()
    for body in bodies
)
"""Requests whose path is open to `use`, and whose body stops or removes other people's work: they take both rights."""

MONITORS = (
    *_all(
        "look",
        "GET",
        "/prometheus/",
        "",
        "graph",
        "query?g0.expr=up",
        "api/v1/query?query=up",
        "api/v1/targets",
        "alerts",
    ),
    *_all("look", "GET", "/prometheus/", "static/js/main.abc.js", "-/healthy", "metrics"),
    *_all("look", "POST", "/prometheus/api/v1/", "query", "query_range", "series", "labels", body=b"query=up"),
    *_all("none", "POST", "/prometheus/", "-/quit", "-/reload", "api/v1/admin/tsdb/snapshot", "api/v1/write", body=b""),
    *_all("none", "PUT", "/prometheus/", "-/quit", "-/reload", "api/v1/admin/tsdb/delete_series?match[]=up", body=b""),
    *_all("none", "GET", "/prometheus/", "debug/pprof/", "debug/pprof/heap?debug=1"),
    *_all("look", "GET", "/grafana/", "", "login", "d/ipex-fleet/fleet?orgId=1", "api/search", "public/build/app.js"),
    *_all("look", "GET", "/grafana/", "api/live/ws"),
    *_all("look", "POST", "/grafana/", "login", "api/ds/query", body=b"{}"),
)
PAGES = (
    *_all("look", "GET", "/", "", "fleet.json", "assets/front-page.css", "assets/front-page.js"),
    *_all("look", "GET", "/", "prometheus", "grafana"),
    *_all("use", "GET", "/", "ollama", "comfyui"),
    *_all("none", "GET", "/", "x", "index.html", "assets/", "fleet", "ipex-refused", "connections", "nginx_status"),
    *_all("none", "POST", "/", "", "fleet.json", "x", body=b"{}"),
)
"""What the gateway answers by itself."""

ENGINES = (*OLLAMA, *COMFYUI, *JUDGED, *MONITORS)
