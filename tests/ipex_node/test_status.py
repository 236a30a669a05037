"""What the node says of itself."""

import json
import os
import subprocess
import sys

import pytest

from ipex_node.__main__ import main
from ipex_node.health import verdict
from ipex_node.health.verdict import Condemned, Verdict
from tests.ipex_node.fake_node import GROUP, OLLAMA, OWNER, FakeNode

UNIT_FILE = f"/etc/systemd/system/{OLLAMA}"


def test_status_before_any_generation(node: FakeNode) -> None:
    """A machine that is no node yet answers, with nothing."""
    answer = node.status()
    assert answer["ok"]
    assert (answer["generation"], answer["staged"], answer["drift"], answer["node"]) == (None, [], [], None)


@pytest.mark.parametrize("why", ["missing", "edited", "mode is 0600, not 0644", "is no regular file"])
def test_file_drift_is_named(node: FakeNode, served: str, why: str) -> None:
    """Each way a file can differ has its own words."""
    path = node.on(UNIT_FILE)
    if why.startswith("mode"):
        path.chmod(0o600)
    else:
        path.unlink()
    if why == "edited":
        path.write_text("x")
    elif why == "is no regular file":
        path.symlink_to("/dev/null")
    assert {"what": "file", "name": UNIT_FILE, "why": why} in node.status()["drift"]
    assert served


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_owner_drift_is_named(node: FakeNode, served: str) -> None:
    """A file given to another user is drift."""
    os.chown(node.on(UNIT_FILE), 12345, 12345)
    why = f"owner is 12345:12345, not {OWNER}:{GROUP}"
    assert node.status()["drift"] == [{"what": "file", "name": UNIT_FILE, "why": why}]
    assert served


def test_unreadable_settings_do_not_hide_drift(node: FakeNode, served: str) -> None:
    """An edit that breaks node.json is named as drift like any other."""
    node.on("/etc/ipex/node.json").write_text("{")
    assert node.status()["drift"] == [{"what": "file", "name": "/etc/ipex/node.json", "why": "edited"}]
    assert served


def test_damaged_record_is_drift(node: FakeNode, served: str) -> None:
    """A generation whose own manifest was changed is an answer, not a crash."""
    manifest = node.on(f"/var/lib/ipex/generations/{served}/manifest.json")
    manifest.write_text(manifest.read_text().replace("gpu-01", "gpu-02"))
    assert [one["what"] for one in node.status()["drift"]] == ["generation"]


@pytest.mark.parametrize("held", ["nothing", "service", "node"])
def test_a_node_that_waits_for_a_reboot_says_so(node: FakeNode, served: str, held: str) -> None:
    """An activation brings an engine back, but not a GPU that its driver has given up."""
    why = Condemned("gpu:wedge", "reboot needed")
    found = Verdict(node=why if held == "node" else None, services={"ollama": why} if held == "service" else {})
    verdict.write(node.world.paths.verdict, found)
    assert node.status()["reboot_needed"] == (held == "node")
    assert served


def test_status_asks_systemd_once(node: FakeNode, served: str) -> None:
    """All units are asked in one call."""
    node.asked.clear()
    node.status()
    assert len(node.asked) == 1
    assert served


def test_command_prints_one_json_object(node: FakeNode, served: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is one line of JSON, the exit status 0."""
    capsys.readouterr()
    assert main(["status"], node.world) == 0
    assert json.loads(capsys.readouterr().out)["generation"] == served


def test_failure_is_json_too(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown generation is a failure with a cure, exit status 1."""
    assert main(["activate", "0123456789abcdef"], node.world) == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["ok"]
    assert answer["failures"][0]["cure"] == "deploy again"


def test_status_imports_nothing_of_the_other_commands() -> None:
    """What status does not need is not loaded: it is asked in every run."""
    heavy = {"argparse", "http.client", "http.server", "asyncio", "ssl", "ipex_node.activation", "ipex_node.engines"}
    code = "import sys, ipex_node.__main__, ipex_node.status; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(done.stdout.split())
