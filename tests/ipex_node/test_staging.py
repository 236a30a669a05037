"""Bringing a generation to the node."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ipex_node import before, staging, store
from ipex_node.failure import FailedError
from ipex_node.manifest import parse
from tests.ipex_node import fake_node
from tests.ipex_node.fake_node import OLLAMA, PROFILE, FakeNode

Bundle = Callable[..., Path]
UNIT_FILE = f"etc/systemd/system/{OLLAMA}"


def test_stage_touches_no_service(node: FakeNode, make: Bundle) -> None:
    """Staging asks Nix, never systemd, and installs nothing."""
    node.stage(make())
    assert [command[2] for command in node.asked] == ["nix"]
    assert not node.on(UNIT_FILE).exists()


def test_copies_of_files_are_roots_alone(node: FakeNode, make: Bundle) -> None:
    """Secrets are among them: staged ones are closed, also where an older version left them open, and replaced ones."""
    node.world.paths.generations.mkdir(parents=True, mode=0o755)
    node.world.paths.generations.chmod(0o755)
    node.stage(make())
    before.remember(node.world, [], [], [])

    for place in (node.world.paths.generations, node.world.paths.transaction):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_stage_twice_asks_nix_once(node: FakeNode, make: Bundle) -> None:
    """A closure that is there is not realised again."""
    node.stage(make())
    answer = staging.stage(node.world, make())
    assert not answer["changed"]
    assert len(node.asked) == 1


DEPOT = json.dumps({"source": "file:///nowhere", "directory": None, "cache_gb": 1, "free_gb": 1})


def test_a_change_of_settings_alone_needs_no_depot(node: FakeNode, make: Bundle) -> None:
    """What the current generation has is rooted once more; what it has not is asked for, and there is nobody to ask."""
    node.activate(node.stage(make()))
    later = {**fake_node.files(), "/etc/ipex/depot.json": DEPOT}
    identity = node.stage(make(later))
    assert store.closures(node.world.paths, identity) == store.closures(
        node.world.paths, store.linked(node.world.paths.current)
    )

    with pytest.raises(FailedError, match="cannot be had from the depot"):
        node.stage(make(later, change=lambda raw: raw.update(closures={PROFILE: "path:/other#ollama-ipex"})))


def test_a_path_that_is_gone_is_asked_for(node: FakeNode, make: Bundle) -> None:
    """Somebody has removed it from the store: a link that leads nowhere is no closure."""
    node.activate(node.stage(make()))
    for path in node.on("/nix/store").iterdir():
        path.rmdir()

    with pytest.raises(FailedError, match="cannot be had from the depot"):
        node.stage(make({**fake_node.files(), "/etc/ipex/depot.json": DEPOT}))


def test_node_without_closures_needs_no_nix(node: FakeNode, make: Bundle) -> None:
    """A gateway or a monitor runs no Nix."""
    node.breaks = ["nix"]
    identity = node.stage(make(change=lambda raw: raw.update(closures={})))
    assert store.staged(node.world.paths) == [identity]


def test_damaged_stage_is_mended(node: FakeNode, make: Bundle) -> None:
    """Staging again replaces rotten files and removes foreign ones."""
    identity = node.stage(make())
    root = node.on(f"/var/lib/ipex/generations/{identity}/root")
    (root / UNIT_FILE).write_text("rotten")
    (root / "etc/foreign").write_text("x")
    answer = staging.stage(node.world, make())
    assert answer["changed"]
    assert (root / UNIT_FILE).read_text() == "ollama 1"
    assert not (root / "etc/foreign").exists()


def test_every_wrong_file_of_a_bundle_is_named(node: FakeNode, make: Bundle) -> None:
    """Damaged, missing and extra files are reported together, and nothing is kept."""
    here = make()
    (here / "root" / UNIT_FILE).write_text("rotten")
    (here / "root/etc/ipex/node.json").unlink()
    (here / "root/etc/foreign").write_text("x")
    with pytest.raises(FailedError) as error:
        node.stage(here)
    assert {one.what for one in error.value.failures} == {f"/{UNIT_FILE}", "/etc/ipex/node.json", "/etc/foreign"}
    assert store.staged(node.world.paths) == []


def test_failing_nix_says_why(node: FakeNode, make: Bundle) -> None:
    """Nix' last words are in the failure, and the generation does not count as staged."""
    node.breaks = ["env NIX_USER_CONF_FILES="]
    with pytest.raises(FailedError, match="broken on purpose"):
        node.stage(make())
    assert store.staged(node.world.paths) == []


def test_locked_node_says_who_is_at_work(node: FakeNode, make: Bundle) -> None:
    """A second change is refused and names the first."""
    with store.locked(node.world.paths, "activate 0123"), pytest.raises(FailedError, match="activate 0123"):
        node.stage(make())


@pytest.mark.parametrize("path", ["etc/x", "/etc/../x", "/etc//x", "/"])
def test_path_that_leaves_the_root_is_refused(path: str) -> None:
    """The manifest decides what root writes: only plain absolute paths."""
    entry = '{"sha256": "", "mode": "0644", "owner": "root", "group": "root"}'
    with pytest.raises(FailedError, match="no plain absolute path"):
        parse(f'{{"format": 1, "node": "x", "files": {{"{path}": {entry}}}}}', "manifest.json")


def test_closure_is_recorded_with_its_store_path(node: FakeNode, make: Bundle) -> None:
    """closures.json says where the profile will lead."""
    identity = node.stage(make())
    recorded = store.closures(node.world.paths, identity)
    assert Path(recorded[PROFILE]).parent == node.on("/nix/store")
