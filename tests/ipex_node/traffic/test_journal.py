"""Following the journal."""

import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ipex_node.traffic import journal
from ipex_node.traffic.journal import Journal, read

UNIT = "ollama-ipex.service"


def entry(message: object, cursor: object = "s=1;i=2", unit: object = UNIT) -> bytes:
    """One line as `journalctl --output=json` writes it."""
    return json.dumps({"__CURSOR": cursor, "_SYSTEMD_UNIT": unit, "MESSAGE": message}).encode() + b"\n"


class Journalctl:
    """Answers in turn and remembers what it was asked."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.places: list[str] = []

    def read(self, command: Sequence[str]) -> bytes | None:
        """Stand for journalctl."""
        self.places.append(next(word for word in command if word.startswith(("--since", "--after-cursor"))))
        return self.answers.pop(0)


def test_goes_on_where_it_was() -> None:
    """From its own beginning, then behind the last entry, be it of use or not."""
    journalctl = Journalctl(entry("a", "c1") + entry(None, "c2"), b"", entry("b", "c3"))
    journal = Journal([UNIT], journalctl.read)
    assert [journal.new(), journal.new(), journal.new()] == [[(UNIT, "a")], [], [(UNIT, "b")]]
    assert journalctl.places[0].startswith("--since=@")
    assert journalctl.places[1:] == ["--after-cursor=c2", "--after-cursor=c2"]


def test_a_journal_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again from the moment of its last answer: nothing is counted twice."""
    monkeypatch.setattr(time, "time", lambda: 1000.5)
    journalctl = Journalctl(entry("a", "c1"), None, entry("b"))
    journal = Journal([UNIT], journalctl.read)
    assert [journal.new(), journal.new(), journal.new()] == [[(UNIT, "a")], None, [(UNIT, "b")]]
    assert journalctl.places == ["--since=@1001", "--after-cursor=c1", "--since=@1001"]


def test_a_cut_line_is_read_whole_the_next_time() -> None:
    """What the limit has cut off is behind the cursor."""
    whole = entry("b", "c2")
    journalctl = Journalctl(entry("a", "c1") + whole[:-9], whole)
    journal = Journal([UNIT], journalctl.read)
    assert [journal.new(), journal.new()] == [[(UNIT, "a")], [(UNIT, "b")]]
    assert journalctl.places[1] == "--after-cursor=c1"


def test_without_units_nobody_is_asked() -> None:
    """Without a match journalctl would give everything."""
    assert Journal([], Journalctl().read).new() == []


def test_reading_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that fails, is missing, hangs or says too much."""
    monkeypatch.setattr(journal, "_LIMIT", 1000)
    assert read(["echo", "x"]) == b"x\n"
    assert read(["yes"]) == b"y\n" * 500
    assert read(["false"]) is None
    assert read(["/nowhere"]) is None
    monkeypatch.setattr(journal, "_SECONDS", 0.1)
    begin = time.monotonic()
    assert read(["sleep", "60"]) is None
    assert time.monotonic() - begin < 5


@pytest.mark.skipif(not shutil.which("journalctl"), reason="there is no journalctl on this machine")
def test_journalctl_understands_the_question(tmp_path: Path) -> None:
    """The real program takes every option, on a journal without entries, and refuses one that it does not know."""
    commands: list[Sequence[str]] = []
    Journal([UNIT], commands.append).new()
    assert read([*commands[0], f"--directory={tmp_path}"]) == b""
    assert read([*commands[0], f"--directory={tmp_path}", "--unknown"]) is None


def test_no_garbage_escapes() -> None:
    """Five thousand damaged answers."""
    dice = random.Random(16)  # noqa: S311 - a repeatable test
    good = entry("a", "c1") + entry([1, 2], 5, None) + entry({}, "c2") + b"[]\n" + b"[" * 5000 + b"\n"
    for _ in range(5_000):
        answer = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            answer[dice.randrange(len(answer))] = dice.randrange(256)
        journal = Journal([UNIT], Journalctl(bytes(answer)).read)
        assert all(isinstance(unit, str) and isinstance(text, str) for unit, text in journal.new() or ())
