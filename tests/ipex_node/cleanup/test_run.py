"""`ipex-node cleanup`, on a fake node with real files and a fake Nix store."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipex_node import files as real_files
from ipex_node import samples, store
from ipex_node.__main__ import main
from ipex_node.cleanup import outputs
from ipex_node.cleanup.run import cleanup
from tests.ipex_node.cleanup.fake_store import FakeStore
from tests.ipex_node.fake_node import PROFILE, SERVICE, SETTINGS, FakeNode, files
from tests.ipex_node.tiny_server import Handler, Server, running

Bundle = Callable[..., Path]
OUTPUT = "/var/lib/private/comfyui/output"
LIMITS = {"outputs": ["comfyui/output", "comfyui/temp"], "outputs_days": 30, "staged_days": 2, "rest_seconds": 3600}


def _age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then), follow_symlinks=False)


def _output(node: FakeNode, name: str, days: float) -> Path:
    path = node.on(f"{OUTPUT}/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 4096)
    _age(path, days)
    return path


def _settings(port: int = 1) -> str:
    service = {**SERVICE, "model": "tinyllama", "port": port}
    return json.dumps({**SETTINGS, "services": [service], "cleanup": LIMITS})


@pytest.fixture
def ollama() -> Iterator[Server]:
    """An Ollama with a declared model and two others."""
    models = [{"name": name, "size": size} for name, size in (("tinyllama:latest", 6), ("big:70b", 40), ("old:1b", 1))]

    def tags(handler: Handler) -> None:
        handler.say(200, {"models": models})

    def delete(handler: Handler) -> None:
        name = handler.server.bodies[-1]["model"]
        models[:] = [one for one in models if one["name"] != name]
        handler.say(200, {})

    with running() as server:
        server.answers = {"GET /api/tags": tags, "DELETE /api/delete": delete}
        yield server


@pytest.fixture
def nix(node: FakeNode, make: Bundle, ollama: Server) -> FakeStore:
    """A node that has had four generations: the last two serve, all were staged long ago."""
    for number in "1234":
        contents = files(number) | {"/etc/ipex/node.json": _settings(ollama.server_port)}
        identity = node.stage(make(contents, number))
        assert node.activate(identity)[0] == 0
        _age(node.on(f"/var/lib/ipex/generations/{identity}"), 10)
    fake = FakeStore(node)
    for path in node.on("/nix/store").iterdir():
        shared = fake.needs.setdefault(str(path), [])
        if not shared:
            (path / "content").write_bytes(b"x" * 4096)
    return fake


def _links(node: FakeNode) -> list[str]:
    return sorted(path.name for path in node.on("/nix/var/nix/profiles/ipex").iterdir())


def _kept(nix: FakeStore) -> set[str | None]:
    paths = nix.node.world.paths
    return {store.linked(paths.current), store.linked(paths.previous)}


def _left(nix: FakeStore) -> set[str]:
    return {path.name for path in nix.node.world.paths.generations.iterdir()}


def test_what_nothing_needs_goes_and_what_serves_stays(nix: FakeStore) -> None:
    """Generations, their profiles' generations and closures, garbage, old outputs and leftovers: old ones go."""
    node = nix.node
    shared = nix.add("shared")
    for path in nix.names() - {"shared"}:
        nix.needs[str(node.on("/nix/store") / path)] = [shared]
    nix.add("garbage")
    old, young = _output(node, "old.png", 31), _output(node, "young.png", 29)
    leftover = node.on("/var/lib/ipex/incoming.abc")
    (leftover / "root").mkdir(parents=True)
    _age(leftover, 3)

    answer = cleanup(nix.world)

    assert answer["ok"], answer
    assert _left(nix) == _kept(nix)
    assert _links(node) == ["ollama-ipex", "ollama-ipex-3-link", "ollama-ipex-4-link"]
    assert len(nix.names()) == 3
    assert "shared" in nix.names()
    assert (old.exists(), young.exists(), leftover.exists()) == (False, True, False)
    assert answer["freed_bytes"] == answer["planned_bytes"] > 0
    assert node.activate(str(store.linked(node.world.paths.previous)))[1]["ok"]


def test_dry_and_real_name_the_same(nix: FakeStore) -> None:
    """The plan is made once; dry removes nothing and leaves no number."""
    _output(nix.node, "old.png", 31)
    nix.add("garbage")
    before = nix.node.snapshot(), nix.names()

    dry = cleanup(nix.world, dry=True)
    assert (nix.node.snapshot(), nix.names()) == before
    assert not nix.node.world.paths.samples("cleanup").exists()
    real = cleanup(nix.world)

    assert dry["items"] == real["items"]
    assert dry["planned_bytes"] == real["planned_bytes"]
    assert {item["kind"] for item in dry["items"]} == {"generation", "profile generation", "output", "store"}
    assert (dry["dry"], dry["freed_bytes"], real["dry"]) == (True, 0, False)
    again = cleanup(nix.world)
    assert (again["items"], again["freed_bytes"]) == ([], 0)


def test_a_pinned_generation_outlives_cleanups_and_activations(nix: FakeStore, make: Bundle) -> None:
    """A pin holds a generation with its closure against both ways in which generations go."""
    node, paths = nix.node, nix.node.world.paths
    pinned = min(_left(nix) - _kept(nix))
    assert main(["pin", pinned], nix.world) == 0

    assert cleanup(nix.world)["ok"]
    assert _left(nix) == _kept(nix) | {pinned}
    for number in "56789":
        node.activate(node.stage(make(files(number), number)))
    assert pinned in _left(nix)
    assert Path(store.closures(paths, pinned)[PROFILE]).exists()

    assert main(["unpin", pinned], nix.world) == 0
    assert store.pinned(paths) == []


@pytest.mark.parametrize("words", [["pin", "0123456789abcdef"], ["unpin", "../current"]])
def test_what_is_not_there_is_not_pinned(nix: FakeStore, words: list[str]) -> None:
    """A mistyped generation is refused, and nothing else is touched."""
    assert main(words, nix.world) == 1
    assert nix.node.world.paths.current.is_symlink()


def test_a_generation_that_is_staged_again_is_young(nix: FakeStore, make: Bundle) -> None:
    """A rollout that stages what the node has already may be about to activate it."""
    node = nix.node
    identity = node.stage(make(files("1") | {"/etc/ipex/node.json": _settings(1)}, "1"))
    _age(node.on(f"/var/lib/ipex/generations/{identity}"), 10)
    assert identity == node.stage(make(files("1") | {"/etc/ipex/node.json": _settings(1)}, "1"))

    cleanup(nix.world)

    assert identity in _left(nix)


def test_a_damaged_current_generation_keeps_everything_of_nix(nix: FakeStore) -> None:
    """Where it is not known what the node needs, no profile loses a generation."""
    current = store.linked(nix.node.world.paths.current)
    nix.node.on(f"/var/lib/ipex/generations/{current}/closures.json").unlink()
    before = _links(nix.node)

    answer = cleanup(nix.world)

    assert _links(nix.node) == before
    assert any(f"generation {current} cannot be read" in item["why"] for item in answer["kept"])


def test_a_locked_node_is_left_alone(nix: FakeStore, capsys: pytest.CaptureFixture[str]) -> None:
    """While somebody changes the node nothing goes, and that is no failure."""
    _output(nix.node, "old.png", 31)
    before = nix.node.snapshot()

    with store.locked(nix.node.world.paths, "activate 0123"):
        assert main(["cleanup", "--json"], nix.world) == 0

    answer = json.loads(capsys.readouterr().out)
    assert "activate 0123" in answer["nothing_done"]
    assert nix.node.snapshot() == before
    assert nix.node.on(f"{OUTPUT}/old.png").exists()


def test_a_change_that_was_cut_off_is_ended_first(nix: FakeStore) -> None:
    """The way back of a transaction may need what no link names any more."""
    journal = nix.node.world.paths.journal
    journal.write_text('{"event": "begin", "from": "a", "to": "b"}\n')
    before = nix.node.snapshot()

    answer = cleanup(nix.world)

    assert "recover" in answer["nothing_done"]
    assert nix.node.snapshot() == before


def test_a_generation_that_was_activated_since_the_plan_stays(nix: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the plan and the lock a transaction makes an old generation current: it stays, with its closure."""
    node = nix.node
    old = min(_left(nix) - _kept(nix))
    locked = store.locked

    def late(*words: Any) -> Any:
        monkeypatch.setattr(store, "locked", locked)
        assert node.activate(old)[1]["ok"]
        return locked(*words)

    monkeypatch.setattr(store, "locked", late)
    cleanup(nix.world)

    assert old == store.linked(node.world.paths.current)
    assert not node.status()["drift"]
    assert Path(store.closures(node.world.paths, old)[PROFILE]).exists()


def test_what_the_plan_did_not_name_stays(nix: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has come between the plan and the lock was told to nobody, and waits for the next run."""
    told = _output(nix.node, "told.png", 31)
    locked = store.locked

    def late(*words: Any) -> Any:
        _output(nix.node, "late.png", 31)
        return locked(*words)

    monkeypatch.setattr(store, "locked", late)
    cleanup(nix.world)

    assert not told.exists()
    assert nix.node.on(f"{OUTPUT}/late.png").exists()


def test_the_lock_is_not_held_while_many_files_are_looked_at_and_go(
    nix: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With idle I/O that takes minutes, in which no deploy could begin; what a deploy needs goes under the lock."""
    old = _output(nix.node, "old.png", 31)
    paths, seen = nix.node.world.paths, set[tuple[str, bool]]()

    def watched(module: Any, name: str) -> None:
        real = getattr(module, name)

        def watch(*words: Any) -> Any:
            seen.add((name, store.is_locked(paths)))
            return real(*words)

        monkeypatch.setattr(module, name, watch)

    watched(outputs, "listed")
    watched(outputs, "remove")
    watched(real_files, "remove_tree")
    assert cleanup(nix.world)["ok"]

    assert not old.exists()
    assert seen == {("listed", False), ("remove", False), ("remove_tree", True)}


@pytest.mark.parametrize(
    ("clock", "goes"), [("/run/systemd/timesync/synchronized", True), ("/run/systemd/container", True), ("", False)]
)
def test_a_machine_that_boots_with_its_clock_ahead_keeps_its_files(nix: FakeStore, clock: str, goes: bool) -> None:
    """Alone, no file goes for its age unless something keeps the clock; what bears no age of people's files goes."""
    old, first = _output(nix.node, "old.png", 31), min(_left(nix) - _kept(nix))
    if clock:
        nix.node.on(clock).parent.mkdir(parents=True)
        nix.node.on(clock).touch()

    answer = cleanup(nix.world, unattended=True)

    assert old.exists() != goes
    assert any("clock" in item["why"] for item in answer["kept"]) != goes
    assert first not in _left(nix)
    assert cleanup(nix.world)["ok"]
    assert not old.exists()


def test_a_retired_service_gives_its_closure_back(nix: FakeStore) -> None:
    """A profile that no kept generation has goes whole; the profile never leads nowhere."""
    whisper = nix.add("whisper")
    profiles = nix.node.on("/nix/var/nix/profiles/ipex")
    (profiles / "whisper-ipex-7-link").symlink_to(whisper)
    (profiles / "whisper-ipex").symlink_to("whisper-ipex-7-link")

    assert cleanup(nix.world)["ok"]

    assert not [name for name in _links(nix.node) if name.startswith("whisper")]
    assert "whisper" not in nix.names()


def test_undeclared_models_are_told_and_stay(nix: FakeStore, ollama: Server) -> None:
    """Without --models no model is removed, and each stands there with its size."""
    answer = cleanup(nix.world)

    models = {item["name"]: (item["bytes"], item["why"]) for item in answer["kept"] if item["kind"] == "model"}
    assert models["tinyllama:latest"] == (6, "declared")
    assert models["big:70b"] == (40, "not declared; to remove it: ipex-node cleanup --models big:70b")
    assert "DELETE /api/delete" not in [question for question, _ in ollama.seen]


def test_a_named_model_is_removed_by_its_engine(nix: FakeStore, ollama: Server) -> None:
    """The engine is asked to remove it; what is declared, or not there, is a failure beside it."""
    answer = cleanup(nix.world, ["big:70b", "tinyllama", "nonsense"])

    assert ollama.bodies[-1] == {"model": "big:70b"}
    assert [question for question, _ in ollama.seen].count("DELETE /api/delete") == 1
    assert answer["freed_bytes"] >= 40
    assert [one["what"] for one in answer["failures"]] == ["model tinyllama", "model nonsense"]


def test_an_engine_that_is_down_keeps_its_models_only(nix: FakeStore, ollama: Server) -> None:
    """What needs no engine goes all the same, and the silence is a failure."""
    ollama.answers.clear()
    old = _output(nix.node, "old.png", 31)

    answer = cleanup(nix.world)

    assert not answer["ok"]
    assert "/api/tags" in answer["failures"][0]["what"]
    assert not old.exists()


def test_a_nix_that_fails_keeps_its_store_only(nix: FakeStore) -> None:
    """What needs no Nix goes all the same, and the failure says what to look at."""
    nix.broken = True
    old = _output(nix.node, "old.png", 31)

    answer = cleanup(nix.world)

    assert answer["failures"][0]["why"] == "error: cannot connect to socket"
    assert "nix-daemon" in answer["failures"][0]["cure"]
    assert not old.exists()
    assert len(nix.names()) == 4


def test_what_cannot_be_removed_is_told_and_the_rest_goes(nix: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One directory that resists does not keep the others."""
    old = _output(nix.node, "old.png", 31)
    first = min(_left(nix) - _kept(nix))
    remove = real_files.remove_tree

    def resists(path: Path) -> None:
        if path.name == first:
            raise PermissionError(1, "Operation not permitted")
        remove(path)

    monkeypatch.setattr(real_files, "remove_tree", resists)
    answer = cleanup(nix.world)

    assert answer["failures"] == [{"what": first, "why": "cannot be removed: Operation not permitted"}]
    assert _left(nix) == _kept(nix) | {first}
    assert not old.exists()


def test_the_timer_rests_after_a_run_and_asks_no_engine(nix: FakeStore, ollama: Server) -> None:
    """A disk that stays full is not scanned for ever; by hand it always is."""
    assert cleanup(nix.world, unattended=True)["ok"]
    assert not ollama.seen
    asked = len(nix.asked)

    assert "3600 seconds" in cleanup(nix.world, unattended=True)["nothing_done"]

    assert len(nix.asked) == asked
    assert "nothing_done" not in cleanup(nix.world)


def test_a_run_leaves_its_worth_for_the_agent(nix: FakeStore) -> None:
    """Freed bytes and the time, as the families of the one table of metrics."""
    freed = cleanup(nix.world)["freed_bytes"]

    left = {one.family: one.value for one in samples.read(nix.node.world.paths.samples("cleanup"), 60) or ()}
    assert left["ipex_cleanup_freed_bytes"] == freed > 0
    assert time.time() - left["ipex_cleanup_last_run_timestamp_seconds"] < 60


def test_its_worth_outlives_a_reboot(nix: FakeStore) -> None:
    """The next run may be a week away: until then /run would be empty, and the agent would call it silent."""
    cleanup(nix.world)

    assert nix.node.world.paths.samples("cleanup") == nix.node.on("/var/lib/ipex-cleanup/samples.json")
    shutil.rmtree(nix.node.on("/run"))
    assert samples.read(nix.node.world.paths.samples("cleanup"), 60)


def test_a_node_that_cleans_nothing_says_so(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    """A gateway's settings have no cleanup."""
    assert main(["cleanup"], node.world) == 1
    assert "only GPU nodes" in json.loads(capsys.readouterr().out)["failures"][0]["cure"]


def test_the_plan_is_told_to_a_person(nix: FakeStore, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error has a line for each thing, many files of a directory in one; standard output is JSON."""
    _output(nix.node, "one.png", 31)
    _output(nix.node, "two\x1b[2J.png", 31)

    assert main(["cleanup", "--dry"], nix.world) == 0

    said = capsys.readouterr()
    assert f"output 2 files in {nix.node.on(OUTPUT)}: older than 30 days" in said.err
    assert "to be freed:" in said.err
    assert "\x1b" not in said.err
    assert json.loads(said.out)["dry"]
