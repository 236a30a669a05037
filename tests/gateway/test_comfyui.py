"""ComfyUI through the gateway: one session on one node, websockets that outlive reloads and drains, jobs done once."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ipex_node import tls, websocket
from ipex_node.websocket import WebSocket, WebSocketError
from tests.gateway.clients import Answer, Ask, ask, ask2, bearer
from tests.gateway.site import ADDRESS, NAME, Site, until
from tests.lab_engines.engine_process import SIMPLE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

BOTH = pytest.mark.parametrize("asks", [ask, ask2], ids=["HTTP/1.1", "HTTP/2"])
NODES = ("gpu-01", "gpu-02", "gpu-03")
STATS = ("GET", "/comfyui/system_stats")


def _with(site: Site, cookie: str) -> dict[str, str]:
    return {**bearer(site, "use"), **({"Cookie": cookie} if cookie else {})}


def _cookie(answer: Answer) -> str:
    return answer.fields["set-cookie"].partition(";")[0]


def _node(site: Site, cookie: str) -> str:
    return ask(site, *STATS, None, _with(site, cookie)).fields["x-ipex-node"]


def _socket(site: Site, cookie: str, name: str, **fields: str) -> WebSocket:
    """A websocket of a session."""
    trusted = site.directory / "authority.pem"
    trusted.write_bytes(site.proofs.authority.certificate)
    headers = {"Host": NAME, **_with(site, cookie), **fields}
    deadline = time.monotonic() + 20
    return websocket.connect(
        (ADDRESS, site.tls_port), f"/comfyui/ws?clientId={name}", headers, deadline, tls.trusting(trusted, NAME)
    )


def _event(socket: WebSocket) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(socket.receive())
    return event


def _alive(socket: WebSocket) -> bool:
    """A question on the socket is answered."""
    socket.send(json.dumps({"type": "feature_flags", "data": {}}))
    # The node's queue may have something to tell first.
    while _event(socket)["type"] != "feature_flags":
        pass
    return True


@pytest.fixture
def site(gateway: Site) -> Iterator[Site]:
    """The shared gateway, on which every node is in again afterwards."""
    gateway.forget()
    yield gateway
    gateway.treat()


@BOTH
def test_a_session_stays_on_its_node(site: Site, asks: Ask) -> None:
    """The first answer names the node in a cookie that scripts cannot read; later ones come from it, without one."""
    first = asks(site, *STATS, None, _with(site, ""))
    later = [asks(site, "GET", "/comfyui/queue", None, _with(site, _cookie(first))) for _ in range(9)]

    name, *attributes = first.fields["set-cookie"].split("; ")
    assert name == f"ipex_comfyui={first.fields['x-ipex-node']}"
    assert set(attributes) == {"Path=/comfyui/", "Secure", "HttpOnly", "SameSite=Lax"}
    assert {answer.fields["x-ipex-node"] for answer in later} == {first.fields["x-ipex-node"]}
    assert not any("set-cookie" in answer.fields for answer in later)


def test_sessions_are_spread(site: Site) -> None:
    """Newcomers do not all land on one node."""
    assert {_node(site, "") for _ in range(9)} == set(NODES)


def test_a_job_is_done_where_its_session_listens(site: Site) -> None:
    """Prompt, events, history: all on the node that the cookie names, until the job is done."""
    cookie = _cookie(ask(site, *STATS, None, _with(site, "")))
    with _socket(site, cookie, "one") as socket:
        body = json.dumps({"prompt": SIMPLE, "client_id": "one"}).encode()
        job = ask(site, "POST", "/comfyui/api/prompt", body, _with(site, cookie)).json()["prompt_id"]
        kinds = [_event(socket)["type"]]
        while kinds[-1] != "execution_success":
            message = socket.receive()
            kinds.append(json.loads(message)["type"] if isinstance(message, str) else "preview")
    history = ask(site, "GET", f"/comfyui/api/history/{job}", None, _with(site, cookie)).json()

    assert kinds[0] == "status"
    assert {"execution_start", "executing", "executed"} <= set(kinds)
    assert job in history
    assert {one.engine for one in site.arrived()} - {f"{cookie.partition('=')[2]}.comfyui"} == set()


def test_a_websocket_outlives_reloads(site: Site) -> None:
    """Three reloads later the same socket still answers, from a worker that takes nothing new."""
    before = site.workers()
    with _socket(site, "ipex_comfyui=gpu-01", "two") as socket:
        _event(socket)
        for drained in ("gpu-02", "gpu-03", ""):
            site.treat(**({drained: "draining"} if drained else {}))
            assert _alive(socket)
        workers = site.workers()

    assert len(workers - before) >= 2
    assert workers & before


def test_a_draining_node_keeps_its_sessions_and_gets_no_new_work(site: Site) -> None:
    """Its websocket lives, its queue can be looked at; newcomers and prompts go elsewhere, the cookie with them."""
    cookie = "ipex_comfyui=gpu-01"
    with _socket(site, cookie, "three") as socket:
        _event(socket)
        site.treat(gpu_01="draining")
        looked = ask(site, "GET", "/comfyui/api/queue", None, _with(site, cookie))
        newcomers = {_node(site, "") for _ in range(6)}
        body = json.dumps({"prompt": SIMPLE, "client_id": "three"}).encode()
        work = ask(site, "POST", "/comfyui/api/prompt", body, _with(site, cookie))
        assert _alive(socket)

    assert looked.fields["x-ipex-node"] == "gpu-01"
    assert newcomers == {"gpu-02", "gpu-03"}
    assert work.status == 200
    assert work.fields["x-ipex-node"] in {"gpu-02", "gpu-03"}
    assert _cookie(work) == f"ipex_comfyui={work.fields['x-ipex-node']}"


def test_a_dead_nodes_sessions_move_and_the_others_stay(site: Site) -> None:
    """Whoever was on it is answered by another node and gets its cookie; nobody else is moved."""
    site.kill("gpu-01.comfyui")
    try:
        moved = ask(site, *STATS, None, _with(site, "ipex_comfyui=gpu-01"))
        stayed = {node: _node(site, f"ipex_comfyui={node}") for node in ("gpu-02", "gpu-03")}
    finally:
        site.start("gpu-01.comfyui")

    assert moved.status == 200
    assert moved.fields["x-ipex-node"] in {"gpu-02", "gpu-03"}
    assert _cookie(moved) == f"ipex_comfyui={moved.fields['x-ipex-node']}"
    assert stayed == {"gpu-02": "gpu-02", "gpu-03": "gpu-03"}
    # nginx keeps it out for fail_timeout, and tries it again.
    until(lambda: _node(site, "ipex_comfyui=gpu-01") == "gpu-01", "gpu-01 does not come back")


def test_a_prompt_is_never_sent_twice(site: Site) -> None:
    """An engine that has refused a prompt may have begun it: the refusal is the answer, and no other node is asked."""
    fault = site.directory / "gpu-01.comfyui" / "comfyui.json"
    fault.write_text(json.dumps({"generate": "error503"}))
    try:
        body = json.dumps({"prompt": SIMPLE, "client_id": "four"}).encode()
        answer = ask(site, "POST", "/comfyui/prompt", body, _with(site, "ipex_comfyui=gpu-01"))
    finally:
        fault.unlink()

    assert answer.status == 503
    assert [one.engine for one in site.arrived()] == ["gpu-01.comfyui"]


def test_a_websocket_needs_credentials_and_the_gateways_own_origin(site: Site) -> None:
    """Nobody's and another page's are refused at the handshake; the gateway's own page's is not."""
    for fields in ({"Authorization": "Bearer x"}, {"Origin": "https://other.example"}):
        with pytest.raises(WebSocketError, match=r"401|403"):
            _socket(site, "", "five", **fields)
    assert site.arrived() == []
    with _socket(site, "", "five", Origin=site.origin) as socket:
        assert _event(socket)["type"] == "status"


@BOTH
def test_an_upload_is_kept_on_the_sessions_node(site: Site, asks: Ask) -> None:
    """What was uploaded is seen again with the same cookie."""
    name = f"{asks.__name__}.png"
    part = f'--x\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\npixels\r\n--x--\r\n'
    fields = _with(site, "ipex_comfyui=gpu-02")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    uploaded = asks(site, "POST", "/comfyui/upload/image", part.encode(), {**fields, **kind})
    seen = asks(site, "GET", f"/comfyui/view?filename={name}&type=input", None, fields)

    assert uploaded.json()["name"] == name
    assert seen.body == b"pixels"
    assert seen.fields["x-ipex-node"] == "gpu-02"
