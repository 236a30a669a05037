"""Marked secrets in the example fleet: they reach the node that needs them, and nothing that is printed or kept."""

import base64
import gzip
import logging
import sys
from collections.abc import Iterator

import pytest

from fleet import desired
from fleet.model import Fleet
from tests.fake_fleet import MARK, SECRETS, FakeFleet
from tools import show
from tools.golden import GOLDEN, landing

pytestmark = pytest.mark.security


def _spelt() -> Iterator[bytes]:
    """The mark as it is, and as base64 holds it wherever it begins."""
    yield MARK.encode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + MARK.encode())
        # What stands beside it decides the first and the last characters.
        yield whole[4:-4]


SPELT = tuple(_spelt())
KINDS = ("slack", "smtp", "grafana", "probe", "tls")
"""What follows the mark in each secret."""


def _holds(content: bytes) -> bool:
    return any(one in content for one in SPELT)


def test_a_node_gets_the_secrets_it_needs_and_no_other(example: Fleet) -> None:
    """Each is in secret files alone, of the nodes that use it; the bundles of all other nodes hold none."""
    holding: dict[str, set[str]] = {}
    for node in example.nodes:
        generation = desired.generation(node, example)
        files = [file for file in generation.files if _holds(file.content)]
        holding[node.name] = {name for name in KINDS if any(f"{MARK}-{name}".encode() in one.content for one in files)}
        assert all(file.secret and file.mode in {"0600", "0640"} for file in files)
        assert _holds(gzip.decompress(generation.bundle())) == bool(files)
        assert not _holds(repr(generation).encode() + repr(generation.manifest).encode())

    assert holding == {
        **{node: set() for node in holding},
        "monitor-01": {"slack", "smtp", "grafana", "probe"},
        **{gateway: {"tls", "probe"} for gateway in ("gateway-01", "gateway-02")},
    }


def test_what_is_shown_and_kept_as_golden_holds_none(
    example: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line stands where each would be."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["show", "inventory/example.py", "monitor-01"])
    show.main()
    printed = capsys.readouterr().out

    secret = [file for file in desired.generation(example["monitor-01"], example).files if file.secret]
    assert printed.count("(a secret file: its content is never shown)") == len(secret) >= 4
    assert not _holds(printed.encode())
    assert not [name for name, content in landing(example).items() if _holds(content)]
    assert not [path for path in GOLDEN.rglob("*") if path.is_file() and _holds(path.read_bytes())]


@pytest.mark.parametrize(
    "flags",
    ["--dry", "-y", "-y -v", "-y -vv", "-y -vvv", "-y -vvv --debug", "--debug --debug-facts", "--debug-operations"],
)
def test_no_run_prints_or_sends_one(nodes: FakeFleet, caplog: pytest.LogCaptureFixture, flags: str) -> None:
    """Not as text of a command, not at the most talkative level, not in the record of the run."""
    caplog.set_level(logging.DEBUG)
    run = nodes.run(*flags.split())

    assert run.status == 0, run.output
    assert not _holds(run.output.encode())
    assert not _holds(caplog.text.encode())
    assert not _holds("\n".join(text for commands in run.commands.values() for text in commands).encode())
    # The bundle that holds them is not printed either.
    bundle = base64.encodebytes(desired.generation(nodes.fleet["monitor-01"], nodes.fleet).bundle())
    assert bundle.splitlines()[3] not in run.output.encode() + caplog.text.encode()
    assert bool(run.order("base64 -d")) == ("-y" in flags)
    assert not nodes.records.exists() or not _holds(nodes.records.read_bytes())


def test_the_controllers_own_files_hold_none(nodes: FakeFleet) -> None:
    """What a run leaves in its own state directory."""
    nodes.run("-y")
    left = [path for path in nodes.records.parents[2].rglob("*") if path.is_file()]

    assert nodes.records in left
    assert not [path for path in left if _holds(path.read_bytes())]


def test_a_run_that_fails_shows_none(nodes: FakeFleet) -> None:
    """A failure is told with what the node said, not with what it was sent."""
    nodes.answer("monitor-01", "base64 -d", "no space left", succeeded=False)
    run = nodes.run("-y", "-vvv", "--debug")

    assert run.status == 1
    assert not _holds(run.output.encode())


def test_a_deploy_that_lacks_secrets_is_refused_and_names_all(
    nodes: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any node is changed, with the command that tells more."""
    for name in SECRETS:
        monkeypatch.delenv(name)
    run = nodes.run("-y")

    assert run.status == 1
    names = {name.removeprefix("IPEX_SECRET_").lower().replace("_", ".", 1) for name in SECRETS}
    assert {name for name in names if name in run.output} == names
    assert "python -m tools.secrets" in run.output
    assert not run.order("base64 -d")
