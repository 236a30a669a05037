"""What nginx reads, made of the very text that lands on the example fleet's gateway."""

import difflib
import re

import pytest

from fleet import desired
from fleet.model import Fleet
from ipex_node.gateway import upstreams
from ipex_node.gateway.rotation import Treatment

ALL_IN: dict[str, Treatment] = {"gpu-01": "in", "gpu-02": "in", "gpu-03": "in"}


@pytest.fixture
def declared(example: Fleet) -> str:
    """The upstreams as they are declared."""
    files = desired.generation(example["gateway-01"], example).files
    return next(file.content.decode() for file in files if file.path == "/etc/nginx/ipex/upstreams.conf")


def _changes(declared: str, how: Treatment, service: str = "comfyui", node: str = "gpu-02") -> set[str]:
    """Return the lines that become other lines when one service on one node is treated so."""
    treatments: dict[str, dict[str, Treatment]] = {"ollama": {**ALL_IN}, "comfyui": {**ALL_IN}}
    plain = upstreams.live(declared, treatments)
    treatments[service][node] = how
    lines = difflib.ndiff(plain.splitlines(), upstreams.live(declared, treatments).splitlines())
    return {line[2:].strip() for line in lines if line.startswith("+ ") and "default" not in line}


def test_with_every_node_in_only_the_version_differs(declared: str) -> None:
    """What is declared is what is read while nothing is wrong."""
    text = upstreams.live(declared, {"ollama": ALL_IN, "comfyui": ALL_IN})
    version = upstreams.version(text)

    assert upstreams.version(declared) == "declared"
    assert re.fullmatch("[0-9a-f]{16}", version)
    assert text.replace(version, "declared") == declared


def test_a_node_without_ollama_is_down_in_its_upstream(declared: str) -> None:
    """A server is marked down and never removed."""
    line = "server 203.0.113.12:11434 max_fails=2 fail_timeout=10s down; # gpu-02 ollama new"

    models = {f"{line} {model} 4" for model in ("tinyllama", "gemma3:27b")}

    assert _changes(declared, "out", "ollama") == _changes(declared, "draining", "ollama") == {line, *models}


def test_a_draining_node_keeps_its_sessions_but_gets_no_new_work(declared: str) -> None:
    """Down for new sessions and as the others' backup; a session's own upstream stays, its new prompts go elsewhere."""
    assert _changes(declared, "draining") == {
        "server 203.0.113.12:8188 max_fails=2 fail_timeout=10s down; # gpu-02 comfyui new",
        "server 203.0.113.12:8188 backup down; # gpu-02 comfyui new",
        '# "gpu-02 new" comfyui-gpu-02; # gpu-02 comfyui new',
    }


def test_a_node_that_is_out_keeps_nothing(declared: str) -> None:
    """Its sessions go to the backups of its own upstream."""
    own = "server 203.0.113.12:8188 max_fails=1 fail_timeout=5s down; # gpu-02 comfyui own"

    assert _changes(declared, "out") == {*_changes(declared, "draining"), own}


def test_every_server_of_the_declared_text_can_be_taken_out(declared: str) -> None:
    """No server line escapes: with every node out, all are down."""
    out: dict[str, Treatment] = dict.fromkeys(ALL_IN, "out")
    text = upstreams.live(declared, {"ollama": out, "comfyui": out})
    servers = [line for line in text.splitlines() if line.strip().startswith("server ")]

    assert len(servers) == 3 + (2 + 3) + 3 + 9
    assert all(" down;" in line for line in servers)


def test_a_version_belongs_to_one_text(declared: str) -> None:
    """The same treatments make the same version, other ones another."""
    texts = [
        upstreams.live(declared, {"ollama": {**ALL_IN, "gpu-01": how}, "comfyui": ALL_IN})
        for how in ("in", "out", "in")
    ]
    first, second, third = (upstreams.version(text) for text in texts)

    assert first == third != second


@pytest.mark.parametrize(
    ("request_line", "is_work"),
    [
        ("POST /comfyui/prompt", True),
        ("POST /comfyui/api/prompt", True),
        ("POST /comfyui/api/prompt?x=1", True),
        ("POST /comfyui/upload/image", True),
        ("POST /comfyui/interrupt", False),
        ("POST /comfyui/queue", False),
        ("GET /comfyui/prompt", False),
        ("GET /comfyui/ws?clientId=1", False),
        ("GET /comfyui/history/1", False),
    ],
)
def test_what_counts_as_new_work(declared: str, request_line: str, is_work: bool) -> None:
    """Prompts and uploads begin work; looking after it, also stopping it, does not."""
    block = re.search(r"\$comfyui_work \{(.*?)\n\}", declared, re.DOTALL)
    assert block
    pattern = re.search(r'"~(.*)" new;', block[1])
    assert pattern

    assert bool(re.search(pattern[1], request_line)) is is_work


def test_a_text_that_was_never_rendered_has_no_version() -> None:
    """An empty file, or one of another program, is told from ours."""
    assert not upstreams.version("")
