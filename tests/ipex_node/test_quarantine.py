"""What a node remembers of generations: those that failed, those to go back to, those to forget."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipex_node import activation, steps
from ipex_node.changes import Changes
from ipex_node.failure import FailedError, failed
from ipex_node.manifest import Probe
from tests.ipex_node.fake_node import OLLAMA, FakeNode, files

Bundle = Callable[..., Path]
SEED = "/etc/ipex/seed"


def sick_when_new(node: FakeNode) -> Callable[[Probe, float], None]:
    """Return a check that fails for the second version of Ollama only."""

    def check(probe: Probe, _deadline: float) -> None:
        if node.on(f"/etc/systemd/system/{OLLAMA}").read_text() == "ollama 2":
            raise failed(probe.unit, "does not generate")

    return check


@pytest.fixture
def quarantined(node: FakeNode, served: str, make: Bundle) -> str:
    """A generation that failed its probe."""
    new = node.stage(make(files("2"), "2"))
    status, answer = activation.activate(node.world, new, sick_when_new(node))
    assert (status, answer["rolled_back"], node.status()["generation"]) == (1, True, served)
    return new


def test_failed_generation_is_refused(node: FakeNode, quarantined: str) -> None:
    """What failed here is not tried again by accident; the refusal says why, since when, and what to do."""
    with pytest.raises(FailedError, match=rf"{quarantined}: is quarantined .* since 20.*does not generate.*--force"):
        node.activate(quarantined)
    assert node.status()["quarantined"][quarantined]["why"] == f"{OLLAMA}: does not generate"


def test_staging_again_keeps_the_quarantine(node: FakeNode, make: Bundle, quarantined: str) -> None:
    """The same generation stays what it is."""
    assert node.stage(make(files("2"), "2")) == quarantined
    assert quarantined in node.status()["quarantined"]


def test_forced_success_lifts_it(node: FakeNode, quarantined: str) -> None:
    """Whoever forces it, and is right, has ended the quarantine."""
    status, _ = activation.activate(node.world, quarantined, node.check, force=True)
    assert (status, node.status()["generation"]) == (0, quarantined)
    assert node.status()["quarantined"] == {}


@pytest.mark.parametrize("step", ["remember", "install", "switch", "commit"])
def test_bad_luck_is_no_quarantine(
    node: FakeNode, served: str, make: Bundle, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk says nothing about the generation."""

    def full(_: Changes) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Changes, step, full)
    assert node.activate(node.stage(make(files("2"), "2")))[0] == 1
    assert node.status()["quarantined"] == {}
    assert served


def test_sick_node_is_no_quarantine(node: FakeNode, served: str, make: Bundle) -> None:
    """Where the old generation does not work any more either, the node is to blame."""
    node.sick = {OLLAMA}
    assert node.activate(node.stage(make(files("2"), "2")))[0] == 2
    assert node.status()["quarantined"] == {}
    assert served


def test_serving_generation_is_never_quarantined(node: FakeNode, served: str) -> None:
    """Mending drift may fail; what serves is not refused for it."""
    node.on(f"/etc/systemd/system/{OLLAMA}").write_text("edited")
    node.sick = {OLLAMA}
    assert node.activate(served)[0] == 2
    assert node.status()["quarantined"] == {}


def test_refused_files_are_quarantined(node: FakeNode, served: str, make: Bundle) -> None:
    """What a validator refuses today it refuses tomorrow."""
    bad = node.stage(make(files("2") | {"/etc/ipex/node.json": "bad"}, "2"))
    assert node.activate(bad)[0] == 1
    assert bad in node.status()["quarantined"]
    assert served


def test_rollback_goes_to_the_previous_generation(node: FakeNode, served: str, make: Bundle) -> None:
    """And back again: what is left behind is not quarantined."""
    new = node.stage(make(files("2"), "2"))
    node.activate(new)
    for wanted in (served, new):
        status, answer = activation.rollback(node.world, None, node.check)
        assert (status, answer["to"]) == (0, wanted)
    assert node.status()["quarantined"] == {}


def test_rollback_without_a_previous_generation(node: FakeNode, served: str) -> None:
    """There is nothing to go back to, and that is said."""
    with pytest.raises(FailedError, match="no previous generation"):
        activation.rollback(node.world, None, node.check)
    assert served


def test_old_generations_are_forgotten(node: FakeNode, make: Bundle) -> None:
    """Current, previous and the newest three stay; what was quarantined stays on record."""
    serving = node.stage(make())
    assert node.activate(serving)[0] == 0
    made = []
    for number in range(2, 9):
        made.append(node.stage(make(files(str(number)), str(number))))
        os.utime(node.on(f"/var/lib/ipex/generations/{made[-1]}"), (number, number))
    assert node.activate(made[0])[0] == 0
    assert set(node.status()["staged"]) == {serving, made[0], *made[-steps.KEPT :]}


def seeded(make: Bundle, text: str, version: str = "1") -> Path:
    """Make a bundle with a seed."""

    def change(raw: dict[str, Any]) -> None:
        raw["files"][SEED]["seed"] = True

    return make(files(version, seed=text), version, change)


def test_grown_seed_is_no_drift(node: FakeNode, make: Bundle) -> None:
    """Another program writes it, gives it away and changes its mode: nothing to mend."""
    identity = node.stage(seeded(make, "seed"))
    node.activate(identity)
    node.on(SEED).write_text("grown")
    node.on(SEED).chmod(0o600)
    assert node.status()["drift"] == []
    assert not node.activate(identity)[1]["changed"]
    assert node.on(SEED).read_text() == "grown"


def test_missing_seed_is_sown_again(node: FakeNode, make: Bundle) -> None:
    """A seed must be there."""
    identity = node.stage(seeded(make, "seed"))
    node.activate(identity)
    node.on(SEED).unlink()
    assert node.status()["drift"] == [{"what": "file", "name": SEED, "why": "missing"}]
    node.activate(identity)
    assert node.on(SEED).read_text() == "seed"


@pytest.mark.parametrize(("declared", "found"), [("seed", "grown"), ("another", "another")])
def test_seed_declared_anew_replaces_what_has_grown(node: FakeNode, make: Bundle, declared: str, found: str) -> None:
    """A new generation sows only where its seed is another one."""
    node.activate(node.stage(seeded(make, "seed")))
    node.on(SEED).write_text("grown")
    assert node.activate(node.stage(seeded(make, declared, "2")))[0] == 0
    assert node.on(SEED).read_text() == found


def test_grown_seed_comes_back_with_a_rollback(node: FakeNode, make: Bundle) -> None:
    """What had grown is what is put back."""
    node.activate(node.stage(seeded(make, "seed")))
    node.on(SEED).write_text("grown")
    activation.activate(node.world, node.stage(seeded(make, "another", "2")), sick_when_new(node))
    assert node.on(SEED).read_text() == "grown"
