"""Ways to write the path of an endpoint that is closed to whoever asks, so that a judge might not know it again."""

from collections.abc import Callable, Iterator

from tests.gateway.hostile import Case, request

CLOSED = (
    ("POST", "/ollama/", "api/pull"),
    ("DELETE", "/ollama/", "api/delete"),
    ("POST", "/ollama/", "api/blobs/sha256:" + 64 * "a"),
    ("POST", "/comfyui/", "free"),
    ("POST", "/comfyui/", "api/free"),
    ("GET", "/comfyui/", "internal/logs"),
    ("GET", "/comfyui/", "api/manager/reboot"),
)
"""Method, route, and what stands behind it; a key for inference opens none of them."""

_HEX = "".join

BEHIND: dict[str, Callable[[str], str]] = {
    "as it is": lambda path: path,
    "first letter encoded": lambda path: f"%{ord(path[0]):02x}{path[1:]}",
    "last letter encoded": lambda path: f"{path[:-1]}%{ord(path[-1]):02X}",
    "every letter encoded": lambda path: _HEX(f"%{ord(one):02x}" if one != "/" else one for one in path),
    "encoded twice": lambda path: f"%25{ord(path[0]):02x}{path[1:]}",
    "slash encoded": lambda path: path.replace("/", "%2f") if "/" in path else f"x%2f..%2f{path}",
    "slash encoded, capitals": lambda path: path.replace("/", "%2F") if "/" in path else f".%2F{path}",
    "slash encoded twice": lambda path: path.replace("/", "%252f") if "/" in path else f"%252f{path}",
    "slash overlong": lambda path: path.replace("/", "%c0%af") if "/" in path else f"%c0%af{path}",
    "slash overlong, three bytes": lambda path: f"%e0%80%af{path}",
    "slash full-width": lambda path: f"x%ef%bc%8f..%ef%bc%8f{path}",
    "slash of another kind": lambda path: f"%u002f{path}",
    "backslash": lambda path: path.replace("/", "\\") if "/" in path else f".\\{path}",
    "backslash encoded": lambda path: path.replace("/", "%5c") if "/" in path else f".%5c{path}",
    "two slashes": lambda path: f"/{path}",
    "two slashes within": lambda path: path.replace("/", "//") if "/" in path else f"//{path}",
    "dot segment": lambda path: f"./{path}",
    "dot segment encoded": lambda path: f"%2e/{path}",
    "dot segment at the end": lambda path: f"{path}/.",
    "back from nowhere": lambda path: f"x/../{path}",
    "back, encoded": lambda path: f"x/%2e%2e/{path}",
    "back, half encoded": lambda path: f"x/.%2e/{path}",
    "back, encoded twice": lambda path: f"x/%252e%252e/{path}",
    "back, overlong": lambda path: f"x/%c0%ae%c0%ae/{path}",
    "back, with backslashes": lambda path: f"x\\..\\{path}",
    "back, with parameters": lambda path: f"x/..;/{path}",
    "back from what is open": lambda path: f"api/generate/../../{path}",
    "back from the front end's files": lambda path: f"assets/../{path}",
    "back from the front end's files, encoded": lambda path: f"assets/%2e%2e/{path}",
    "back from the front end's files, one piece": lambda path: f"assets/..%2f{path}",
    "back from a user's files": lambda path: f"userdata/..%2f..%2f{path}",
    "parameters behind": lambda path: f"{path};x=y",
    "parameters within": lambda path: path.replace("/", ";x=y/") if "/" in path else f";x=y/{path}",
    "slash behind": lambda path: f"{path}/",
    "dot behind": lambda path: f"{path}.",
    "blank encoded behind": lambda path: f"{path}%20",
    "tab encoded behind": lambda path: f"{path}%09",
    "NUL encoded behind": lambda path: f"{path}%00",
    "NUL and an open name behind": lambda path: f"{path}%00/api/tags",
    "line encoded behind": lambda path: f"{path}%0d%0aX:%20y",
    "suffix of a file": lambda path: f"{path}.css",
    "file behind": lambda path: f"{path}/app.js",
    "capitals": lambda path: path.upper(),
    "one capital": lambda path: path[:-1] + path[-1].upper(),
    "dotless i and long s": lambda path: path.replace("i", "%c4%b1").replace("s", "%c5%bf") + "%cc%80",
    "query that names what is open": lambda path: f"{path}?/api/tags",
    "question mark encoded": lambda path: f"{path}%3f",
    "question mark encoded, open name behind": lambda path: f"{path}%3fx/api/tags",
    "number sign": lambda path: f"{path}#/api/tags",
    "number sign, then back": lambda path: f"api/tags#/../../{path}",
    "percent sign alone": lambda path: f"{path}%",
    "percent sign and letters": lambda path: f"{path}%zz",
    "raw byte": lambda path: f"{path}\xff",
    "raw tab": lambda path: f"{path}\t",
    "raw NUL": lambda path: f"{path}\0",
    "raw delete": lambda path: f"{path}\x7f",
    "raw carriage return": lambda path: f"{path}\rx",
    "blank and another path": lambda path: f"api/tags {path}",
}
"""Name to how the part behind the route is written."""

WHOLE = {
    "absolute address": "https://ai-services.local{target}",
    "absolute address, without TLS": "http://ai-services.local{target}",
    "absolute address with a user": "https://x@ai-services.local{target}",
    "absolute address, port": "https://ai-services.local:443{target}",
    "two slashes before the route": "/{target}",
    "dot before the route": "/.{target}",
    "back before the route": "/x/..{target}",
    "back, encoded, before the route": "/x/%2e%2e{target}",
    "back from the page's files": "/assets/..{target}",
    "back from the page's files, encoded": "/assets/..%2f{target}",
    "back from the live data": "/fleet.json/..{target}",
    "back from what the machine asks itself": "/ipex-upstreams/..{target}",
    "through the other route": "/comfyui/..{target}",
    "through the other route, encoded": "/ollama/%2e%2e{target}",
    "without its first slash": "{behind}",
    "other scheme": "file://{target}",
}
"""Name to how the whole target is written."""

_FILES = (
    "userdata/..%2f..%2fcomfyui.db",
    "userdata/%2e%2e%2fx",
    "userdata/..%5cx",
    "userdata/a/../../internal/logs",
    "userdata/workflows%2f..%2f..%2fx",
    "userdata/%252e%252e%252fx",
    "userdata/x%00.json",
    "userdata/x%0d%0aHost:%20y",
    "extensions/../internal/logs",
    "extensions/%2e%2e/internal/logs",
    "extensions/core/..%2f..%2finternal%2flogs",
    "extensions/x/.env",
    "assets/../../etc/passwd",
    "assets/.git/config",
    "assets/%2e%2e%2f%2e%2e%2fetc/passwd",
    "assets/..\\..\\etc\\passwd",
    "templates/..;/internal/logs",
    "docs//../internal/logs",
    "view_metadata/..%2f..%2fx",
    "view_metadata/../internal/logs",
    "object_info/../internal/logs",
    "object_info/%2e%2e%2finternal%2flogs",
    "history/../internal/logs",
    "history/%2e%2e/internal/logs",
    "models/../../internal/logs",
    "models/%2e%2e/internal/logs",
    "experiment/models/../../internal/logs",
    "settings/../internal/logs",
    "jobs/../internal/logs",
    "global_subgraphs/..%2finternal%2flogs",
)
"""Ways out of the free parts of ComfyUI's paths."""


def cases() -> tuple[Case, ...]:
    """All of them, asked with a key for inference; of those that come out alike the first."""
    return tuple({case.sends: case for case in reversed(tuple(_all()))}.values())[::-1]


def _all() -> Iterator[Case]:
    for method, route, behind in CLOSED:
        for name, write in BEHIND.items():
            yield _case(f"{method} {route}{behind[:20]}: {name}", method, route + write(behind))
        for name, whole in WHOLE.items():
            target = whole.format(target=route + behind, behind=behind)
            yield _case(f"{method} {route}{behind[:20]}: {name}", method, target)
    for path in _FILES:
        for prefix in ("", "api/"):
            yield _case(f"GET out of {prefix}{path}", "GET", f"/comfyui/{prefix}{path}")


def _case(name: str, method: str, target: str) -> Case:
    body = b'{"model": "marked"}' if method != "GET" else b""
    return Case(name, request(method, target, body=body))
