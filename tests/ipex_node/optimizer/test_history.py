"""When a setting is worth a change, and when a release is slower: beyond the noise, and no sooner."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.failure import FailedError
from ipex_node.optimizer import baseline, history
from ipex_node.optimizer.history import Row
from ipex_node.optimizer.settings import Optimizer, Tuned
from ipex_node.paths import Paths
from ipex_node.settings import Service, Settings

ROUNDS = st.lists(st.floats(1, 1000), min_size=1, max_size=7).map(tuple)


def _row(speeds: tuple[float, ...], release: str = "one", *, declared: bool = True, gpu: str = "8086:56a0") -> Row:
    return Row(1.0, "ollama", "tinyllama", gpu, release, {"OLLAMA_NUM_PARALLEL": "4"}, declared, speeds)


@pytest.mark.parametrize(
    ("declared", "tried", "worth"),
    [
        ((10.0, 11.0, 12.0), (20.0, 21.0, 22.0), True),
        # Faster by less than a tenth.
        ((10.0, 10.1, 10.2), (10.5, 10.6, 10.7), False),
        # Faster in the median, and not in every round.
        ((10.0, 11.0, 30.0), (20.0, 21.0, 22.0), False),
        ((10.0, 11.0, 12.0), (), False),
        ((), (20.0, 21.0, 22.0), False),
    ],
)
def test_a_setting_must_be_faster_beyond_the_noise(
    declared: tuple[float, ...], tried: tuple[float, ...], *, worth: bool
) -> None:
    """In its median by the gain, and in every round."""
    found = history.proposed(_row(declared), [_row(tried, declared=False)], 0.1)

    assert (found is not None) == worth


@given(declared=ROUNDS, tried=st.lists(ROUNDS, max_size=4))
def test_no_slower_setting_is_ever_proposed(declared: tuple[float, ...], tried: list[tuple[float, ...]]) -> None:
    """Whatever was measured."""
    found = history.proposed(_row(declared), [_row(speeds, declared=False) for speeds in tried], 0.1)

    assert found is None or found.speed >= _row(declared).speed * 1.1


@pytest.mark.parametrize(
    ("rows", "regressed"),
    [
        ([_row((100.0, 101.0)), _row((80.0, 81.0), "two")], [True]),
        ([_row((100.0, 101.0)), _row((95.0, 96.0), "two")], [False]),
        # One slow round is no release.
        ([_row((100.0, 101.0, 102.0)), _row((50.0, 60.0, 110.0), "two")], [False]),
        # Measured again.
        ([_row((100.0, 101.0)), _row((80.0, 81.0), "two"), _row((100.0, 99.0), "two")], [False]),
        # Compared with the release before it, not with the first.
        ([_row((200.0,)), _row((100.0,), "two"), _row((99.0,), "three")], [False]),
        # Another GPU, and no release before: nothing to compare.
        ([_row((100.0,)), _row((10.0,), "two", gpu="8086:e20b")], []),
        ([_row((100.0,)), _row((10.0,))], []),
        # Settings on trial are no release's speed.
        ([_row((100.0,)), _row((10.0,), "two", declared=False)], []),
    ],
)
def test_a_release_is_slower_or_is_not(rows: list[Row], regressed: list[bool]) -> None:
    """Only what is measured alike is compared."""
    assert [one.regressed for one in baseline.compare(rows, 0.1)] == regressed


@given(speeds=ROUNDS)
def test_the_same_figures_are_no_regression(speeds: tuple[float, ...]) -> None:
    """Whatever they are."""
    found = baseline.compare([_row(speeds), _row(speeds, "two")], 0.1)

    assert [one.regressed for one in found] == [False]


def test_the_history_is_kept_and_has_an_end(tmp_path: Path) -> None:
    """What was written is read again; of too many the oldest go; a damaged one is said to be."""
    paths = Paths(tmp_path)
    many = [dataclasses.replace(_row((1.0,)), time=float(number)) for number in range(history.MOST + 5)]
    history.add(paths, many[:10])
    history.add(paths, many[10:])

    assert history.read(paths) == many[5:]
    history.path(paths).write_text('[{"time": 1}]')
    with pytest.raises(FailedError, match="cannot be read"):
        history.read(paths)


@pytest.mark.parametrize(
    ("rows", "slower", "unmeasured"),
    [
        # Nothing was measured, or an older release was.
        ([], [], ["ollama"]),
        ([("old", 100.0)], [], ["ollama"]),
        ([("old", 100.0), ("now", 95.0)], [], []),
        ([("old", 100.0), ("now", 50.0)], ["gpu-01 ollama: 50.0 instead of 100.0 tokens/s with tinyllama"], []),
        # Whoever went back from a slow release has no slow one now, but nothing new of this one either.
        ([("now", 100.0), ("new", 50.0)], [], ["ollama"]),
    ],
)
def test_a_node_says_how_its_own_release_does(
    tmp_path: Path, rows: list[tuple[str, float]], slower: list[str], unmeasured: list[str]
) -> None:
    """Of the release that it has now, and of no other."""
    paths = Paths(tmp_path)
    profile = paths.on_node("/profiles/ollama")
    profile.parent.mkdir(parents=True)
    profile.symlink_to("/nix/store/now")
    history.add(paths, [_row((speed,), release) for release, speed in rows])
    service = Service("ollama", 1, "/", "ollama", model="tinyllama", profile="/profiles/ollama")
    tuned = Tuned("ollama", {}, 1.0)
    optimizer = Optimizer("", {}, "", 1, 1, {}, {}, (), 1, 1, 1, gain=0.1, loss=0.1, tuned=(tuned,))

    found = baseline.verdict(paths, Settings("gpu-01", services=(service,), optimizer=optimizer))

    assert found == {"slower": slower, "unmeasured": unmeasured}
