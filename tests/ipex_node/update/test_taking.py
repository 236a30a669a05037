"""What a node takes: for it, whole, and only where nobody has changed it meanwhile."""

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipex_node import quarantine, store
from ipex_node.failure import FailedError
from ipex_node.update import memory, taking
from ipex_node.world import Completed, World
from tests.ipex_node.update.shop import NOW, Shop

ID, OTHER = "0" * 16, "1" * 16
_SAYS = """#!/bin/sh
echo "not yet" >&2
echo '{answer}'
exit {status}
"""


@pytest.fixture
def fit(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A node of which the doctor has nothing to say; age opens what is not locked."""
    monkeypatch.setattr(taking, "doctor", lambda *_, **__: {"failures": []})
    run = shop.world.run

    def open_all(command: Sequence[str], *, show: bool = False) -> Completed:
        if command[0] == "age":
            Path(command[5]).write_bytes(Path(command[6]).read_bytes())
            return Completed(0, "", "")
        if command[0] == "dpkg-query":
            return Completed(1, "installed age\nnot-installed curl\n", "")
        return run(command, show=show)

    shop.world = World(shop.world.paths, open_all)
    shop.world.paths.state.mkdir(parents=True)
    return shop


def _obstacles(shop: Shop, created: float, **more: Any) -> list[str]:
    found = shop.publication(5, {"gpu-01": b"one"}, created=created)
    return list(taking.obstacles(shop.world, found, replace(found.members["gpu-01"], **more)))


def test_what_an_operator_deploys_behind_a_publication_stays(fit: Shop) -> None:
    """Also where the node has updated itself before."""
    store.point(fit.world.paths.current, OTHER)
    since = fit.world.paths.current.lstat().st_mtime

    assert _obstacles(fit, since + 1) == []
    assert "somebody has changed this node" in _obstacles(fit, since - 1)[0]

    memory.conclude(fit.world.paths, "done", "works", OTHER)
    store.point(fit.world.paths.current, ID)
    assert "somebody has changed this node" in _obstacles(fit, since - 1)[0]


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_its_own_update_does_not_keep_a_node_from_the_next(fit: Shop, outcome: str) -> None:
    """Something was published while it was at its change: however often it has to ask for that."""
    store.point(fit.world.paths.current, OTHER)
    since = fit.world.paths.current.lstat().st_mtime
    memory.conclude(fit.world.paths, outcome, "why", OTHER)
    memory.conclude(fit.world.paths, "waited", "its window closed", ID)

    assert _obstacles(fit, since - 1) == []


def test_each_obstacle_is_named(fit: Shop) -> None:
    """Quarantine, and packages that only a deploy installs."""
    quarantine.put(fit.world.paths, ID, "it hung")

    found = _obstacles(fit, NOW, packages=("age", "curl"))

    assert "is quarantined here since" in found[0]
    assert "it hung" in found[0]
    assert found[1] == "Debian packages are missing: curl. A deploy installs them"


def _bundle(node: str, answer: dict[str, Any], status: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in (
            ("manifest.json", json.dumps({"node": node}).encode()),
            ("root/usr/local/bin/ipex-node", _SAYS.format(answer=json.dumps(answer), status=status).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("bundle", "why"),
    [
        (_bundle("gpu-02", {}), "is the bundle of gpu-02"),
        (_bundle("gpu-01", {"failures": [{"what": "/nix", "why": "full"}]}, 1), "cannot be staged: /nix: full"),
        (_bundle("gpu-01", {"generation": OTHER}), f"its manifest is {OTHER}'s"),
        (_bundle("gpu-01", {"generation": ID})[:90], "cannot be unpacked"),
        (b"no archive", "cannot be unpacked"),
    ],
)
def test_what_is_anothers_or_broken_is_not_staged(fit: Shop, bundle: bytes, why: str) -> None:
    """And nothing of it, which holds secrets, stays on the disk."""
    fit.publish(5, {"gpu-01": bundle})
    member = fit.publication(5, {"gpu-01": bundle}).members["gpu-01"]

    with pytest.raises(FailedError, match=why):
        taking.stage(fit.world, "gpu-01", member)

    assert list(fit.world.paths.state.iterdir()) == []


def test_a_program_that_says_nothing_is_a_failure(tmp_path: Path) -> None:
    """It was killed."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho some words\nexit 3\n")
    program.chmod(0o755)

    with pytest.raises(FailedError, match="ended with status 3 and without an answer"):
        taking.by(program, "activate", ID)
