"""Caches of compiled code: each pair of engine and driver has its own, and what is kept has an end."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipex_node.cleanup.plan import File
from ipex_node.optimizer import caches
from ipex_node.optimizer.settings import Optimizer
from ipex_node.paths import Paths

OPTIMIZER = Optimizer(
    cache_root="/var/cache/ipex-models",
    caches={"ollama": ("ollama/mesa",)},
    drivers="",
    cache_bytes=10_000,
    cache_days=30,
    made={},
    quantize={},
    grid=(),
    clients=1,
    rounds=1,
    tokens=1,
    gain=0.1,
    loss=0.1,
    tuned=(),
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A node whose Ollama has compiled something with the closures A."""
    paths = Paths(tmp_path)
    _compile(paths, "by A")
    return paths


def _place(paths: Paths) -> Path:
    return paths.on_node("/var/cache/private/ipex-models/ollama/mesa")


def _compile(paths: Paths, text: str) -> None:
    _place(paths).mkdir(parents=True, exist_ok=True)
    (_place(paths) / "shader").write_text(text)


def _compiled(paths: Paths) -> str:
    found = _place(paths) / "shader"
    return found.read_text() if found.exists() else ""


def test_other_closures_start_cold_and_the_old_ones_come_back_warm(paths: Paths) -> None:
    """What A has compiled is out of B's sight, and there again after a rollback; and B's again behind that."""
    assert caches.turn(paths, OPTIMIZER, "ollama", "A", "B")
    assert _compiled(paths) == ""
    _compile(paths, "by B")

    assert caches.turn(paths, OPTIMIZER, "ollama", "B", "A")
    assert _compiled(paths) == "by A"
    assert caches.turn(paths, OPTIMIZER, "ollama", "A", "B")
    assert _compiled(paths) == "by B"


def test_the_same_closures_keep_their_caches(paths: Paths) -> None:
    """A change of data alone costs no compilation."""
    assert not caches.turn(paths, OPTIMIZER, "ollama", "A", "A")
    assert _compiled(paths) == "by A"


class _PowerCutError(Exception):
    pass


@settings(deadline=None)
@given(ways=st.lists(st.sampled_from("ABC"), min_size=1, max_size=6), cut=st.integers(0, 12))
def test_cut_off_anywhere_no_engine_sees_what_others_have_compiled(
    tmp_path_factory: pytest.TempPathFactory, ways: list[str], cut: int
) -> None:
    """Whatever the order, and wherever a power cut stops a turn: done again, the cache in place is the right one."""
    paths = Paths(tmp_path_factory.mktemp("node"))
    _compile(paths, "by A")
    now = "A"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        for number, wanted in enumerate(ways):
            _turn_cut_off(paths, now, wanted, cut if number == len(ways) - 1 else -1)
            caches.turn(paths, OPTIMIZER, "ollama", now, wanted)
            assert _compiled(paths) in {"", f"by {wanted}"}
            _compile(paths, f"by {wanted}")
            now = wanted


def _turn_cut_off(paths: Paths, now: str, wanted: str, cut: int) -> None:
    """Stop a turn at its n-th change of the disk."""
    left = [cut]

    def counted(source: Path, target: Path) -> Path:
        if left[0] == 0:
            raise _PowerCutError
        left[0] -= 1
        os.rename(source, target)  # noqa: PTH104 - what is replaced
        return Path(target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", counted)
        with suppress(_PowerCutError):
            caches.turn(paths, OPTIMIZER, "ollama", now, wanted)


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 100)), max_size=30), st.floats(0, 100))
def test_what_goes_is_old_or_too_much(sizes: list[tuple[int, float]], before: float) -> None:
    """All that is old goes; of the rest the oldest, and no more than needed."""
    found = [File(str(number), size, modified) for number, (size, modified) in enumerate(sizes)]
    gone = list(caches.chosen(found, before, 10_000))
    stays = [file for file in found if file not in gone]

    assert all(file.modified >= before for file in stays)
    assert sum(file.bytes for file in stays) <= 10_000
    young = [file for file in gone if file.modified >= before]
    assert all(file.modified <= other.modified for file in young for other in stays)
    if young:
        assert sum(file.bytes for file in (*stays, young[-1])) > 10_000


def test_cleaning_removes_what_is_old_and_what_no_generation_needs(paths: Paths) -> None:
    """A young file stays; what an older release than the previous one has left goes as a whole."""
    old = _place(paths) / "old"
    old.write_text("x" * 5000)
    os.utime(old, (time.time() - 40 * 86400,) * 2)
    kept = paths.on_node("/var/cache/private/ipex-models/.kept/ollama-0123456789abcdef/mesa")
    kept.mkdir(parents=True)
    (kept / "shader").write_text("long ago")

    freed, failures = caches.clean(paths, OPTIMIZER, ())

    assert (freed > 5000, failures) == (True, [])
    assert not old.exists()
    assert not kept.parent.exists()
    assert _compiled(paths) == "by A"
