"""Cleanup on a running node: as its unit does it, in its sandbox, with the real Nix."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

NODE = Lab().gpus[0]
OUTPUT = "/var/lib/private/comfyui/output"
SAMPLES = "/var/lib/ipex-cleanup/samples.json"
OLLAMA = "http://127.0.0.1:11434"


@pytest.fixture
def garbage(lab: Lab) -> Iterator[str]:
    """Things that nobody needs: old and young outputs, links that lead out of them, and a path in Nix' store."""
    lab.output(
        NODE,
        f"rm -f {SAMPLES} && install -d {OUTPUT}/deep /root/precious && cd {OUTPUT} && "
        "echo x > old.png && echo x > deep/old.png && echo x > young.png && echo x > /root/precious/old.png && "
        "ln -sfn /root/precious link && ln -sfn /root/precious/old.png link.png && "
        "touch -d '40 days ago' old.png deep/old.png /root/precious/old.png && date > /root/precious/nix-garbage",
    )
    yield lab.output(NODE, "nix-store --add /root/precious/nix-garbage")
    lab.output(NODE, f"rm -rf /root/precious {OUTPUT}/link {OUTPUT}/link.png {OUTPUT}/young.png")


def _exists(lab: Lab, *paths: str) -> list[bool]:
    return [lab.run(NODE, f"test -e {path}").returncode == 0 for path in paths]


def _cleanup(lab: Lab, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(lab.run(NODE, f"ipex-node cleanup --json {' '.join(words)}").stdout)
    return answer


def _assert_cleaned(lab: Lab, garbage: str) -> None:
    """What nobody needs has gone; what is precious, and the node itself, is as before."""
    gone = _exists(lab, f"{OUTPUT}/old.png", f"{OUTPUT}/deep/old.png", garbage)
    stays = _exists(lab, f"{OUTPUT}/young.png", "/root/precious/old.png", f"{OUTPUT}/link.png")
    assert (gone, stays) == ([False] * 3, [True] * 3)
    status = lab.status(NODE)
    assert status["drift"] == []
    closures = status["closures"]
    assert isinstance(closures, dict)
    assert all(_exists(lab, *closures.values()))


def test_the_unit_frees_in_its_sandbox_what_nobody_needs(lab: Lab, garbage: str) -> None:
    """Started as the timer does it; its numbers are there for the agent, which is not root."""
    lab.output(NODE, "systemctl start ipex-cleanup.service")

    _assert_cleaned(lab, garbage)
    left = json.loads(lab.output(NODE, f"setpriv --reuid=65534 --clear-groups cat {SAMPLES}"))
    values = {family: value for family, _, value, _ in left["samples"]}
    assert values["ipex_cleanup_freed_bytes"] > 0


def test_the_health_monitors_word_starts_it(lab: Lab, garbage: str) -> None:
    """The path unit starts it; a second word right behind changes nothing, and the path unit still watches."""
    ask = "install -d /run/ipex-health && date > /run/ipex-health/cleanup"
    lab.output(NODE, ask)
    lab.output(NODE, f"timeout 60 sh -c 'until [ -e {SAMPLES} ]; do sleep 0.2; done'")
    _assert_cleaned(lab, garbage)

    before = lab.output(NODE, f"cat {SAMPLES}")
    cursor = lab.output(NODE, "journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'")
    lab.output(NODE, ask)
    said = f"journalctl --after-cursor '{cursor}' -u ipex-cleanup.service | grep -q 'nothing was done: the last run'"
    lab.output(NODE, f'timeout 60 sh -c "until {said}; do sleep 0.2; done"')

    assert lab.output(NODE, f"cat {SAMPLES}") == before
    lab.output(NODE, "systemctl is-active ipex-cleanup.path ipex-cleanup.timer")


def test_dry_changes_nothing(lab: Lab, garbage: str) -> None:
    """The plan names the store and the outputs, and all of it is still there."""
    answer = _cleanup(lab, "--dry")

    assert {"output", "store"} <= {item["kind"] for item in answer["items"]}
    assert answer["freed_bytes"] == 0
    assert _exists(lab, f"{OUTPUT}/old.png", garbage) == [True, True]


def test_a_locked_node_is_left_alone(lab: Lab, garbage: str) -> None:
    """While somebody holds the node's lock nothing goes, and that is no failure."""
    answer = json.loads(lab.output(NODE, "flock /var/lib/ipex/lock ipex-node cleanup --json"))

    assert "locked" in answer["nothing_done"]
    assert _exists(lab, f"{OUTPUT}/old.png", garbage) == [True, True]


def test_a_model_goes_only_by_name_and_a_declared_one_never(lab: Lab) -> None:
    """An undeclared model is told of, stays, and goes through Ollama's API when it is named."""
    lab.output(NODE, f'curl -sf {OLLAMA}/api/pull -d \'{{"model": "big:70b"}}\'')

    kept = {item["name"]: item["why"] for item in _cleanup(lab)["kept"] if item["kind"] == "model"}
    refused = _cleanup(lab, "--models", "TinyLlama:latest")
    removed = _cleanup(lab, "--models", "big:70b")

    assert kept["tinyllama:latest"] == "declared"
    assert "--models big:70b" in kept["big:70b"]
    assert refused["failures"][0]["why"] == "is declared for ollama"
    assert removed["ok"], removed
    tags = lab.output(NODE, f"curl -sf {OLLAMA}/api/tags")
    assert "tinyllama:latest" in tags
    assert "big:70b" not in tags
