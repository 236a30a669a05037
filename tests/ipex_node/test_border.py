"""What others have written is read within bounds."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ipex_node import border


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    """What is meant comes through as it is, up to the last byte that may be."""
    path = tmp_path / "file.json"
    path.write_text('{"a": [1]}')
    assert border.load(path) == {"a": [1]}
    path.write_bytes(b"x" * border.LIMIT)
    assert len(border.read(path)) == border.LIMIT
    path.write_bytes(b"x" * (border.LIMIT + 1))
    with pytest.raises(ValueError, match="is longer than"):
        border.read(path)


def _link(path: Path) -> None:
    path.with_name("secret").write_text("{}")
    path.symlink_to(path.with_name("secret"))


def _endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    "make",
    [
        lambda _: None,
        os.mkfifo,
        _link,
        lambda path: path.symlink_to("/dev/zero"),
        os.mkdir,
        _endless,
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.write_bytes(b"\xff"),
    ],
    ids=["nothing", "pipe", "link", "device", "directory", "endless", "deep", "no-text"],
)
def test_what_is_something_else_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Nobody waits for a pipe, reads a device to its end, or is led elsewhere."""
    path = tmp_path / "file.json"
    make(path)
    with pytest.raises((OSError, ValueError)):
        border.load(path)


def test_words_are_one_printable_line() -> None:
    """They stand in logs and on an operator's terminal."""
    said = border.words("a\x1b[2Jb\nc\ud800" + "d" * 1000)
    assert said.startswith("a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}d")
    assert len(said) == 300
    assert said.encode()
