"""The lab's Ollama against the documented API."""

import contextlib
import http.client
import json
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab_engines.engine_process import FLAKE, Engine, ollama_environment, running, until

ASKED: dict[str, Any] = {"model": "tinyllama", "prompt": "two words", "options": {"num_predict": 3}}
LONG: dict[str, Any] = {"model": "tinyllama", "prompt": "long", "options": {"num_predict": 100_000}}


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Engine]:
    """An Ollama with one slot and a queue of one."""
    more = {"OLLAMA_NUM_PARALLEL": "1", "OLLAMA_MAX_QUEUE": "1"}
    with running("ollama", ["serve"], tmp_path, **ollama_environment(tmp_path, **more)) as engine:
        yield engine


@contextlib.contextmanager
def generating(engine: Engine) -> Iterator[http.client.HTTPResponse]:
    """Hold a generation that has begun and does not end."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("POST", "/api/generate", json.dumps(LONG))
        answer = connection.getresponse()
        answer.readline()
        yield answer
        # The answer holds the socket too: without this the engine would not see the client leave.
        answer.close()


def test_root_says_that_it_runs(ollama: Engine) -> None:
    """GET / is the liveness text."""
    assert ollama.ask("GET", "/").body == b"Ollama is running"


def test_head_has_no_body(ollama: Engine) -> None:
    """HEAD answers as GET, without the body."""
    answer = ollama.ask("HEAD", "/api/version")
    assert (answer.status, answer.body) == (200, b"")


def test_version_shows_the_flakes_revision(ollama: Engine) -> None:
    """An upgrade of the flake is visible in /api/version."""
    revision = (FLAKE / "version").read_text().strip()
    assert ollama.ask("GET", "/api/version").json() == {"version": f"0.33.0-lab{revision}"}


def test_tags_lists_the_declared_models(ollama: Engine) -> None:
    """Without OLLAMA_LAB_MODELS there are two models."""
    names = {model["name"] for model in ollama.ask("GET", "/api/tags").json()["models"]}
    assert names >= {"tinyllama:latest", "llama3.2:latest"}


def test_generation_streams_a_line_per_token_and_ends_with_durations(ollama: Engine) -> None:
    """The last object has done and the six figures, in nanoseconds."""
    answer = ollama.ask("POST", "/api/generate", ASKED)
    *pieces, last = answer.lines()
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [piece["done"] for piece in pieces] == [False] * 3
    assert last["done"]
    assert last["eval_count"] == 3
    durations = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
    assert all(last[name] > 0 for name in durations)
    assert last["eval_duration"] <= last["total_duration"]


def test_generation_without_streaming_is_one_object(ollama: Engine) -> None:
    """Stream false gathers the whole text."""
    answer = ollama.ask("POST", "/api/generate", {**ASKED, "stream": False}).json()
    assert answer["response"] == "the lab answers "


def test_chat_answers_as_the_assistant(ollama: Engine) -> None:
    """A chat's pieces are messages."""
    asked = {"model": "tinyllama", "stream": False, "messages": [{"role": "user", "content": "hello"}]}
    assert ollama.ask("POST", "/api/chat", asked).json()["message"]["role"] == "assistant"


def test_openai_chat_streams_events(ollama: Engine) -> None:
    """The OpenAI stream is server-sent events that end with [DONE]."""
    asked = {"model": "tinyllama", "stream": True, "max_tokens": 2, "messages": [{"role": "user", "content": "x"}]}
    answer = ollama.ask("POST", "/v1/chat/completions", asked)
    events = answer.body.decode().split("\n\n")
    assert answer.headers["content-type"] == "text/event-stream"
    assert json.loads(events[0].removeprefix("data: "))["choices"][0]["delta"]["content"] == "the "
    assert events[-2:] == ["data: [DONE]", ""]


def test_openai_completion_counts_its_tokens(ollama: Engine) -> None:
    """The usage of a whole completion adds up."""
    asked = {"model": "tinyllama", "prompt": "two words", "max_tokens": 4}
    usage = ollama.ask("POST", "/v1/completions", asked).json()["usage"]
    assert usage == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


def test_show_describes_a_model(ollama: Engine) -> None:
    """/api/show has the model's details."""
    assert ollama.ask("POST", "/api/show", {"model": "tinyllama"}).json()["details"]["format"] == "gguf"


def test_embed_has_a_vector_per_input(ollama: Engine) -> None:
    """Two inputs give two vectors."""
    answer = ollama.ask("POST", "/api/embed", {"model": "tinyllama", "input": ["a", "b"]}).json()
    assert len(answer["embeddings"]) == 2


def test_ps_shows_a_loaded_model_on_the_gpu(ollama: Engine) -> None:
    """After a generation the model is loaded, wholly in video memory."""
    ollama.ask("POST", "/api/generate", ASKED)
    (model,) = ollama.ask("GET", "/api/ps").json()["models"]
    assert model["size_vram"] == model["size"] > 0


def test_keep_alive_zero_unloads(ollama: Engine) -> None:
    """An empty prompt with keep_alive 0 frees the model."""
    ollama.ask("POST", "/api/generate", {"model": "tinyllama"})
    assert (
        ollama.ask("POST", "/api/generate", {"model": "tinyllama", "keep_alive": 0}).json()["done_reason"] == "unload"
    )
    assert ollama.ask("GET", "/api/ps").json()["models"] == []


def test_pulled_model_can_be_used_and_deleted(ollama: Engine) -> None:
    """A model lives from pull to delete."""
    assert ollama.ask("POST", "/api/pull", {"model": "fresh"}).json() == {"status": "success"}
    assert ollama.ask("POST", "/api/show", {"model": "fresh:latest"}).status == 200
    assert ollama.ask("DELETE", "/api/delete", {"model": "fresh"}).status == 200
    assert ollama.ask("POST", "/api/show", {"model": "fresh"}).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/generate", {"model": "absent", "prompt": "x"}, 404),
        ("POST", "/api/generate", None, 400),
        ("POST", "/api/generate", b"no json", 400),
        ("POST", "/api/generate", {"model": "tinyllama", "prompt": "x", "keep_alive": "soon"}, 400),
        ("POST", "/v1/completions", {"model": "absent"}, 404),
        ("GET", "/api/generate", None, 405),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_bad_requests_get_their_status(ollama: Engine, method: str, path: str, body: Any, status: int) -> None:
    """Each mistake has the status of the real one."""
    assert ollama.ask(method, path, body).status == status


def test_unknown_model_is_named_in_the_error(ollama: Engine) -> None:
    """The error is JSON and names the model."""
    answer = ollama.ask("POST", "/api/generate", {"model": "absent", "prompt": "x"})
    assert answer.json() == {"error": "model 'absent' not found"}


@pytest.mark.parametrize(("host", "status"), [("ollama-backend", 403), ("localhost:11434", 200), ("10.1.2.3", 200)])
def test_loopback_listener_checks_the_host_header(ollama: Engine, host: str, status: int) -> None:
    """A proxy's own upstream name is refused, as the real one does."""
    assert ollama.ask("GET", "/api/tags", Host=host).status == status


def test_chunked_request_body_is_read(ollama: Engine) -> None:
    """A proxy that does not buffer requests sends them in chunks."""
    content = json.dumps({**ASKED, "stream": False}).encode()
    raw = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", ollama.port), timeout=5) as connection:
        connection.sendall(head + raw)
        assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_requests_are_logged_as_gin_logs_them(ollama: Engine) -> None:
    """The access log has gin's columns."""
    ollama.ask("GET", "/api/version")
    assert ollama.logged('| GET      "/api/version"')


def test_requests_are_logged_with_the_client_that_a_proxy_names(ollama: Engine) -> None:
    """Gin believes every proxy: the first address of X-Forwarded-For, unless one of them is none."""
    ollama.ask("GET", "/api/tags", X_Forwarded_For="192.0.2.7, 198.51.100.1")
    assert ollama.logged('|       192.0.2.7 | GET      "/api/tags"')
    ollama.ask("GET", "/api/ps", X_Forwarded_For="192.0.2.7, nobody")
    assert ollama.logged('|       127.0.0.1 | GET      "/api/ps"')


def test_generations_are_logged_as_llama_server_logs_them(ollama: Engine) -> None:
    """Four lines, in llama.cpp's own columns."""
    ollama.ask("POST", "/api/generate", {"model": "tinyllama", "prompt": "a b c", "options": {"num_predict": 7}})
    timing = r"slot print_timing: id  0 \| task \d+ \| %s = +\d+\.\d\d ms / +%d tokens"
    speed = r" \( *\d+\.\d\d ms per token, *\d+\.\d\d tokens per second\)\n"
    for wanted in (
        timing % ("prompt eval time", 3) + speed,
        timing % ("       eval time", 7) + speed,
        timing % ("      total time", 10) + r"\n",
    ):
        assert until(partial(_has_printed, ollama, wanted)), wanted


def _has_printed(engine: Engine, wanted: str) -> bool:
    return any(re.fullmatch(wanted, text) for text in engine.log)


def test_many_streams_run_at_once(ollama: Engine) -> None:
    """A hundred concurrent streams all end well."""
    asked = {**ASKED, "options": {"num_predict": 10}}
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: ollama.ask("POST", "/api/generate", asked), range(100)))
    assert all(answer.lines()[-1]["eval_count"] == 10 for answer in answers)


def test_full_queue_refuses_with_503(narrow: Engine) -> None:
    """With the slot taken and a queue of one, one of two more requests waits and the other is refused."""
    with generating(narrow), ThreadPoolExecutor(2) as pool:
        both = [pool.submit(narrow.ask, "POST", "/api/generate", ASKED) for _ in range(2)]
        (answered, *_), (waiting, *_) = wait(both, 5, FIRST_COMPLETED)
        refused = answered.result()
        narrow.process.terminate()
        assert isinstance(waiting.exception(5), ConnectionError)
    assert refused.status == 503
    assert refused.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}


def test_client_that_leaves_frees_its_slot(narrow: Engine) -> None:
    """A generation ends when nobody reads it any more."""
    with generating(narrow):
        pass
    assert narrow.ask("POST", "/api/generate", ASKED).lines()[-1]["done"]


def test_sigterm_cuts_what_is_in_flight(narrow: Engine) -> None:
    """The real one closes every connection at once, so a restart without a drain loses requests."""
    with generating(narrow) as answer:
        narrow.process.send_signal(signal.SIGTERM)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
    assert narrow.process.wait(5) == 0


def test_hang_stops_generations_only(ollama: Engine) -> None:
    """With the fault of a wedged GPU the model list answers and a generation does not."""
    with ollama.broken(generate="hang"), socket.create_connection(("127.0.0.1", ollama.port)) as connection:
        content = json.dumps(ASKED).encode()
        head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        connection.settimeout(0.2)
        assert ollama.ask("GET", "/api/tags").status == 200
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_error503_refuses_generations(ollama: Engine) -> None:
    """The fault error503 is a 503 with a reason."""
    with ollama.broken(generate="error503"):
        answer = ollama.ask("POST", "/api/generate", ASKED)
    assert answer.status == 503
    assert "DeviceLost" in answer.json()["error"]


def test_cpu_works_without_video_memory(ollama: Engine) -> None:
    """The fault cpu shows in /api/ps only."""
    with ollama.broken(generate="cpu"):
        assert ollama.ask("POST", "/api/generate", ASKED).lines()[-1]["done"]
        assert ollama.ask("GET", "/api/ps").json()["models"][0]["size_vram"] == 0


def test_cut_breaks_the_stream_off(ollama: Engine) -> None:
    """The fault cut ends the connection before the last chunk."""
    with ollama.broken(generate="cut"), pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ollama.ask("POST", "/api/generate", {**ASKED, "options": {"num_predict": 8}})


def test_slow_keeps_the_pace_asked_for(ollama: Engine) -> None:
    """The fault slow sets the seconds of a token."""
    with ollama.broken(generate="slow", token_seconds=0.05):
        last = ollama.ask("POST", "/api/generate", ASKED).lines()[-1]
    assert last["eval_duration"] >= 3 * 50_000_000


@pytest.mark.parametrize(
    ("missing", "complaint"), [({"HOME": ""}, "$HOME is not defined"), ({"OLLAMA_MODELS": "/proc/none"}, "/proc/none")]
)
def test_start_fails_where_it_cannot_work(tmp_path: Path, missing: dict[str, str], complaint: str) -> None:
    """Without a home, or with a models directory that cannot be written, it exits 1 and says why."""
    with running("ollama", ["serve"], tmp_path, **{**ollama_environment(tmp_path), **missing}) as engine:
        assert engine.process.wait(5) == 1
        assert engine.logged(complaint)


def test_dead_start_exits(tmp_path: Path) -> None:
    """The fault start=exit ends the process."""
    (tmp_path / "ollama.json").write_text('{"start": "exit"}')
    with running("ollama", ["serve"], tmp_path, **ollama_environment(tmp_path)) as engine:
        assert engine.process.wait(5) == 1
