"""What the builder remembers of what nodes need."""

import json
from pathlib import Path
from typing import Any

import pytest

from ipex_node.depot.build import Builder
from ipex_node.depot.settings import name_of
from ipex_node.world import World

_OLD, _NEW, _LAST = (f"/nix/store/{letter * 32}-release" for letter in "abc")
_RELEASE = "flake#last"


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    """A depot that has one closure, declared by the last run."""
    directory = tmp_path / "depot"
    base = _LAST.removeprefix("/nix/store/")
    for name in ("cache/nar", "closures"):
        (directory / name).mkdir(parents=True)
    (directory / "cache/nar/one").write_bytes(b"x")
    rows = ("URL: nar/one", "FileSize: 1", f"FileHash: sha256:{'0' * 64}", "References: ", "Sig: key:seal")
    (directory / f"cache/{base[:32]}.narinfo").write_text("\n".join(rows) + "\n")
    told = json.dumps({"reference": _RELEASE, "path": _LAST, "bytes": 1})
    (directory / f"closures/{name_of(_RELEASE)}.json").write_text(told)
    (directory / f"closures/{name_of(_RELEASE)}.json.sig").write_text("seal")
    return directory


def _run(depot: Path, needed: dict[str, list[str]], references: tuple[str, ...] = (_RELEASE,)) -> dict[str, Any]:
    keys = depot.parent / "keys"
    keys.mkdir(exist_ok=True)
    known = {"cache_key": "key:x", "closure_key": "x", "nix_conf": "", "cache_gb": 1, "free_gb": 0}
    request = {**known, "references": references, "nodes": ["one", "two"], "needed": needed}
    assert Builder(World(), request, keys, depot).run()["built"] == []
    found: dict[str, Any] = json.loads((depot / "needed.json").read_bytes())
    return found


def test_a_node_that_is_not_asked_keeps_what_it_may_have(depot: Path) -> None:
    """What it needed when it was asked, and what has been declared since: it may have taken that by itself."""
    _run(depot, {"one": [_OLD], "two": [_OLD]})

    needed = _run(depot, {"one": [_NEW]})

    assert needed["one"] == [_NEW]
    assert needed["two"] == [_OLD, _LAST]


def test_a_node_that_has_left_the_fleet_needs_nothing(depot: Path) -> None:
    """Its paths may go."""
    _run(depot, {"gone": [_OLD], "two": [_OLD]})

    assert "gone" not in _run(depot, {})


def test_a_name_goes_with_the_first_path_of_its_closure(depot: Path) -> None:
    """Nodes are told of whole closures alone."""
    (depot / f"cache/{_LAST[11:43]}.narinfo").unlink()

    _run(depot, {}, references=())

    assert list((depot / "closures").iterdir()) == []
