"""The commands that break an engine on a node."""

import json
import subprocess
from pathlib import Path

import pytest

from lab import faults


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in place of the node's."""
    monkeypatch.setattr(faults, "DIRECTORY", str(tmp_path / "faults"))
    return tmp_path / "faults"


def test_inflict_writes_what_the_engine_reads(place: Path) -> None:
    """The command leaves the fault, and only it, in the engine's file."""
    subprocess.run(["sh", "-c", faults.inflict("ollama", generate="slow", token_seconds=0.5)], check=True)
    assert [path.name for path in place.iterdir()] == ["ollama.json"]
    assert json.loads((place / "ollama.json").read_text()) == {
        "generate": "slow",
        "start": "none",
        "token_seconds": 0.5,
    }


def test_clear_takes_it_away_and_may_be_repeated(place: Path) -> None:
    """Clearing twice is no error."""
    subprocess.run(["sh", "-c", faults.inflict("comfyui", generate="hang")], check=True)
    for _ in range(2):
        subprocess.run(["sh", "-c", faults.clear("comfyui")], check=True)
    assert list(place.iterdir()) == []
