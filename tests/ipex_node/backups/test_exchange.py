"""Data are exchanged all or none, wherever it is cut off."""

from contextlib import suppress
from pathlib import Path

import pytest

from ipex_node.backups import exchange
from ipex_node.backups.exchange import Exchange, Move

MOVES = [
    Move("user", brings=True),
    Move("models/loras", brings=True),
    Move("db", brings=True),
    Move("db-wal", brings=False),
]


class CutError(Exception):
    """The moment at which the power goes."""


def _fill(place: Path, word: str) -> None:
    for name in ("user/a", "models/loras/b", "db"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(word)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A state directory with old data and a foreign log, and new ones beside it."""
    state, work = tmp_path / "state", tmp_path / "work"
    _fill(state, "old")
    (state / "db-wal").write_text("old")
    (state / "mine").write_text("untouched")
    _fill(work / "new", "new")
    return state, work


def _read(state: Path) -> dict[str, str]:
    return {str(path.relative_to(state)): path.read_text() for path in sorted(state.rglob("*")) if path.is_file()}


def test_all_comes_and_only_that_goes(places: tuple[Path, Path], tmp_path: Path) -> None:
    """What SQLite had beside the old database goes with it; what is no item stays."""
    state, work = places
    one = Exchange(state, work, tmp_path / "journal")
    one.do(MOVES, "x.service")
    one.forget()

    assert _read(state) == {"user/a": "new", "models/loras/b": "new", "db": "new", "mine": "untouched"}
    assert not work.exists()


@pytest.mark.parametrize("moves", range(8))
def test_cut_off_after_any_move_everything_is_as_before(
    places: tuple[Path, Path], tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the way back is cut off, too, and done again."""
    state, work = places
    before = _read(state)
    one, real, left = Exchange(state, work, tmp_path / "journal"), exchange._bring, [moves]

    def bring(*arguments: object, **more: object) -> None:
        if left[0] == 0:
            raise CutError
        left[0] -= 1
        real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(exchange, "_bring", bring)
    with suppress(CutError):
        one.do(MOVES, "x.service")
    left[0] = moves // 2
    try:
        one.undo(MOVES)
    except CutError:
        left[0] = 100
        one.undo(MOVES)

    assert _read(state) == before


def test_a_link_in_the_state_directory_leads_nowhere(places: tuple[Path, Path], tmp_path: Path) -> None:
    """Its owner has exchanged a folder on the way for a link to root's own."""
    state, work = places
    precious = tmp_path / "precious"
    (precious / "loras").mkdir(parents=True)
    (state / "models").rename(tmp_path / "aside")
    (state / "models").symlink_to(precious)

    with pytest.raises(OSError, match="models"):
        Exchange(state, work, tmp_path / "journal").do(MOVES, "x.service")

    assert list(precious.iterdir()) == [precious / "loras"]
    assert list((precious / "loras").iterdir()) == []
