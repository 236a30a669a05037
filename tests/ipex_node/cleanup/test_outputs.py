"""Root removes files below a hostile user's directories, and nothing anywhere else."""

import os
from pathlib import Path

import pytest

from ipex_node.cleanup import outputs
from ipex_node.cleanup.plan import File

OLD = 1000.0


def _old(path: Path, content: bytes = b"x" * 5000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))
    return path


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Root's directory of state directories, with some outputs of an engine."""
    top = tmp_path / "private"
    _old(top / "comfyui/output/a.png")
    _old(top / "comfyui/output/deep/er/b.png")
    return top


def _listed(top: Path) -> list[File]:
    return outputs.listed(top, "comfyui/output", OLD + 1)


def _names(top: Path) -> set[str]:
    return {os.path.relpath(file.path, top / "comfyui/output") for file in _listed(top)}


def test_files_are_listed_and_removed_at_every_depth(top: Path) -> None:
    """Each removal says what it has freed; directories stay."""
    found = _listed(top)

    freed = [outputs.remove(top, file) for file in found]

    assert _names(top) == set()
    assert freed == [file.bytes for file in found] == [8192, 8192]
    assert (top / "comfyui/output/deep/er").is_dir()


def test_a_name_that_is_no_text_is_removed_like_any_other(top: Path) -> None:
    """A file name is any bytes."""
    name = os.fsencode(top / "comfyui/output") + b"/\xff\n.png"
    Path(os.fsdecode(name)).write_bytes(b"x")

    for file in _listed(top):
        outputs.remove(top, file)

    assert _names(top) == set()


@pytest.mark.parametrize("link", ["output/link", "output/deep/link", "output"])
def test_links_are_not_followed(top: Path, tmp_path: Path, link: str) -> None:
    """A symbolic link to a file or a directory, also in the output directory's own place, hides what is behind it."""
    secret = _old(tmp_path / "elsewhere/secret.png")
    place = top / "comfyui" / link
    if place.is_dir():
        place.rename(place.with_name("moved"))
    place.symlink_to(secret.parent)
    (top / "comfyui/direct").symlink_to(secret)

    for file in _listed(top):
        outputs.remove(top, file)

    assert "secret.png" not in {Path(file.path).name for file in _listed(top)}
    assert secret.exists()


@pytest.mark.parametrize("swapped", ["output/deep/er", "output/deep", "output"])
def test_a_directory_swapped_for_a_link_after_the_listing_is_not_followed(
    top: Path, tmp_path: Path, swapped: str
) -> None:
    """The user is faster: between listing and removal a directory becomes a link to one that holds the same name."""
    found = [file for file in _listed(top) if file.path.endswith("b.png")]
    place = top / "comfyui" / swapped
    below = (top / "comfyui/output/deep/er/b.png").relative_to(place)
    victim = _old(tmp_path / "victim" / below)
    place.rename(tmp_path / "aside")
    place.symlink_to(tmp_path / "victim")

    assert [outputs.remove(top, file) for file in found] == [0]
    assert victim.exists()


def test_a_file_swapped_for_a_link_stays(top: Path, tmp_path: Path) -> None:
    """Neither the link nor what it leads to is the file that was listed."""
    found = _listed(top)
    secret = _old(tmp_path / "secret.png")
    (top / "comfyui/output/a.png").unlink()
    (top / "comfyui/output/a.png").symlink_to(secret)

    assert sorted(outputs.remove(top, file) for file in found) == [0, 8192]
    assert secret.exists()


def test_a_file_that_was_written_again_stays(top: Path) -> None:
    """What has become young since the listing is not removed, and what has gone is no failure."""
    found = _listed(top)
    (top / "comfyui/output/a.png").write_bytes(b"new")
    (top / "comfyui/output/deep/er/b.png").unlink()

    assert [outputs.remove(top, file) for file in found] == [0, 0]
    assert (top / "comfyui/output/a.png").read_bytes() == b"new"


def test_a_hard_link_frees_nothing(top: Path, tmp_path: Path) -> None:
    """One name of two is removed; the file lives on under the other."""
    other = tmp_path / "other.png"
    os.link(top / "comfyui/output/a.png", other)
    found = [file for file in _listed(top) if file.path.endswith("a.png")]

    assert [file.bytes for file in found] == [0]
    assert [outputs.remove(top, file) for file in found] == [0]
    assert other.read_bytes() == b"x" * 5000


def test_only_regular_files_are_listed(top: Path) -> None:
    """Pipes and sockets are nobody's outputs, and opening a pipe would wait for ever."""
    os.mkfifo(top / "comfyui/output/pipe")

    assert _names(top) == {"a.png", "deep/er/b.png"}


def test_directories_without_end_are_left(top: Path) -> None:
    """A tree that is deeper than any engine makes it is looked into so far and no further."""
    _old(top / "comfyui/output" / "/".join("d" * 40) / "deepest.png")

    assert _names(top) == {"a.png", "deep/er/b.png"}


def test_an_engine_that_has_made_nothing_has_no_outputs(tmp_path: Path) -> None:
    """No directory yet is nothing to clean."""
    assert outputs.listed(tmp_path, "comfyui/output", OLD) == []


def test_old_files_are_found_among_more_young_ones_than_are_kept_in_mind(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that makes thousands of files a day must not hide last month's behind them."""
    monkeypatch.setattr(outputs, "_MOST", 3)
    for number in range(50):
        (top / f"comfyui/output/{number}.png").touch()

    found = _listed(top)

    assert {Path(file.path).name for file in found if file.modified == OLD} == {"a.png", "b.png"}
    assert len(found) == 5


def test_a_crowded_directory_is_read_name_by_name(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of all names would be larger than the unit's memory."""
    monkeypatch.setattr("os.listdir", None)

    assert _names(top) == {"a.png", "deep/er/b.png"}
