"""The runner of a transaction's steps, without a node: what it writes down, and what it leaves as it was."""

import dataclasses
import json
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from ipex_node import transaction
from ipex_node.transaction import Journal, Outcome, Step

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An open journal."""
    opened = Journal(tmp_path / "journal.json")
    opened.begin(generation="new")
    return opened


def _broken() -> str:
    raise OSError("the disk is gone")


def _clock(monkeypatch: pytest.MonkeyPatch, *moments: float) -> None:
    ticks = iter(moments)
    monkeypatch.setattr(transaction, "time", SimpleNamespace(monotonic=lambda: next(ticks), time=lambda: 1000.12345))


def test_a_step_s_time_is_told_in_milliseconds(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its own beginning to its own end, done or undone."""
    _clock(monkeypatch, 10.0, 12.34567, 20.0, 20.5, 30.0, 31.23456)
    steps = [Step("first", lambda: "", lambda: None), Step("second", _broken)]

    outcome = transaction.run(steps, journal)

    times = {step["name"]: step["seconds"] for step in outcome.steps}
    assert times == {"first": 2.346, "second": 0.5, "undo: first": 1.235}


def test_an_event_s_moment_is_told_in_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finer than a step, and short enough to be read."""
    _clock(monkeypatch)
    journal = Journal(tmp_path / "journal.json")
    journal.begin()

    assert json.loads((tmp_path / "journal.json").read_text())["time"] == 1000.123


def test_signals_mean_again_what_they_meant(journal: Journal) -> None:
    """After a transaction, done or undone, each has the handler it had."""
    before = [signal.getsignal(number) for number in _SIGNALS]

    transaction.run([Step("one", lambda: "", lambda: None), Step("two", _broken)], journal)
    transaction.close([Step("three", lambda: "")], journal, Outcome())

    assert [signal.getsignal(number) for number in _SIGNALS] == before


def test_what_follows_the_commit_is_tried_to_its_end(journal: Journal) -> None:
    """A step that fails there keeps no other from being done, and takes nothing back."""
    done: list[str] = []
    outcome = Outcome()

    def lift() -> str:
        done.append("lift")
        return ""

    transaction.close([Step("prune", _broken), Step("lift", lift)], journal, outcome)

    assert done == ["lift"]
    assert outcome.failures == []
    assert [step["detail"] for step in outcome.steps] == ["failed: the disk is gone", ""]


def test_a_line_that_was_cut_off_announces_nothing(journal: Journal, tmp_path: Path) -> None:
    """The power went while it was written: the step was not begun, all before it was."""
    journal.write("do", step="install files")
    with (tmp_path / "journal.json").open("a") as file:
        file.write('{"event": "do", "st')

    assert [event["event"] for event in journal.unfinished()] == ["begin", "do"]


def test_a_step_is_what_it_was_written_as() -> None:
    """Recovery undoes by the same list."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Step("one", lambda: "").name = "two"  # type: ignore[misc]
