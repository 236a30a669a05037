"""Which requests the gateway lets through to whom: an allow-list; what is on no row reaches nobody.

Sources: Ollama's server/routes.go; ComfyUI's server.py, app/ and api_server/, which serve each route with and without
/api; the ComfyUI front end's src/scripts/api.ts; Prometheus' web/api/v1/api.go.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fleet.access import Right

# A path is judged as it came, so each spelling that is let through is one that the engine reads the same way: no
# encoded letter, digit, dot, slash, backslash, percent sign or control character, no segment that begins with a dot.
_LETTER = r"[A-Za-z0-9._~!$&'()*+,;=:@-]"
_CODED = r"%(?:[89A-Fa-f][0-9A-Fa-f]|2[01346789ABCabc]|3[A-Fa-f]|40|5[BDEbde]|60|7[BCDbcd])"
_SOBER = r"(?!\.|[^?]*(?:\.\.|/\.|%2[Ff]\.))"
_SEGMENT = rf"(?:{_LETTER}|{_CODED})+"
PATH = rf"{_SOBER}{_SEGMENT}(?:/{_SEGMENT})*"
"""Free part: one or more segments."""
NAME = rf"{_SOBER}{_SEGMENT}"
"""Free part: one segment."""
FILE = rf"{_SOBER}(?:{_LETTER}|{_CODED}|%2[Ff])+"
"""Free part: one segment that may hold encoded slashes, as ComfyUI's user files do (workflows%2Fname.json)."""

_ID = r"[0-9A-Za-z-]{1,64}"
_IDS = rf'\s*"{_ID}"\s*(?:,\s*"{_ID}"\s*)*'
_READ = ("GET", "HEAD")


@dataclass(frozen=True)
class Endpoint:
    """Requests that some clients may make.

    Attributes:
        methods: HTTP methods.
        path: a regular expression (PCRE) of the whole path below the route, without its query.
        right: what a client must be entitled to.
        body: a regular expression of the whole body; any other takes the right to operate. None judges no body.
        websocket: whether the connection may become one; that of any other endpoint never does.
    """

    methods: tuple[str, ...]
    path: str
    right: Right
    body: str | None = None
    websocket: bool = False


_OLLAMA = (
    Endpoint(("POST",), r"api/(?:generate|chat|embed|embeddings|show)", "use"),
    Endpoint(
        ("POST",), r"v1/(?:chat/completions|completions|embeddings|responses|messages|audio/transcriptions)", "use"
    ),
    Endpoint(_READ, r"(?:api/(?:tags|version|ps|status)|v1/models)?", "use"),
    Endpoint(_READ, rf"v1/models/{_SOBER}[A-Za-z0-9._:/-]+", "use"),
    Endpoint(("POST",), r"api/(?:pull|push|create|copy)", "operate"),
    Endpoint(("DELETE",), r"api/delete", "operate"),
    Endpoint(("POST", "HEAD"), r"api/blobs/sha256[:-][0-9a-f]{64}", "operate"),
)
_COMFYUI = (
    Endpoint(("GET",), r"(?:api/)?ws", "use", websocket=True),
    Endpoint(_READ, r"(?:api/)?(?:prompt|queue|history|jobs|view|system_stats|features|object_info)", "use"),
    Endpoint(("POST",), r"(?:api/)?(?:prompt|upload/(?:image|mask))", "use"),
    Endpoint(_READ, rf"(?:api/)?(?:history|jobs)/{_ID}", "use"),
    Endpoint(_READ, rf"(?:api/)?(?:object_info|view_metadata)/{NAME}", "use"),
    Endpoint(
        _READ,
        r"(?:api/)?(?:embeddings|extensions|models|experiment/models|users|settings|userdata|v2/userdata|i18n"
        r"|workflow_templates|global_subgraphs|node_replacements|assets|tags)",
        "use",
    ),
    Endpoint(_READ, rf"(?:api/)?(?:models|experiment/models|global_subgraphs|settings|assets)/{PATH}", "use"),
    Endpoint(_READ, rf"(?:api/)?(?:userdata|viewvideo)/{FILE}", "use"),
    # The front end and its extensions: files.
    Endpoint(_READ, r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*\.(?:html|js|css|ico|json|svg|png|webmanifest|txt))?", "use"),
    Endpoint(
        _READ,
        rf"(?:api/)?(?:assets|extensions|scripts|lib|fonts|images|css|cursor|templates|workflow_templates|docs|locales)"
        rf"/{PATH}",
        "use",
    ),
    Endpoint(("POST",), rf"(?:api/)?settings(?:/{NAME})?", "use"),
    Endpoint(("POST",), rf"(?:api/)?userdata/{FILE}(?:/move/{FILE})?", "use"),
    Endpoint(("DELETE",), rf"(?:api/)?userdata/{FILE}", "use"),
    Endpoint(("POST",), r"(?:api/)?assets(?:/from-hash)?", "use"),
    Endpoint(("POST",), rf"(?:api/)?jobs/{_ID}/cancel", "use"),
    # One job by its id; without an id it is whichever runs on the node, somebody else's perhaps.
    Endpoint(("POST",), r"(?:api/)?interrupt", "use", rf'\s*\{{\s*"prompt_id"\s*:\s*"{_ID}"\s*\}}\s*'),
    # Some entries by their ids; anything else may be all of them.
    Endpoint(("POST",), r"(?:api/)?(?:queue|history)", "use", rf'\s*\{{\s*"delete"\s*:\s*\[{_IDS}\]\s*\}}\s*'),
    Endpoint(("POST",), r"(?:api/)?(?:free|users|jobs/cancel)", "operate"),
    Endpoint(("PUT", "PATCH", "POST", "DELETE"), rf"(?:api/)?assets/{PATH}", "operate"),
    Endpoint(("GET", "HEAD", "PATCH"), rf"(?:api/)?internal/{PATH}", "operate"),
    Endpoint(
        ("GET", "POST"),
        rf"(?:api/)?(?:v2/)?(?:manager|customnode|externalmodel|snapshot|comfyui_manager)/{PATH}",
        "operate",
    ),
)
_ENGINES = {"ollama": _OLLAMA, "comfyui": _COMFYUI}

PROMETHEUS = (
    # Not /debug, which costs the monitor time, nor what changes or ends it (that is PUT and POST).
    Endpoint(_READ, rf"(?:(?!debug/){PATH})?", "look"),
    Endpoint(("POST",), r"api/v1/(?:query|query_range|query_exemplars|series|labels|format_query|parse_query)", "look"),
)
GRAFANA = (
    Endpoint(("GET",), r"api/live/ws", "look", websocket=True),
    # It asks for a password of its own, and knows who may change what.
    Endpoint(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), rf"(?:{PATH}/?)?", "look"),
)
FRONT_PAGE = (Endpoint(_READ, r"(?:assets/[a-z-]+\.(?:css|js)|fleet\.json|favicon\.ico)?", "look"),)


def of(engine: str, health_path: str) -> tuple[Endpoint, ...]:
    """What an engine of this kind is asked; of one that is not known, whether it is up.

    Args:
        engine: the service's.
        health_path: the service's.
    """
    return _ENGINES.get(engine, (Endpoint(_READ, re.escape(health_path[1:]), "use"),))


def nonsense(rows: tuple[Endpoint, ...]) -> Iterator[tuple[str, str]]:
    """What of rows that data add cannot be meant, each with its cure."""
    for row in rows:
        try:
            re.compile(row.path)
        except re.error as error:
            yield f"path {row.path!r} is no regular expression ({error})", "Write it like v1/(?:transcribe|translate)."
        if row.path.startswith("/") or '"' in row.path or row.path.endswith("\\"):
            yield (
                f"path {row.path!r} begins with a slash or holds a quote",
                "Write what stands behind the route's path.",
            )
        for method in row.methods:
            if not re.fullmatch(r"[A-Z]{3,7}", method):
                yield f"method {method!r}", "Write HTTP's, in capitals."
        if row.body is not None:
            yield f"path {row.path!r} has a body", "Leave it out: bodies are judged for known engines alone."
