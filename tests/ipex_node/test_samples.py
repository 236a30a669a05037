"""Numbers on their way from a unit that measures to the agent."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipex_node import samples
from ipex_node.exposition import text
from ipex_node.samples import Sample

ROWS = {"x": {"kind": "gauge", "help": "x"}}


@pytest.fixture
def _sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_sigterm")
def test_moments_do_not_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every seven seconds, whatever a look takes; after one that took longer, at once, and on from there."""
    now, pauses, looks = [100.0], list[float](), iter((2.0, 3.0, 16.0, 1.0))

    def measure() -> list[Sample]:
        now[0] += next(looks)
        return [Sample("x", {}, now[0])]

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds
        if len(pauses) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", pause)
    samples.keep(tmp_path / "samples.json", measure, 7)

    assert pauses == [5, 4, 0, 6]
    assert samples.read(tmp_path / "samples.json", 60) == [Sample("x", {}, 131.0)]


@pytest.mark.parametrize(
    "row",
    [
        '["x", {"a": "\\ud800"}, 1, ""]',
        '["x", {"a} 1\\ny": "b"}, 1, ""]',
        '["x", {}, 1, "\\ny 1"]',
        f'["x", {{}}, 1{"0" * 400}, ""]',
        "[" * 100_000,
    ],
    ids=["surrogate", "label", "suffix", "beyond-all-numbers", "deep"],
)
def test_no_file_breaks_the_page(tmp_path: Path, row: str) -> None:
    """Whatever a unit leaves: it is silent then, and the rest of the page can be sent and read."""
    path = tmp_path / "samples.json"
    path.write_text(f'{{"time": {time.time()}, "samples": [{row}]}}')
    assert samples.read(path, 60) is None


def test_a_time_beyond_all_numbers_is_silence(tmp_path: Path) -> None:
    """As any other that is not now."""
    path = tmp_path / "samples.json"
    path.write_text(f'{{"time": 1{"0" * 400}, "samples": []}}')
    assert samples.read(path, 60) is None


def test_what_was_left_is_a_page(tmp_path: Path) -> None:
    """Whole numbers stay whole."""
    path = tmp_path / "samples.json"
    samples.write(path, [Sample("x", {"a": "b"}, 3)])
    assert 'x{a="b"} 3\n' in text(samples.read(path, 60) or (), ROWS)
