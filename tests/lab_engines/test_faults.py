"""The commands that break an engine on a node."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipex_node.health import kernel
from lab import faults, pin


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


def test_the_kernel_says_one_new_record_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is a record that the monitor understands, each behind the one before."""
    log = tmp_path / "kmsg"
    monkeypatch.setattr(faults, "KERNEL_LOG", str(log))
    for _ in range(2):
        text = "xe 0000:03:00.0: [drm] Tile0: GT0: Timedout job: it's 100 %s"
        subprocess.run(["sh", "-c", faults.kernel_says(text)], check=True)
    events, last = kernel.read(log, -1)
    assert ([(event.sequence, event.text) for event in events], last) == ([(0, text), (1, text)], 1)


@pytest.mark.parametrize(("engine", "words"), [("ollama", ["serve"]), ("comfyui", [])])
def test_a_revision_may_be_born_broken(tmp_path: Path, engine: str, words: list[str]) -> None:
    """An engine of a revision whose name asks for that does not start, without a fault on the node."""
    tree = tmp_path / "flake"
    shutil.copytree(pin.FLAKE, tree)
    (tree / "version").write_text(f"2-{engine}-exit\n")
    program = tree / f"{engine}-ipex" / "bin" / engine
    environment = {**os.environ, "HOME": str(tmp_path), "IPEX_LAB_FAULTS": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, program, *words], env=environment, capture_output=True, text=True, check=False, timeout=20
    )

    assert done.returncode == 1
    assert "LOST" in done.stderr.upper()
