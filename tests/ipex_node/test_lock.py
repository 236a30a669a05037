"""The rollout lock on a monitor: one run at a time."""

import json
import multiprocessing
from pathlib import Path

import pytest

from ipex_node import lock
from ipex_node.__main__ import main
from ipex_node.failure import FailedError
from ipex_node.paths import Paths
from ipex_node.world import World


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monitor's clock, in a list that a test may change."""
    now = [1_800_000_000.0]
    monkeypatch.setattr("ipex_node.lock.time.time", lambda: now[0])
    return now


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A monitor's places."""
    return Paths(tmp_path)


def _acquire(paths: Paths, who: str, *, surveyed: float = 0, force: bool = False) -> dict[str, object]:
    return lock.acquire(
        paths, owner=who, reason="pyinfra deploy.py", token=who, seconds=900, surveyed=surveyed, force=force
    )


def test_the_second_owner_is_told_who_since_when_why_until_when_and_how(paths: Paths, clock: list[float]) -> None:
    """Everything a person needs who wants to roll and may not."""
    _acquire(paths, "ann@desk")
    clock[0] += 60

    with pytest.raises(FailedError) as refused:
        _acquire(paths, "bob@lap")

    (failure,) = refused.value.failures
    for word in ("ann@desk", "since 2027-01-15", "until 2027-01-15", "(pyinfra deploy.py)"):
        assert word in failure.why
    assert "--data break_lock=true" in failure.cure


def test_the_holder_renews_and_keeps_its_since(paths: Paths, clock: list[float]) -> None:
    """The same token acquires again, and only the end moves."""
    _acquire(paths, "ann")
    clock[0] += 600
    answer = _acquire(paths, "ann")

    assert answer["lock"]["since"] == clock[0] - 600  # type: ignore[index]
    assert answer["lock"]["until"] == clock[0] + 900  # type: ignore[index]


def test_a_lock_ends_by_itself(paths: Paths, clock: list[float]) -> None:
    """A controller that died keeps nobody out for longer than it asked for."""
    _acquire(paths, "ann")
    clock[0] += 901

    assert _acquire(paths, "bob")["ok"]
    assert lock.show(paths)["lock"]["owner"] == "bob"


def test_a_released_lock_is_free(paths: Paths, clock: list[float]) -> None:
    """The next owner may come at once, if it has looked at the fleet since."""
    _acquire(paths, "ann")
    lock.release(paths, "ann")
    clock[0] += 1

    assert lock.show(paths)["lock"] is None
    assert _acquire(paths, "bob", surveyed=0.5)["ok"]


def test_a_look_from_before_another_rollout_is_stale(paths: Paths, clock: list[float]) -> None:
    """Who asked the nodes before another run ended must ask them again."""
    _acquire(paths, "ann")
    clock[0] += 30
    lock.release(paths, "ann")
    clock[0] += 5

    with pytest.raises(FailedError, match="was changed by ann"):
        _acquire(paths, "bob", surveyed=20)


def test_a_broken_lock_is_lost_to_its_holder(paths: Paths, clock: list[float]) -> None:
    """Whose lock was broken learns it when renewing, and cannot release the other's."""
    _acquire(paths, "ann")
    clock[0] += 1

    assert _acquire(paths, "bob", force=True)["broken"] == "ann"
    with pytest.raises(FailedError, match="bob"):
        _acquire(paths, "ann")
    with pytest.raises(FailedError, match="bob"):
        lock.release(paths, "ann")


def test_a_file_that_nobody_can_read_is_no_lock(paths: Paths) -> None:
    """Damage keeps nobody out for ever."""
    _acquire(paths, "ann")
    (paths.state / "rollout-lock.json").write_bytes(b"\0")

    assert _acquire(paths, "bob")["ok"]


def _try(root: Path, name: str, won: "multiprocessing.Queue[str]") -> None:
    try:
        _acquire(Paths(root), name)
    except FailedError:
        return
    won.put(name)


def test_of_many_at_once_exactly_one_gets_it(tmp_path: Path) -> None:
    """Eight processes at the same moment: one owner."""
    context = multiprocessing.get_context("fork")
    won: multiprocessing.Queue[str] = context.Queue()
    runs = [context.Process(target=_try, args=(tmp_path, f"run-{number}", won)) for number in range(8)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()

    winner = won.get(timeout=5)
    assert won.empty()
    assert lock.show(Paths(tmp_path))["lock"]["owner"] == winner


def test_the_command_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The words the deploy sends are understood, and the second is refused with status 1."""
    world = World(paths=Paths(tmp_path))
    words = ["lock", "acquire", "--reason", "why", "--seconds", "60", "--surveyed", "1.5", "--owner"]

    first = main([*words, "ann", "--token", "a"], world)
    second = main([*words, "bob", "--token", "b"], world)
    released = main(["lock", "release", "--token", "a"], world)

    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (first, second, released) == (0, 1, 0)
    assert answers[1]["failures"][0]["what"] == "the rollout lock"
