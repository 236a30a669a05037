"""Two weeks of 100 nodes that update themselves: never too many, never outside a window, nobody forgotten."""

import pytest

from tests.two_weeks import CONCURRENT, TwoWeeks

SEEDS = range(8)
DAY = 1440


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_forgotten(seed: int) -> None:
    """What is published once reaches all 100 within two weeks, in order, in windows, and never too many at once."""
    weeks = TwoWeeks(seed, faults=False, published={60: True})
    weeks.run()

    assert weeks.violations == []
    assert {name for name, machine in weeks.machines.items() if machine.has != 1} == set()
    assert sorted(weeks.begun[1]) == sorted(weeks.machines)
    assert weeks.most == CONCURRENT, "nothing was ever at its limit: the weeks prove little"
    assert weeks.publication is not None
    assert set(weeks.begun[1][:2]) == weeks.publication.canaries


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bad_generation_ends_with_its_first_canary(seed: int) -> None:
    """Nobody takes it after the first has failed; what is published after it reaches all again."""
    weeks = TwoWeeks(seed, faults=False, published={60: True, 5 * DAY: False, 7 * DAY: True})
    weeks.run()

    assert weeks.violations == []
    assert len(weeks.begun[2]) <= 2
    assert {name for name, machine in weeks.machines.items() if machine.has != 3} == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_that_go_down_and_die_break_no_rule(seed: int) -> None:
    """Whatever they do: no floor is broken, nobody begins after a loss, what is published anew goes on."""
    published = {60 + day * DAY: day % 4 != 3 for day in range(14)}
    weeks = TwoWeeks(seed, faults=True, published=published)
    weeks.run()

    assert weeks.violations == []
    assert 0 < weeks.most <= CONCURRENT


def test_the_weeks_see_a_plan_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the functions that decide, the same weeks report violations: they can fail."""
    monkeypatch.setattr("ipex_node.update.turns.refusal", lambda *_words: None)
    monkeypatch.setattr("ipex_node.update.turns.floor_refusal", lambda *_words: None)
    weeks = TwoWeeks(0, faults=True, published={60: True, DAY: False})
    weeks.run()

    assert any("at once" in one for one in weeks.violations)
    assert any("before the canaries" in one for one in weeks.violations)
    assert any("serving" in one for one in weeks.violations)
