"""Who may ask the gateway for what: the rendered maps, read as nginx reads them."""

import dataclasses
import re

import pytest

from fleet import checks, desired
from fleet.access import Access, Client
from fleet.endpoints import Endpoint
from fleet.generation import File
from fleet.limits import Rate
from fleet.model import Fleet
from fleet.secrets import Credentials, Key, Secrets

KEYS = {
    "chat-frontend": Credentials(keys=(Key("0a0b0c0d", "AAAAAAAAAAAAAAAAAAAAAA"),)),
    "alice": Credentials(password="{SSHA}x"),  # noqa: S106 - nobody's
}


def _file(fleet: Fleet, path: str) -> File:
    files = desired.generation(fleet["gateway-01"], fleet).files
    return next(file for file in files if file.path == f"/etc/nginx/ipex/{path}")


def _rows(text: str, variable: str) -> list[tuple[re.Pattern[str], str]]:
    """The regular expressions of a map, each with its value; Python's syntax of these patterns is PCRE's."""
    block = text[text.index(f"${variable} {{") :].partition("\n}")[0]
    return [
        (re.compile(pattern.replace(r"\"", '"')), value.removeprefix("$"))
        for pattern, value in re.findall(r'^    "~(\^.*)" (\S+);$', block, re.MULTILINE)
    ]


def _right(fleet: Fleet, method: str, uri: str) -> str:
    text = _file(fleet, "access.conf").content.decode()
    route = next((variable for row, variable in _rows(text, "ipex_right") if row.search(uri)), "ipex_page_right")
    return next((right for row, right in _rows(text, route) if row.search(f"{method} {uri}")), "none")


OPEN = {
    "use": [
        "POST /ollama/api/generate",
        "POST /ollama/api/chat?x=1",
        "POST /ollama/v1/chat/completions",
        "POST /ollama/v1/messages",
        "GET /ollama/v1/models/library/llama3:8b",
        "HEAD /ollama/",
        "GET /comfyui/",
        "GET /comfyui/ws?clientId=7f",
        "GET /comfyui/api/ws",
        "POST /comfyui/api/prompt",
        "POST /comfyui/upload/image",
        "GET /comfyui/api/view?filename=../../etc/passwd&type=output",
        "GET /comfyui/api/history/0f0e-1",
        "GET /comfyui/assets/index-Bd7Xy.js",
        "GET /comfyui/extensions/my%20nodes/js/a+b.js",
        "GET /comfyui/api/object_info/KSampler%20%28Advanced%29",
        "POST /comfyui/api/userdata/workflows%2Fmy%20first.json?overwrite=true",
        "POST /comfyui/api/userdata/workflows%2Fa.json/move/workflows%2Fb.json",
        "GET /comfyui/api/userdata/workflows%2F%C3%BCber.json",
        "POST /comfyui/api/interrupt",
        "GET /comfyui",
    ],
    "operate": [
        "POST /ollama/api/pull",
        "DELETE /ollama/api/delete",
        f"POST /ollama/api/blobs/sha256:{'0' * 64}",
        "POST /comfyui/free",
        "GET /comfyui/api/internal/logs",
        "POST /comfyui/api/manager/queue/install",
        "DELETE /comfyui/api/assets/7",
    ],
    "look": [
        "GET /",
        "GET /fleet.json",
        "GET /assets/front-page.js",
        "GET /prometheus/graph?g0.expr=up",
        "POST /prometheus/api/v1/query",
    ],
    "none": [
        "DELETE /ollama/api/pull",
        "GET /ollama/api/generate",
        "POST /ollama/api/experimental/web_fetch",
        "POST /ollama/api/me",
        "GET /ollama/debug/pprof/",
        "POST /ollama/api/generate/",
        "POST /ollama//api/generate",
        "POST //ollama/api/generate",
        "POST /ollama/./api/generate",
        "POST /ollama/api/generate/../pull",
        "POST /ollama/api/generate#/api/pull",
        "POST /ollama/%61pi/generate",
        "POST /ollama/api%2Fgenerate",
        "POST /Ollama/api/generate",
        "POST /comfyui/../ollama/api/generate",
        "GET /ollama/v1/models/../../api/pull",
        "GET /comfyui/assets/%2e%2e/internal/logs",
        "GET /comfyui/assets/..%2finternal",
        "GET /comfyui/assets/%2E./x",
        "GET /comfyui/extensions/..;/internal/logs",
        "GET /comfyui/assets/a%2Fb",
        "GET /comfyui/assets/a%5Cb",
        "GET /comfyui/assets/a%00.js",
        "GET /comfyui/api/userdata/..%2F..%2Fcomfyui.db",
        "GET /comfyui/api/userdata/%2e%2e%2fcomfyui.db",
        "GET /comfyui/api/userdata/a%252F..%252Fb",
        "GET /comfyui/api/userdata/workflows%2F.hidden",
        "POST /comfyui/api/free/",
        "POST /comfyui/API/free",
        "TRACE /comfyui/",
        "OPTIONS /comfyui/api/prompt",
        "PUT /comfyui/api/prompt",
        "POST /",
        "GET /assets/../fleet.json",
        "GET /ipex-refused",
        "GET /ipex-upstreams",
        "GET /grafana",
        "GET /prometheus/debug/pprof/heap",
        "POST /prometheus/-/quit",
        "POST /prometheus/api/v1/admin/tsdb/snapshot",
        "GET /etc/passwd",
    ],
}


@pytest.mark.parametrize(
    ("right", "request_"), [(right, one) for right, many in OPEN.items() for one in many if one != "GET /grafana"]
)
def test_a_request_takes_this_right(example: Fleet, right: str, request_: str) -> None:
    """Whatever spelling is on no row reaches nobody."""
    assert _right(example, *request_.split(" ")) == right


def test_no_row_is_slow_on_a_long_path(example: Fleet) -> None:
    """A path that almost fits costs no more than its length."""
    uri = "/comfyui/api/userdata/" + "a%20" * 2000 + "%2e"

    assert _right(example, "GET", uri) == "none"


def test_grafana_is_open_where_it_runs(example: Fleet) -> None:
    """It has methods and cookies of its own."""
    assert _right(example, "PUT", "/grafana/api/user/preferences") == "look"
    assert "proxy_set_header Cookie $http_cookie;" in _file(example, "server.conf").content.decode()


def test_bodies_are_judged_where_one_endpoint_does_two_things(example: Fleet) -> None:
    """By id it is one job; anything else is everybody's."""
    text = _file(example, "access.conf").content.decode()
    block = text[text.index("$comfyui_method {") :].partition("\n}")[0]
    found = re.findall(r'^    "~(\^body.*)" \$request_method;$', block, re.MULTILINE)
    patterns = [re.compile(one.replace(r"\"", '"')) for one in found]

    def passes(guarded: str) -> bool:
        return any(pattern.search(guarded) for pattern in patterns)

    assert passes('body1: use :{"prompt_id": "7f-0"}')
    assert passes('body2: use :{"delete":["a", "b"]}')
    assert passes("body1: use operate :")
    for body in (
        "",
        "{}",
        '{"prompt_id": "7f", "x": 1}',
        '{"prompt_id": ""}',
        '{"delete": ["a"]}',
        ' operate {"x": " operate "}',
    ):
        assert not passes(f"body1: use :{body}"), body
    for body in ('{"clear": true}', '{"delete": []}', '{"delete": ["a"], "clear": true}', '{"prompt_id": "7f"}'):
        assert not passes(f"body2: use look :{body}"), body


def _with(fleet: Fleet, **changes: object) -> Fleet:
    nodes = (dataclasses.replace(node, **changes) if node.gateway else node for node in fleet.nodes)  # type: ignore[arg-type]
    return dataclasses.replace(fleet, nodes=tuple(nodes))


def test_credentials_lie_where_nobody_else_reads_them(example: Fleet) -> None:
    """Hashes and passwords in secret files of nginx' group, and in no other."""
    fleet = dataclasses.replace(example, secrets=Secrets(clients=KEYS))
    keys, people = _file(fleet, "keys.conf"), _file(fleet, "people")

    assert "    0a0b0c0d chat-frontend;" in keys.content.decode().splitlines()
    assert people.content == b"alice:{SSHA}x\n"
    for file in (keys, people, _file(fleet, "tls/key.pem")):
        assert (file.mode, file.owner, file.group, file.secret) == ("0640", "root", "www-data", True)
    others = [file for file in desired.generation(fleet["gateway-01"], fleet).files if not file.secret]
    assert not [file.path for file in others if b"0a0b0c0d" in file.content or b"{SSHA}x" in file.content]


def test_whoever_data_do_not_name_has_no_key(example: Fleet) -> None:
    """Credentials that are left over in the secrets file open nothing."""
    fleet = _with(dataclasses.replace(example, secrets=Secrets(clients=KEYS)), access=Access())

    assert b"0a0b0c0d" not in _file(fleet, "keys.conf").content
    assert _file(fleet, "people").content == b""


def test_a_new_key_is_a_reload(example: Fleet) -> None:
    """Nobody is cut off by it."""
    unit = next(
        unit for unit in desired.generation(example["gateway-01"], example).units if unit.name == "nginx.service"
    )

    assert unit.on_change == "reload"
    assert {"/etc/nginx/ipex/keys.conf", "/etc/nginx/ipex/people", "/etc/nginx/ipex/tls/key.pem"} <= set(unit.inputs)


@pytest.mark.parametrize(
    ("clients", "address"),
    [
        ({"fleet": Client("fleet", ("use",))}, "access.clients.fleet"),
        ({"Alice": Client("Alice", ("use",))}, "access.clients.Alice"),
        ({"default": Client("default", ("use",))}, "access.clients.default"),
        ({"a": Client("a", ())}, "access.clients.a.may"),
        ({"a": Client("a", ("use", "use"))}, "access.clients.a.may"),
        ({"a": Client("a", ("use",), limits="none")}, "access.clients.a.limits"),
    ],
)
def test_clients_that_cannot_be_meant_are_refused(example: Fleet, clients: dict[str, Client], address: str) -> None:
    """Each with its address."""
    found = [problem.what for problem in checks.run(_with(example, access=Access(clients)))]

    assert len(set(found)) == 1
    assert found[0].startswith(address)


def test_limits_that_cannot_be_meant_are_refused(example: Fleet) -> None:
    """Nothing a second would lock everybody out."""
    gateway = example["gateway-01"].gateway
    assert gateway
    limits = dataclasses.replace(gateway.limits, address=Rate(0, 1, 1), body_seconds=0)
    found = [
        problem.what for problem in checks.run(_with(example, gateway=dataclasses.replace(gateway, limits=limits)))
    ]

    assert sorted(set(found)) == ["gateway.limits.address.requests_per_second is 0", "gateway.limits.body_seconds is 0"]


def test_a_third_service_has_the_rows_of_its_data(example: Fleet) -> None:
    """Of an unknown engine only what it declares is open, and whether it is up."""
    base = example["gpu-01"].services[0]
    row = Endpoint(("POST",), "v1/(?:speech|translate)", "use")
    route = dataclasses.replace(base.route, path="/whisper/", endpoints=(row,))
    third = dataclasses.replace(
        base, name="whisper", package="whisper-ipex", engine="http", health_path="/healthz", route=route
    )
    nodes = tuple(
        dataclasses.replace(node, services=(*node.services, third)) if node.is_gpu else node for node in example.nodes
    )
    fleet = dataclasses.replace(example, nodes=nodes)

    assert _right(fleet, "POST", "/whisper/v1/speech") == "use"
    assert _right(fleet, "GET", "/whisper/healthz") == "use"
    assert _right(fleet, "POST", "/whisper/api/generate") == "none"


def test_rows_that_cannot_be_meant_are_refused(example: Fleet) -> None:
    """A row is written into nginx' configuration: what ends its quotes, or is no pattern, is none."""
    base = example["gpu-01"].services[0]
    bad = (Endpoint(("post",), "a", "use"), Endpoint(("GET",), 'x" 1; }', "use"), Endpoint(("GET",), "(", "use"))
    route = dataclasses.replace(base.route, endpoints=bad)
    nodes = tuple(
        dataclasses.replace(node, services=(dataclasses.replace(node.services[0], route=route), *node.services[1:]))
        if node.is_gpu
        else node
        for node in example.nodes
    )
    found = [problem.what for problem in checks.run(dataclasses.replace(example, nodes=nodes))]

    assert len(found) == 3
    assert all("route.endpoints" in what for what in found)
