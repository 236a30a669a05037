"""The history of rollouts: what was changed in it, shows."""

from pathlib import Path

import pytest

from ipex_node import record
from ipex_node.failure import FailedError
from tools import rollouts


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Three rollouts."""
    path = tmp_path / "state" / "rollouts.jsonl"
    for number in range(3):
        record.append(path, f'{{"who": "ann", "number": {number}, "seconds": 1.5}}')
    return path


def test_each_record_names_the_one_before(history: Path) -> None:
    """The chain begins with zeros and leads from digest to digest."""
    records = record.read(history)

    assert [one["previous"] for one in records] == [record.BEGINNING, *(one["digest"] for one in records[:-1])]
    assert record.verify(history)["digest"] == records[-1]["digest"]


def test_every_flipped_bit_is_found(history: Path) -> None:
    """Whichever byte of whichever record is changed, verify says so."""
    whole = history.read_bytes()
    for place in range(len(whole) - 1):
        history.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(FailedError):
            record.verify(history)


@pytest.mark.parametrize("kept", [[1, 2], [0, 2], [0, 2, 1], [0, 1, 1, 2]], ids=["first", "middle", "order", "twice"])
def test_lines_removed_moved_or_repeated_are_found(history: Path, kept: list[int]) -> None:
    """A line that does not follow the one before it breaks the chain."""
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(lines[number] for number in kept))

    with pytest.raises(FailedError, match="does not follow"):
        record.verify(history)


def test_a_half_written_line_is_reported_and_does_not_stop_the_next(history: Path) -> None:
    """After a power cut in the middle of a line the chain goes on behind it, and verify names that line only."""
    with history.open("ab") as file:
        file.write(b'{"who": "an')
    record.append(history, '{"who": "bob"}')

    with pytest.raises(FailedError) as broken:
        record.verify(history)
    assert [failure.what for failure in broken.value.failures] == [f"{history} line 4"]
    assert record.read(history)[-1]["who"] == "bob"


def test_what_is_no_object_is_refused(history: Path) -> None:
    """A list is no record, and the history stays as it was."""
    before = history.read_bytes()

    with pytest.raises(FailedError, match="no JSON object"):
        record.append(history, "[]")
    assert history.read_bytes() == before


def test_the_tool_lists_and_checks(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Python -m tools.rollouts --verify ends with 1 once a byte is flipped, and names the line."""
    whole = rollouts.main(["--file", str(history), "--verify"])
    history.write_bytes(history.read_bytes().replace(b'"number":1', b'"number":7'))
    broken = rollouts.main(["--file", str(history), "--verify"])

    said = capsys.readouterr()
    assert (whole, broken) == (0, 1)
    assert "3 records" in said.out
    assert "line 2: was changed: its digest does not fit" in said.err
