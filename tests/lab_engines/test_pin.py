"""The packed flake and its pin."""

import hashlib
import io
import runpy
import tarfile
from pathlib import Path

import pytest

from lab import pin

# `nix hash path` (2.26.3) of the tree that `sample` writes.
SAMPLE_HASH = "sha256-Y00+5gI+8dty6pro69xwg8pRumnRy7TBMuOKJawuWRk="


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A tree with everything that a NAR can hold."""
    tree = tmp_path / "sample"
    (tree / "sub" / "empty").mkdir(parents=True)
    (tree / "a.txt").write_text("eight by")
    (tree / "B").write_text("")
    (tree / "sub" / "run").write_text("#!/bin/sh\n")
    (tree / "sub" / "run").chmod(0o755)
    (tree / "sub" / "link").symlink_to("../a.txt")
    return tree


def test_nar_hash_is_nixs(sample: Path) -> None:
    """The hash of a tree with files, a program, a link and an empty folder is the one Nix computes."""
    assert pin.nar_hash(sample) == SAMPLE_HASH


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """The tarball depends on the flake alone."""
    digests = set()
    for name in ("one", "two"):
        packed = tmp_path / name / pin.publish(tmp_path / name).path
        digests.add(hashlib.sha256(packed.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_pin_fits_what_is_packed(tmp_path: Path) -> None:
    """The pin's hash is that of the unpacked tarball's one folder."""
    published = pin.publish(tmp_path)
    with tarfile.open(fileobj=io.BytesIO((tmp_path / published.path).read_bytes())) as archive:
        archive.extractall(tmp_path / "out")  # noqa: S202 - its own tarball
    (tree,) = (tmp_path / "out").iterdir()
    assert pin.nar_hash(tree) == published.nar_hash == pin.pin().nar_hash


def test_another_version_is_another_flake(tmp_path: Path) -> None:
    """A second version has its own file, its own hash and says its number."""
    second = pin.publish(tmp_path, version="2")
    with tarfile.open(tmp_path / second.path) as archive:
        member = archive.extractfile("ipex-flake-2/version")
        assert member
        assert member.read() == b"2\n"
    assert second.path.startswith("flake/ipex-flake-2-")
    assert second.nar_hash != pin.pin().nar_hash


def test_reference_encodes_the_hash() -> None:
    """What a query must not hold is percent-encoded."""
    found = pin.Pin("flake/x.tar.gz", "sha256-a+/=").reference("http://host")
    assert found == "http://host/flake/x.tar.gz?narHash=sha256-a%2B%2F%3D"


def test_the_lab_deploys_the_flake_that_lies_here() -> None:
    """After an edit of lab/flake, `python -m lab.pin` prints what group_data/lab.py has to say."""
    declared = runpy.run_path(str(Path(pin.__file__).parents[1] / "group_data" / "lab.py"))["flake"]
    assert declared == {"url": f"{pin.SERVER}/{pin.pin().path}", "nar_hash": pin.pin().nar_hash}
