"""Settings that tunings have found: as a change of data, and laid over the data."""

import ast
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import load, tuned
from fleet.channels import ROOT
from fleet.optimizer import DEFAULTS

DATA = "group_data/gpu_nodes.py"
SETTINGS = st.dictionaries(
    st.sampled_from(sorted({*DEFAULTS, "OLLAMA_MAX_QUEUE"})), st.from_regex(r"[a-z0-9_.-]+", fullmatch=True), min_size=1
)


def _environment(text: str) -> dict[str, str]:
    [services] = [
        item.value
        for item in ast.parse(text).body
        if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "services"
    ]
    found: dict[str, str] = ast.literal_eval(services)["ollama"]["environment"]
    return found


@given(setting=SETTINGS)
@settings(max_examples=20, deadline=None)
def test_the_change_is_one_that_git_takes(setting: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Applied to the real file, the environment has the setting, and nothing else is another."""
    folder = tmp_path_factory.mktemp("data")
    text = (ROOT / DATA).read_text()
    (folder / "group_data").mkdir()
    (folder / DATA).write_text(text)

    change = tuned.diff(text, DATA, "ollama", setting)
    command = ["git", "apply", "-"] if change else ["true"]
    subprocess.run(command, input=change, text=True, check=True, cwd=folder)

    after = (folder / DATA).read_text()
    assert _environment(after) == {**_environment(text), **setting}
    lines = [set(one.splitlines()) for one in (text, after)]
    assert len(lines[0] - lines[1]) <= len(setting)


def test_a_file_that_writes_it_otherwise_is_said_to() -> None:
    """Then a person must write it."""
    with pytest.raises(ValueError, match="services is not written out"):
        tuned.diff("services = other()", "x.py", "ollama", {"OLLAMA_NUM_PARALLEL": "4"})
    with pytest.raises(ValueError, match="environment is not written out"):
        tuned.diff('services = {"ollama": {}}', "x.py", "ollama", {"OLLAMA_NUM_PARALLEL": "4"})


def test_a_change_for_all_needs_the_same_of_each() -> None:
    """One node without a proposal, or with another, is none of all."""
    four = {"OLLAMA_NUM_PARALLEL": "4"}
    both = {"gpu-01": {"ollama": four}, "gpu-02": {"ollama": four}}
    asked = [("gpu-01", "ollama"), ("gpu-02", "ollama")]

    assert tuned.for_all(both, asked) == {"ollama": four}
    assert tuned.for_all({"gpu-01": {"ollama": four}}, asked) == {}
    assert tuned.for_all({**both, "gpu-02": {"ollama": {"OLLAMA_NUM_PARALLEL": "2"}}}, asked) == {}


def test_what_is_written_is_read_again_and_laid_over_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One node has it, the others have what data declare."""
    monkeypatch.setattr(tuned, "place", lambda environment: tmp_path / f"{environment}.tuned.json")
    found = tuned.merged({}, {"gpu-02": {"ollama": {"OLLAMA_NUM_PARALLEL": "4"}}})
    (tmp_path / "example.tuned.json").write_text(tuned.dump(found))

    fleet = load.from_file("inventory/example.py")

    assert tuned.read(tmp_path / "example.tuned.json") == found
    values = {
        node.name: next(one.environment.get("OLLAMA_NUM_PARALLEL") for one in node.services if one.name == "ollama")
        for node in fleet.with_role("gpu_nodes")
    }
    assert values == {"gpu-01": None, "gpu-02": "4", "gpu-03": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"gpu-02": {"ollama": {"LD_PRELOAD": "x"}}}', "is nothing that is tuned"),
        ('{"gpu-02": {"ollama": {"OLLAMA_NUM_PARALLEL": "4 5"}}}', "is nothing that is tuned"),
        ('{"gpu-02": {"olama": {"OLLAMA_NUM_PARALLEL": "4"}}}', "has no service olama"),
        ('{"gpu-09": {"ollama": {"OLLAMA_NUM_PARALLEL": "4"}}}', "gpu-09 is no node of the inventory"),
        ("[]", "no mapping"),
        ("{", "Expecting"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: str
) -> None:
    """With its name and a cure, before a node is contacted."""
    monkeypatch.setattr(tuned, "place", lambda environment: tmp_path / f"{environment}.tuned.json")
    (tmp_path / "example.tuned.json").write_text(text)

    with pytest.raises(load.RefusedError, match=said):
        load.from_file("inventory/example.py")
