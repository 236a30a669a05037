"""The optimizer on a running node: in its units' sandboxes, with real systemd, and killed in the middle."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import release
from fleet.flake import Flake
from fleet.release import Evidence, Release, Rule, Soak
from fleet.structure import Structure
from lab.registry import Shelf
from tests.lab_crowd import crowd
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab
from tests.lab_models import STORE, Models, counting_registry, digests, forget

pytestmark = pytest.mark.lab

NODE = Lab().gpus[1]
TUNED = ROOT / "inventory" / "lab.tuned.json"
APPLYING = '''"""The lab's fleet, which takes over what is faster."""

import runpy as _runpy

_base = _runpy.run_path({root!r} + "/inventory/lab.py")
_optimizer = _runpy.run_path({root!r} + "/group_data/lab.py")["optimizer"]
_applying = {{**_optimizer, "tuning": {{**_optimizer["tuning"], "apply": True}}}}
gpu_nodes = [(name, {{**data, "optimizer": _applying}}) for name, data in _base["gpu_nodes"]]
gateways = _base["gateways"]
monitors = _base["monitors"]
'''
RELEASE = Release("1.0.0", "a@example.com", "2026-01-01", Flake("u", "h"), "tool")
RULE = Rule((), environments=("lab",), baseline=True)
HISTORY = "/var/lib/ipex/performance.json"
UNIT = "ollama-ipex.service"
TRIAL = f"/run/systemd/system/{UNIT}.d/ipex-trial.conf"
CACHES = "/var/cache/private/ipex-models"


@pytest.fixture(autouse=True)
def as_before(lab: Lab) -> Iterator[None]:
    """No history before and behind, and no setting on trial."""
    lab.output(NODE, f"rm -f {HISTORY}")
    yield
    lab.output(NODE, f"ipex-node recover && rm -f {HISTORY} && ipex-node optimize caches")


def _parallel(lab: Lab) -> str:
    """The variable as the engine's process has it; empty where it has none."""
    question = f"tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID {UNIT})/environ"
    found = [line for line in lab.output(NODE, question).splitlines() if line.startswith("OLLAMA_NUM_PARALLEL=")]
    return found[0].partition("=")[2] if found else ""


def _answer(lab: Lab, command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.run(NODE, command, 120).stdout.splitlines()[-1])
    return found


def _assert_as_declared(lab: Lab) -> None:
    assert _parallel(lab) == ""
    assert lab.run(NODE, f"test -e {TRIAL} || test -e /run/ipex/trial.json").returncode == 1
    status = lab.status(NODE)
    assert status["drift"] == []
    assert status["rotation"] == {"state": "in", "reason": ""}


@pytest.mark.proof
def test_the_faster_setting_is_found_and_not_left_behind(lab: Lab) -> None:
    """The lab's engine works on one request at a time unless it is told otherwise: four at a time are faster."""
    answer = _answer(lab, "ipex-node optimize tuning")

    assert answer["ok"], answer
    [proposal] = answer["proposals"]
    assert proposal["environment"] == {"OLLAMA_KV_CACHE_TYPE": "f16", "OLLAMA_NUM_PARALLEL": "4"}
    assert proposal["gain"] > 1
    assert [row["declared"] for row in answer["measured"]] == [True, False]
    _assert_as_declared(lab)


def test_its_unit_tunes_in_its_sandbox(lab: Lab) -> None:
    """Started as its timer does it; the figures are there for the agent, which is not root."""
    lab.output(NODE, "systemctl start ipex-optimizer-tuning.service")

    samples = json.loads(
        lab.output(NODE, "setpriv --reuid=65534 --clear-groups cat /var/lib/ipex-optimizer/samples.json")
    )
    values = {(family, labels.get("task")): value for family, labels, value, _ in samples["samples"]}
    assert values["ipex_optimizer_failed", "tuning"] == 0
    assert values["ipex_tuning_gain_ratio", None] > 1
    assert len(json.loads(lab.output(NODE, f"cat {HISTORY}"))) == 2
    _assert_as_declared(lab)


@pytest.mark.proof
def test_killed_in_the_middle_it_leaves_the_declared_setting(lab: Lab) -> None:
    """SIGKILL, while the other setting is on trial: the dead-man timer gives the node back, with nobody's help."""
    lab.output(NODE, "systemd-run --quiet --unit=ipex-test-tuning ipex-node optimize tuning")
    lab.output(NODE, f"timeout 60 sh -c 'until grep -qs NUM_PARALLEL=4 {TRIAL}; do sleep 0.05; done'")
    lab.output(NODE, "systemctl kill --signal=KILL ipex-test-tuning.service")
    on_trial = lab.run(NODE, f"test -e {TRIAL}").returncode == 0

    lab.output(
        NODE, "timeout 60 sh -c 'while [ -e /run/ipex/trial.json ] || [ -e /run/ipex/drain ]; do sleep 0.2; done'"
    )
    lab.output(NODE, "systemctl reset-failed ipex-test-tuning.service || true")

    assert on_trial
    _assert_as_declared(lab)
    lab.output(NODE, "ipex-node probe")


def test_a_slower_release_fails_its_baseline(lab: Lab) -> None:
    """The same figures of another release, twice as fast: what runs now must not be promoted."""
    measured = _answer(lab, "ipex-node optimize tuning --declared")
    assert measured["ok"], measured
    rows = json.loads(lab.output(NODE, f"cat {HISTORY}"))
    before = {**rows[-1], "release": "before", "tokens_per_second": [2 * one for one in rows[-1]["tokens_per_second"]]}
    text = json.dumps([before, *rows])
    lab.output(NODE, f"cat > {HISTORY} <<'EOF'\n{text}\nEOF")

    refused = lab.run(NODE, "ipex-node baseline")

    assert refused.returncode == 1
    [failure] = json.loads(refused.stdout)["failures"]
    assert "slower by more than 10%" in failure["why"]
    said = _evidence()
    assert [one.partition(":")[0] for one in said.slower] == [f"{NODE} ollama"]
    asked = [one.what for one in release.missing(RELEASE, "stable", RULE, Evidence(environments={"lab": said}), 0.0)]
    assert [what for what in asked if what.startswith(f"lab is slower: {NODE} ollama: ")]
    assert lab.status(NODE)["unmeasured"] == []
    lab.output(NODE, f"rm {HISTORY}")
    assert lab.status(NODE)["unmeasured"] == ["ollama"]


def _evidence() -> Soak:
    """What the lab says of the release it runs, as a promotion reads it."""
    command = [str(PYINFRA), "--data", "json=true", str(INVENTORY), "tasks/evidence.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    said: Soak = Structure("evidence").record(Soak, json.loads(done.stdout[done.stdout.index("{") :]), "")
    return said


def _tune(inventory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYINFRA), "-y", *words, str(inventory), "tasks/tune.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)


@pytest.mark.proof
def test_the_task_tunes_one_node_after_the_other_while_users_lose_nothing(lab: Lab) -> None:
    """All propose the same: the change is one of group_data. No node is left with another setting."""
    with crowd(lab, clients=6) as users:
        run = _tune(INVENTORY)

    assert run.returncode == 0, run.stdout + run.stderr
    printed = (run.stdout + run.stderr).splitlines()
    assert [line.split()[0] for line in printed if line.endswith("proposed")] == lab.gpus
    assert '+            "OLLAMA_NUM_PARALLEL": "4",' in printed
    assert users.lost_nothing()
    for node in lab.gpus:
        lab.output(node, f"test ! -e {TRIAL}")
    _assert_as_declared(lab)


@pytest.mark.proof
def test_what_is_faster_is_taken_over_where_the_environment_says_so(lab: Lab, tmp_path: Path) -> None:
    """Deployed, measured again, and kept; without its file the next deploy goes back."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "lab.py").write_text(APPLYING.format(root=str(ROOT)))
    try:
        run = _tune(folder / "lab.py", "--limit", NODE)
        assert run.returncode == 0, run.stdout + run.stderr
        assert json.loads(TUNED.read_text()) == {NODE: {"ollama": {"OLLAMA_NUM_PARALLEL": "4"}}}
        assert _parallel(lab) == "4"
        assert lab.status(NODE)["drift"] == []
    finally:
        TUNED.unlink(missing_ok=True)
        back = lab.deploy("-y", "--limit", NODE)
    assert back.returncode == 0, back.stdout
    _assert_as_declared(lab)


def test_caches_are_there_before_the_engine_and_cleaned_in_the_units_sandbox(lab: Lab) -> None:
    """The engines' directories exist, NEO's among them; an old file goes, a young one and its owner stay."""
    neo = f"{CACHES}/comfyui/neo"
    owner = lab.output(NODE, f"stat -c %u {neo} {CACHES}/comfyui").split()
    lab.output(NODE, f"cd {neo} && echo x > young && echo x > old && touch -d '40 days ago' old")

    lab.output(NODE, "systemctl start ipex-optimizer-caches.service")

    assert owner[0] == owner[1] != "0"
    assert lab.output(NODE, f"ls {neo}") == "young"
    lab.output(NODE, f"rm {neo}/young")


def test_models_are_made_in_the_units_sandbox(lab: Lab) -> None:
    """It reaches Ollama on this node; nothing is declared to be made, and nothing is missing."""
    lab.output(NODE, "systemctl start ipex-optimizer-models.service")

    answer = _answer(lab, "ipex-node optimize models")
    assert answer["ok"], answer
    assert (answer["made"], answer["missing"]) == ({"ollama": []}, {"ollama": []})


@pytest.fixture
def shelf(lab: Lab) -> Iterator[Shelf]:
    """A registry that counts; what it has given goes again."""
    with counting_registry() as found:
        yield found
    forget(lab, lab.gpus)


def test_the_weekly_update_fetches_what_is_missing_and_changes_no_pinned_digest(lab: Lab, shelf: Shelf) -> None:
    """In its unit's sandbox: from a mate, by the locked digest; what upstream has by now is told and stays there."""
    models = Models([])
    models.must("action=lock")
    models.must("action=apply")
    pinned = digests(lab, NODE)["tinyllama:latest"]
    fresh = shelf.publish("library/tinyllama:latest", 120_000)
    blob = lab.output(NODE, f"ls -S {STORE}/blobs/sha256-* | head -1")
    summed = lab.output(NODE, f"stat -c '%u %a' {blob}; sha256sum < {blob}; rm {blob}")
    sent = {digest: shelf.sent[digest] for digest in shelf.blobs}

    lab.output(NODE, "systemctl start ipex-optimizer-models.service")

    assert lab.output(NODE, f"stat -c '%u %a' {blob}; sha256sum < {blob}") == summed
    assert digests(lab, NODE)["tinyllama:latest"] == pinned != fresh
    assert {digest: shelf.sent[digest] for digest in shelf.blobs} == sent
    answer = _answer(lab, "ipex-node optimize models")
    assert answer["newer"] == {"ollama/tinyllama": fresh}
    assert (answer["ok"], answer["locked"], answer["fetched_bytes"]) == (True, 1, 0)
