"""`ipex-node update`: what is not as it should be changes nothing and is said."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from ipex_node import files
from ipex_node.update import ask, memory, offer, run, taking
from ipex_node.update.turns import Refusal
from tests.ipex_node.conftest import Bundle
from tests.ipex_node.fake_node import SETTINGS, FakeNode
from tests.ipex_node.update.shop import Shop

UPDATES = {
    "windows": [],
    "blackouts": [],
    "reserve_seconds": 60,
    "ask_seconds": 1,
    "semaphore": {"address": "192.0.2.1", "port": 1},
}


@pytest.fixture
def updating(shop: Shop) -> Shop:
    """A node that updates itself, outside every window."""
    shop.world.paths.settings.write_text(json.dumps({**SETTINGS, "updates": UPDATES}))
    return shop


def _full(*_words: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_outside_its_windows_nothing_is_asked(updating: Shop) -> None:
    """The depot could be down."""
    answer = run.update(updating.world)

    assert (answer["ok"], answer["outcome"]) == (True, "closed")
    assert memory.load(updating.world.paths)["last"]["outcome"] == "closed"


def test_a_disk_that_is_full_for_what_is_offered_is_an_outcome(updating: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is this node's own fault, none of the depot's."""
    monkeypatch.setattr(offer, "current", _full)

    answer = run.update(updating.world, now=True)

    assert (answer["ok"], answer["outcome"]) == (False, "refused")
    assert "No space left on device" in answer["failures"][0]["why"]


def test_a_disk_that_is_full_for_all_is_told_in_the_journal(
    updating: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though nothing of it can be remembered."""
    monkeypatch.setattr(files, "write", _full)

    with pytest.raises(OSError, match="No space left on device"):
        run.update(updating.world)

    assert "update: closed: no window is open" in capsys.readouterr().err


def test_what_is_staged_already_needs_no_room_and_what_is_new_does(
    node: FakeNode, make: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk refuses what it has no room for, and only that."""
    known, fresh = make(), make(version="2")
    node.stage(known)
    monkeypatch.setattr(files, "write", _full)

    assert node.stage(known)
    with pytest.raises(OSError, match="No space left on device"):
        node.stage(fresh)


def test_a_program_that_cannot_run_gives_its_turn_back(
    updating: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody waits for the end of its lease."""
    told: list[str] = []
    monkeypatch.setattr(offer, "current", lambda *_: updating.publication(5, {"gpu-01": b"one"}))
    monkeypatch.setattr(taking, "obstacles", lambda *_: ())
    monkeypatch.setattr(taking, "stage", lambda *_: None)
    monkeypatch.setattr(ask, "turn", lambda *_: None)
    monkeypatch.setattr(ask, "give_back", lambda _to, _params, word, _record: told.append(word))
    assert not (tmp_path / "var/lib/ipex/generations").exists()

    answer = run.update(updating.world, now=True)

    assert answer["outcome"] == "failed"
    assert "cannot be run: No such file or directory" in answer["failures"][0]["why"]
    assert told == ["failed"]


@pytest.mark.parametrize(
    ("kind", "outcome"), [("stopped", "stopped"), ("serial", "waited"), ("stranger", "waited"), ("unknown", "waited")]
)
def test_a_final_refusal_ends_the_waiting(
    updating: Shop, monkeypatch: pytest.MonkeyPatch, kind: str, outcome: str
) -> None:
    """And nothing is activated."""
    monkeypatch.setattr(offer, "current", lambda *_: updating.publication(5, {"gpu-01": b"one"}))
    monkeypatch.setattr(taking, "obstacles", lambda *_: ())
    monkeypatch.setattr(taking, "stage", lambda *_: None)
    monkeypatch.setattr(taking, "activate", lambda *_: pytest.fail("it changed"))
    monkeypatch.setattr(ask, "turn", lambda *_: Refusal(kind, "gpu-02 failed: it hung"))

    answer = run.update(updating.world, now=True)

    assert answer["outcome"] == outcome
    assert "gpu-02 failed" in answer["failures"][0]["why"]


def test_what_hinders_the_node_is_said_at_once_and_nothing_is_fetched(
    updating: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it."""
    monkeypatch.setattr(offer, "current", lambda *_: updating.publication(5, {"gpu-01": b"one"}))
    monkeypatch.setattr(taking, "obstacles", lambda *_: ("it is quarantined here", "Debian packages are missing"))
    monkeypatch.setattr(taking, "stage", lambda *_: pytest.fail("it fetched"))

    answer = run.update(updating.world, now=True)

    assert answer["outcome"] == "refused"
    assert answer["failures"][0]["why"] == "it is quarantined here; Debian packages are missing"
