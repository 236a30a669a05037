"""The lab's ComfyUI against the documented API."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab_engines.engine_process import FLAKE, SIMPLE, Answer, Engine, comfyui_arguments, running, until
from tests.lab_engines.websocket_client import ACCEPT, Client

SAMPLER = {
    "3": {
        "class_type": "KSampler",
        "inputs": dict.fromkeys(
            ("model", "seed", "cfg", "sampler_name", "scheduler", "positive", "negative", "latent_image", "denoise"), 0
        )
        | {"steps": 3},
    },
    "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
}
ENDLESS = {**SAMPLER, "3": {**SAMPLER["3"], "inputs": {**SAMPLER["3"]["inputs"], "steps": 100_000}}}  # type: ignore[dict-item]
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def queue(engine: Engine, prompt: Any, **more: Any) -> str:
    """Queue a prompt and return its id."""
    answer = engine.ask("POST", "/prompt", {"prompt": prompt, **more})
    assert answer.status == 200, answer.body
    return str(answer.json()["prompt_id"])


def finished(engine: Engine, prompt_id: str) -> dict[str, Any]:
    """Wait for a prompt's entry in the history."""
    assert until(lambda: engine.ask("GET", f"/history/{prompt_id}").json())
    found: dict[str, Any] = engine.ask("GET", f"/history/{prompt_id}").json()[prompt_id]
    return found


def upload(engine: Engine, content: bytes, **fields: str) -> Answer:
    """Send a file as a browser does."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    head = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    parts.append(head + content)
    body = b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"
    return engine.ask("POST", "/upload/image", body, Content_Type="multipart/form-data; boundary=edge")


def test_system_stats_shows_an_xpu_and_the_flakes_revision(comfyui: Engine) -> None:
    """The device is Intel's, the version ends with the revision."""
    stats = comfyui.ask("GET", "/system_stats").json()
    assert stats["devices"][0]["type"] == "xpu"
    assert stats["system"]["comfyui_version"].endswith(f"-lab{(FLAKE / 'version').read_text().strip()}")


@pytest.mark.parametrize("path", ["/", "/queue", "/prompt", "/history", "/object_info", "/features"])
def test_each_path_answers_under_api_too(comfyui: Engine, path: str) -> None:
    """/api/x is /x."""
    answer = comfyui.ask("GET", f"/api{path}")
    assert (answer.status, answer.body) == (200, comfyui.ask("GET", path).body)


def test_prompt_writes_a_picture_that_view_shows(comfyui: Engine) -> None:
    """The picture named in the history can be fetched."""
    done = finished(comfyui, queue(comfyui, SIMPLE))
    (image,) = done["outputs"]["2"]["images"]
    answer = comfyui.ask("GET", f"/view?filename={image['filename']}&type={image['type']}")
    assert done["status"]["completed"]
    assert (answer.headers["content-type"], answer.body[:8]) == ("image/png", b"\x89PNG\r\n\x1a\n")


def test_socket_tells_the_story_of_a_prompt(comfyui: Engine) -> None:
    """The events come in ComfyUI's order, with a progress event for every step."""
    with Client(comfyui.port, "story") as client:
        first = client.event()
        prompt_id = queue(comfyui, SAMPLER, client_id="story")
        events = [event for event in client.events_until("execution_success") if event["type"] != "status"]
    assert (first["type"], first["data"]["sid"]) == ("status", "story")
    assert {event["data"]["prompt_id"] for event in events} == {prompt_id}
    kinds = [event["type"] for event in events if event["type"] != "progress_state"]
    assert kinds == [
        *["execution_start", "execution_cached", "executing", "progress", "progress", "progress"],
        *["executing", "executed", "execution_success"],
    ]


def test_socket_of_another_client_hears_the_queue_only(comfyui: Engine) -> None:
    """Events of a prompt go to the client that queued it."""
    with Client(comfyui.port, "stranger") as client:
        finished(comfyui, queue(comfyui, SIMPLE, client_id="owner"))
        client.send(PING, b"end")
        kinds = set()
        while (frame := client.frame())[0] == TEXT:
            kinds.add(frame[1][:16])
    assert kinds == {b'{"type":"status"'}


def test_handshake_is_the_rfcs(comfyui: Engine) -> None:
    """The accept key is the one of RFC 6455's example."""
    with Client(comfyui.port, "handshake") as client:
        assert client.head.startswith("HTTP/1.1 101 ")
        assert f"Sec-WebSocket-Accept: {ACCEPT}" in client.head


@pytest.mark.parametrize(("opcode", "answer"), [(PING, PONG), (CLOSE, CLOSE)])
def test_control_frames_are_answered(comfyui: Engine, opcode: int, answer: int) -> None:
    """A ping gets a pong with its payload, a close gets a close."""
    with Client(comfyui.port, f"control-{opcode}") as client:
        client.event()
        client.send(opcode, b"\x03\xe8")
        assert client.frame() == (answer, b"\x03\xe8")


def test_feature_flags_are_exchanged(comfyui: Engine) -> None:
    """A client that sends its flags gets the server's."""
    with Client(comfyui.port, "flags") as client:
        client.event()
        client.send(TEXT, b'{"type": "feature_flags", "data": {}}')
        assert client.event()["data"]["max_upload_size"] == 1024 * 1024


def test_plain_request_for_the_socket_is_refused(comfyui: Engine) -> None:
    """A proxy that drops Upgrade gets a 400 and not a hanging connection."""
    assert comfyui.ask("GET", "/ws").status == 400


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (None, "no_prompt"),
        ({}, "prompt_no_outputs"),
        ({"1": SIMPLE["1"]}, "prompt_no_outputs"),
        ({"1": {"class_type": "Absent", "inputs": {}}}, "missing_node_type"),
        ({"1": {"inputs": {}}}, "invalid_prompt"),
        ({"1": {"class_type": "SaveImage", "inputs": {}}}, "required_input_missing"),
    ],
)
def test_wrong_prompts_are_refused(comfyui: Engine, prompt: Any, kind: str) -> None:
    """A prompt that cannot run is a 400 with the type of what is wrong."""
    answer = comfyui.ask("POST", "/prompt", {"prompt": prompt})
    assert (answer.status, answer.json()["error"]["type"]) == (400, kind)


def test_node_errors_name_the_node(comfyui: Engine) -> None:
    """The refusal says which node."""
    answer = comfyui.ask("POST", "/prompt", {"prompt": {"7": {"class_type": "Absent"}}})
    assert answer.json()["node_errors"]["7"]["class_type"] == "Absent"


def test_jobs_run_one_at_a_time_and_can_be_deleted_and_interrupted(comfyui: Engine) -> None:
    """The second job waits, leaves the queue when deleted, and an interrupt ends the first."""
    first, second = queue(comfyui, ENDLESS), queue(comfyui, SIMPLE)
    assert until(lambda: comfyui.ask("GET", "/queue").json()["queue_running"])
    listed = comfyui.ask("GET", "/queue").json()
    assert [job[1] for job in listed["queue_running"]] == [first]
    assert [job[1] for job in listed["queue_pending"]] == [second]
    comfyui.ask("POST", "/queue", {"delete": [second]})
    assert comfyui.ask("GET", "/prompt").json() == {"exec_info": {"queue_remaining": 1}}
    comfyui.ask("POST", "/interrupt", {"prompt_id": first})
    assert not finished(comfyui, first)["status"]["completed"]


def test_upload_can_be_viewed(comfyui: Engine) -> None:
    """An uploaded picture is in input, in the folder asked for."""
    answer = upload(comfyui, b"picture", subfolder="mine")
    assert answer.json() == {"name": "a.png", "subfolder": "mine", "type": "input"}
    assert comfyui.ask("GET", "/view?filename=a.png&type=input&subfolder=mine").body == b"picture"


def test_upload_above_the_limit_is_413(comfyui: Engine) -> None:
    """--max-upload-size is kept."""
    assert upload(comfyui, bytes(1024 * 1024)).status == 413


@pytest.mark.parametrize(
    "query", ["filename=../x", "filename=x&subfolder=../..", "filename=x&type=root", "filename=.."]
)
def test_view_does_not_leave_its_directories(comfyui: Engine, query: str) -> None:
    """A path that leads out is refused."""
    assert comfyui.ask("GET", f"/view?{query}").status in {400, 403}


def test_unforeseen_request_is_a_500(comfyui: Engine) -> None:
    """What no handler foresaw ends the request and not the engine."""
    assert comfyui.ask("GET", "/history?max_items=few").status == 500
    assert comfyui.ask("GET", "/history").status == 200


def test_foreign_origin_on_loopback_is_refused(comfyui: Engine) -> None:
    """A page elsewhere must not drive a local ComfyUI."""
    assert comfyui.ask("GET", "/queue", Origin="http://elsewhere.example").status == 403


def test_hang_stops_jobs_only(comfyui: Engine) -> None:
    """With the fault of a wedged GPU the queue answers and the job never ends."""
    with comfyui.broken(generate="hang"):
        prompt_id = queue(comfyui, SIMPLE)
        assert not until(lambda: comfyui.ask("GET", f"/history/{prompt_id}").json(), 0.2)
        assert comfyui.ask("GET", "/queue").json()["queue_running"]
        comfyui.ask("POST", "/interrupt")
        finished(comfyui, prompt_id)


def test_error503_refuses_prompts(comfyui: Engine) -> None:
    """The fault error503 is a 503."""
    with comfyui.broken(generate="error503"):
        assert comfyui.ask("POST", "/prompt", {"prompt": SIMPLE}).status == 503


def test_cpu_shows_in_the_devices(comfyui: Engine) -> None:
    """The fault cpu turns the device into a CPU, and prompts still finish."""
    with comfyui.broken(generate="cpu"):
        assert comfyui.ask("GET", "/system_stats").json()["devices"][0]["type"] == "cpu"
        assert finished(comfyui, queue(comfyui, SIMPLE))["status"]["completed"]


def test_cut_drops_the_socket(comfyui: Engine) -> None:
    """The fault cut ends the socket in the middle of a job."""
    with comfyui.broken(generate="cut"), Client(comfyui.port, "cut") as client:
        prompt_id = queue(comfyui, SIMPLE, client_id="cut")
        with pytest.raises((EOFError, ConnectionError)):
            client.events_until("execution_success")
        finished(comfyui, prompt_id)


def test_start_creates_directories_and_database(tmp_path: Path) -> None:
    """A fresh base directory gets ComfyUI's folders and the database where it was asked for."""
    url = f"sqlite:///{tmp_path}/chosen.db"
    with running("comfyui", comfyui_arguments(tmp_path, "--database-url", url, "--cpu"), tmp_path) as engine:
        assert engine.ask("GET", "/system_stats").json()["devices"][0]["type"] == "cpu"
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"input", "output", "temp", "user", "models"}
    assert sqlite3.connect(tmp_path / "chosen.db").execute("SELECT count(*) FROM assets").fetchone() == (0,)


@pytest.mark.parametrize("arguments", [["--base-directory", "/proc/none"], ["--user-directory", "/absent"]])
def test_start_fails_where_it_cannot_write(tmp_path: Path, arguments: list[str]) -> None:
    """A place that cannot be written ends the start with status 1."""
    with running("comfyui", comfyui_arguments(tmp_path, *arguments), tmp_path) as engine:
        assert engine.process.wait(5) == 1


@pytest.mark.parametrize("flag", ["--normalvram", "--disable-ipex-optimize", "--databaseurl"])
def test_unknown_flag_is_refused(flag: str) -> None:
    """Flags that ComfyUI has dropped, or never had, end it with argparse's status."""
    command = [sys.executable, "-IB", str(FLAKE / "comfyui-ipex" / "bin" / "comfyui"), flag]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_dead_start_exits(tmp_path: Path) -> None:
    """The fault start=exit ends the process."""
    (tmp_path / "comfyui.json").write_text('{"start": "exit"}')
    with running("comfyui", comfyui_arguments(tmp_path), tmp_path) as engine:
        assert engine.process.wait(5) == 1
