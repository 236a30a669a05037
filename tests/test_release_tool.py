"""A release's way from a commit to stable, with real git and real SSH keys, in a repository of its own."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fake_fleet import FakeFleet

ROOT = Path(__file__).parents[1]
FLAKE = "github:you/flake/0123456789012345678901234567890123456789"
HASH = f"sha256-{'A' * 43}="


@dataclass
class Repository:
    """A copy of this one, with two people who may approve."""

    path: Path

    def run(self, *words: str, status: int = 0, **environment: str) -> str:
        """Run a command there, and return all it printed."""
        done = subprocess.run(
            words, cwd=self.path, text=True, capture_output=True, check=False, env={**os.environ, **environment}
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def release(self, *words: str, status: int = 0, **environment: str) -> str:
        """Run `python -m tools.release` there."""
        return self.run(sys.executable, "-m", "tools.release", *words, status=status, **environment)

    def kept(self, name: str, **said: Any) -> None:
        """Let something have been said of the release."""
        path = self.path / "build" / "release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(said))

    def tool(self) -> str:
        """The digest of its tool."""
        code = "from fleet import channels; print(channels.tool_digest())"
        return self.run(sys.executable, "-c", code).strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a commit of ada's, and grace's and ada's keys among the approvers."""
    one = Repository(tmp_path / "repository")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (one.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, one.path / name)
    one.run("git", "init", "--quiet", "--initial-branch", "main")
    one.run("git", "config", "user.email", "ada@example.com")
    one.run("git", "config", "user.name", "Ada")
    lines = []
    for person in ("ada", "grace", "eve"):
        key = tmp_path / person
        one.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key), "-C", person)
        if person != "eve":
            public = key.with_suffix(".pub").read_text().strip()
            lines.append(f'{person}@example.com namespaces="ipex-fleet-release" {public}')
    (one.path / "channels/approvers").write_text("\n".join(lines) + "\n")
    one.run("git", "add", "--all")
    one.run("git", "commit", "--quiet", "--message", "phase4: all of it")
    return one


def test_a_release_goes_from_a_commit_to_stable(repository: Repository, tmp_path: Path) -> None:
    """New, promoted when nothing is missing, approved by another, told to people; each step is a commit."""
    began = time.monotonic()
    said = repository.release("new", "1.4.0", "--url", FLAKE, "--nar-hash", HASH)
    assert "tag v1.4.0" in said
    assert "v1.4.0" in repository.run("git", "tag")
    assert "## 1.4.0 (" in (repository.path / "CHANGELOG.md").read_text()
    tool = repository.tool()

    assert "beta: the suite unit has not been run" in repository.release("explain", "beta", status=1)
    assert "integration" in repository.release("promote", "beta", status=1)
    for suite in ("unit", "integration", "performance", "security"):
        repository.kept(f"suite-{suite}.json", tool=tool, passed=True, target="inventory/lab.py")
    assert "nothing is missing" in repository.release("explain", "beta")
    repository.release("promote", "beta")

    repository.kept(
        "environment-staging.json",
        asked=time.time(),
        versions={"staging-gpu-01": "1.4.0"},
        since=time.time() - 8 * 86400,
        budgets={"availability": 0.9},
        measured=True,
    )
    assert "0 of 1 approvals are there" in repository.release("promote", "stable", status=1)
    repository.release("approve", "stable", "--key", str(tmp_path / "ada"))
    assert "ada@example.com wrote part of it" in repository.release("explain", "stable", status=1)
    assert "is no key of channels/approvers" in repository.release(
        "approve", "stable", "--key", str(tmp_path / "eve"), status=1
    )
    repository.release("approve", "stable", "--key", str(tmp_path / "grace"))
    dry = repository.release("promote", "stable", "--dry")
    assert "Would commit channels/stable.toml and tell #ai-infrastructure and maintainers@example.com" in dry
    assert not repository.run("git", "status", "--porcelain", "--", "channels/stable.toml")

    with listening() as (address, heard):
        said = repository.release("promote", "stable", IPEX_RELEASE_SLACK=address)
    assert "#ai-infrastructure was told." in said
    assert "maintainers@example.com was not told: IPEX_RELEASE_SMTP is not set." in said
    assert "Release 1.4.0 is on the channel stable." in heard[0]
    assert "stable   1.4.0" in repository.release("show")
    assert "phase4: stable names release 1.4.0" in repository.run("git", "log", "--oneline", "-1")
    print(f"all of it, suites left out: {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 60


def test_a_signature_is_of_one_release_and_one_channel(repository: Repository, tmp_path: Path) -> None:
    """Copied to another version, or to another channel, or altered, it counts for nobody, and that is said."""
    repository.release("new", "1.4.0", "--url", FLAKE, "--nar-hash", HASH)
    repository.release("approve", "beta", "--key", str(tmp_path / "grace"))
    approvals = repository.path / "channels/approvals"
    signed = approvals / "beta/1.4.0/grace@example.com.sig"
    assert signed.is_file()
    forged = approvals / "dev/1.4.0/grace@example.com.sig"
    forged.parent.mkdir(parents=True)
    shutil.copy(signed, forged)

    assert "not counted: grace@example.com.sig" in repository.release("explain", "dev", status=1)


def test_what_cannot_be_released_changes_nothing(repository: Repository) -> None:
    """No version, an older one, a dirty tree, an unknown channel: each is said, and git has seen nothing."""
    before = repository.run("git", "rev-parse", "HEAD")
    for words, said in (
        (("new", "1.4"), "1.4 is no semantic version"),
        (("new", "1.4.0"), "Name the flake"),
        (("explain", "nightly"), "channels/rules.toml has dev, beta, stable"),
        (("promote", "beta"), "dev names no release"),
    ):
        assert said in repository.release(*words, status=1)
    (repository.path / "deploy.py").write_text("")
    assert "The working tree has changes" in repository.release(
        "new", "1.4.0", "--url", FLAKE, "--nar-hash", HASH, status=1
    )
    repository.run("git", "checkout", "deploy.py")
    assert repository.run("git", "rev-parse", "HEAD") == before
    assert repository.run("git", "status", "--porcelain") == ""


def test_an_environment_runs_what_its_channel_names(repository: Repository) -> None:
    """Its flake is the release's; a working tree that is not the release's tool is refused before any node is asked."""
    repository.release("new", "1.4.0", "--url", FLAKE, "--nar-hash", HASH)
    data = repository.path / "group_data/example.py"
    data.write_text(f'{data.read_text()}\nchannel = "dev"\n')
    code = (
        "from fleet import load; from operations import survey\n"
        "fleet = load.from_file('inventory/example.py')\n"
        "print(fleet['gpu-01'].flake.url, [problem.what for problem in survey._foreign(fleet)])"
    )
    assert repository.run(sys.executable, "-c", code).strip().endswith(f"{FLAKE} []")

    (repository.path / "templates/new.j2").write_text("")
    assert "is not release 1.4.0 of channel dev" in repository.run(sys.executable, "-c", code)


def test_an_older_release_is_refused_unless_told(nodes: FakeFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any node is changed, with the node and both versions."""
    from operations import question  # noqa: PLC0415 - pyinfra is prepared by the fixture
    from tests.fleet.test_release import RELEASE  # noqa: PLC0415 - as above

    node = next(iter(nodes.fleet.nodes))
    nodes.is_as_declared(revision="1.5.0")
    real = question.answers

    def answers(state: Any) -> Any:
        found = real(state)
        for one in found.fleet.nodes:
            vars(one)["release"] = RELEASE
        return found

    monkeypatch.setattr(question, "answers", answers)
    run = nodes.run("-y")
    assert run.status == 1
    assert "has release 1.5.0, and this is 1.4.0" in run.output
    assert node.name in run.output
    assert "Nothing to change" in nodes.run("-y", "--data", "older=true").output


def test_evidence_is_what_nodes_and_monitors_say(
    nodes: FakeFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Versions, since when, what failed since, what is left of the budgets; kept for a promotion."""
    monkeypatch.setattr("operations.evidence.FOLDER", tmp_path)
    nodes.is_as_declared(revision="1.4.0")
    generation = json.loads(nodes.answers["gpu-01"]["ipex-question"][1][-1])["generation"]
    rollouts = [
        {"began": 1000.0, "seconds": 60.0, "nodes": {"gpu-01": {"to": generation, "ending": "new", "why": []}}},
        {"began": 2000.0, "seconds": 5.0, "who": "ada", "nodes": {"gpu-02": {"ending": "old", "why": ["hangs"]}}},
    ]
    budgets = [
        {"metric": {"slo": "availability", "service": "ollama"}, "value": [0, "0.75"]},
        {"metric": {"slo": "availability", "service": "comfyui"}, "value": [0, "0.5"]},
        {"metric": {"slo": "latency", "service": "ollama"}, "value": [0, "NaN"]},
    ]
    lines = ["answered", *(f"record {json.dumps(one)}" for one in rollouts), f"budget {json.dumps(budgets)}"]
    nodes.answer("monitor-01", "promtool query instant", *lines)

    run = nodes.run(deploy="tasks/evidence.py")

    assert run.status == 0, run.output
    said = json.loads((tmp_path / "environment-example.json").read_text())
    assert set(said["versions"].values()) == {"1.4.0"}
    assert said["since"] == 1060.0
    assert said["failures"] == ["gpu-02 did not take a change of ada: hangs"]
    assert said["budgets"] == {"availability": 0.5, "latency": None}
    assert said["measured"] is False


def test_evidence_says_what_has_become_slower(
    nodes: FakeFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Measured is what every GPU node has measured; one that has not leaves all of it open."""
    monkeypatch.setattr("operations.evidence.FOLDER", tmp_path)
    nodes.is_as_declared(slower=[], unmeasured=[])
    lines = nodes.answers["gpu-02"]["ipex-question"][1]
    told = json.loads(lines[-1])

    def asked(**status: list[str]) -> tuple[list[str], bool]:
        lines[-1] = json.dumps({**told, **status})
        nodes.run(deploy="tasks/evidence.py")
        said = json.loads((tmp_path / "environment-example.json").read_text())
        return said["slower"], said["measured"]

    assert asked() == ([], True)
    assert asked(slower=["gpu-02 ollama: 1 instead of 2"]) == (["gpu-02 ollama: 1 instead of 2"], True)
    assert asked(unmeasured=["ollama"]) == ([], False)


class _Listening:
    """An HTTP server that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> tuple[str, list[str]]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"json://127.0.0.1:{self._server.server_port}/", self.heard

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def listening() -> _Listening:
    """A receiver of news, and what it has heard."""
    return _Listening()
