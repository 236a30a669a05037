"""The binary cache's space: bounded, and what is needed stays."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.depot import cache as binary

_SIZE = 1000


def _base(number: int) -> str:
    return f"{number:032d}-path"


@dataclass
class _Cache:
    """A cache of small files; path N may need those with lower numbers alone, as a store's do."""

    directory: Path

    def add(self, number: int, needs: list[int], content: bytes | None = None) -> None:
        """Write one path, older the lower its number."""
        content = content or f"{number} ".encode().ljust(_SIZE, b".")
        digest = hashlib.sha256(content).hexdigest()
        nar = self.directory / "nar" / f"{digest}.nar.zst"
        nar.parent.mkdir(exist_ok=True)
        nar.write_bytes(content)
        narinfo = self.directory / f"{_base(number)[:32]}.narinfo"
        references = " ".join(map(_base, needs))
        rows = (
            f"StorePath: /nix/store/{_base(number)}",
            f"URL: nar/{nar.name}",
            f"FileHash: sha256:{digest}",
            f"FileSize: {len(content)}",
            f"References: {references}",
        )
        narinfo.write_text("\n".join(rows) + "\n")
        os.utime(narinfo, (number, number))

    def whole(self, numbers: set[int]) -> bool:
        """Whether closures of some paths are there, to the last byte."""
        found, missing = binary.closure(self.directory, map(_base, numbers))
        return not missing and not binary.damaged(self.directory, found.values(), read=True)


@pytest.fixture
def cache(tmp_path: Path) -> _Cache:
    """An empty one."""
    return _Cache(tmp_path)


@given(data=st.data(), count=st.integers(1, 12), most=st.integers(0, 15 * _SIZE), wanted=st.integers(0, 3 * _SIZE))
def test_what_is_kept_stays_whole_and_the_rest_goes_until_it_fits(
    data: st.DataObject, count: int, most: int, wanted: int
) -> None:
    """Whatever needs whatever: no kept closure loses a byte, and what is over the bound is kept or nothing."""
    with tempfile.TemporaryDirectory() as directory:
        cache = _Cache(Path(directory))
        for number in range(count):
            needs = data.draw(st.lists(st.integers(0, number - 1), unique=True)) if number else []
            shared = data.draw(st.booleans())
            cache.add(number, needs, b"the same" * 100 if shared else None)
        kept = data.draw(st.sets(st.integers(0, count - 1)))

        size = binary.prune(cache.directory, map(_base, kept), most, wanted)

        assert cache.whole(kept)
        assert size == binary.taken(cache.directory)
        stays = binary.closure(cache.directory, map(_base, kept))[0]
        assert size + wanted <= most or len(list(cache.directory.glob("*.narinfo"))) == len(stays)
        # What is named has its content, and what has content is named.
        named = {one.nar for path in cache.directory.glob("*.narinfo") if (one := binary.info(path.parent, path.stem))}
        assert named == {f"nar/{file.name}" for file in (cache.directory / "nar").iterdir()}


def test_the_oldest_goes_first(cache: _Cache) -> None:
    """And no more than must."""
    for number in range(4):
        cache.add(number, [])

    size = binary.prune(cache.directory, [], binary.taken(cache.directory), 1)

    assert [cache.whole({number}) for number in range(4)] == [False, True, True, True]
    assert size == binary.taken(cache.directory)


def test_what_a_cut_copy_left_goes(cache: _Cache) -> None:
    """No path names it: else it would stay for ever."""
    cache.add(0, [])
    (cache.directory / "nar" / "half.nar.zst.tmp.1").write_bytes(b"x" * _SIZE)

    binary.prune(cache.directory, [], 10 * _SIZE, 0)

    assert cache.whole({0})
    assert len(list((cache.directory / "nar").iterdir())) == 1


@pytest.mark.parametrize("change", ["cut", "bit", "gone"])
def test_what_is_damaged_is_found(cache: _Cache, change: str) -> None:
    """A length is seen at once, a bit where the content is read."""
    cache.add(0, [])
    (one,) = binary.closure(cache.directory, [_base(0)])[0].values()
    file = cache.directory / one.nar
    content = file.read_bytes()
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if change == "cut" else b"X" + content[1:])

    assert (binary.damaged(cache.directory, [one]) == [one]) is (change != "bit")
    assert binary.damaged(cache.directory, [one], read=True) == [one]
