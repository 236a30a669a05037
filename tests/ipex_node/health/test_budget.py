"""Never more restarts than declared, whatever the clock does."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.health.budget import Budget, Moment

WINDOW, BACKOFF = 100.0, 7.0
STEPS = st.lists(
    st.tuples(
        # Seconds that pass; by how much the clock is set anew; whether the machine reboots meanwhile.
        st.floats(0, 40),
        st.sampled_from((0.0, 0.0, -1e6, 1e6, -3.0, 50.0)),
        st.booleans(),
    ),
    max_size=60,
)


@dataclass
class Clock:
    """A machine's clocks."""

    boot: int = 0
    up: float = 0.0
    at: float = 1e9
    true: float = 0.0

    def step(self, seconds: float, jump: float, *, reboots: bool) -> Moment:
        """Let time pass."""
        self.true += seconds
        self.at += seconds + jump
        self.boot, self.up = (self.boot + 1, 0.0) if reboots else (self.boot, self.up + seconds)
        return Moment(str(self.boot), self.up, self.at)


def _restarts(budget: Budget, steps: list[tuple[float, float, bool]]) -> list[float]:
    """Restart whenever the budget allows it, and return when that was, by a clock that nobody sets."""
    clock, spent, restarts = Clock(), list[Moment](), list[float]()
    for seconds, jump, reboots in steps:
        now = clock.step(seconds, jump, reboots=reboots)
        if budget.left(spent, now) and not budget.wait(spent, now):
            spent = [*budget.recent(spent, now), now]
            restarts.append(clock.true)
    return restarts


def _most_in_a_window(restarts: list[float]) -> int:
    return max((sum(1 for at in restarts if begin <= at < begin + WINDOW) for begin in restarts), default=0)


@given(st.integers(1, 5), STEPS)
def test_a_clock_set_anew_frees_no_restart(restarts: int, steps: list[tuple[float, float, bool]]) -> None:
    """Within a boot, a window never holds more than the budget, however the wall clock jumps."""
    within = [(seconds, jump, False) for seconds, jump, _ in steps]
    assert _most_in_a_window(_restarts(Budget(restarts, WINDOW, 0), within)) <= restarts


@given(st.integers(1, 5), STEPS)
def test_a_reboot_frees_no_restart(restarts: int, steps: list[tuple[float, float, bool]]) -> None:
    """Across reboots the wall clock counts; where it goes back between two boots, one budget more at most."""
    across = [(seconds, min(jump, 0.0), reboots) for seconds, jump, reboots in steps]
    back = sum(jump < 0 for _, jump, _ in across)
    assert _most_in_a_window(_restarts(Budget(restarts, WINDOW, 0), across)) <= restarts * (1 + back)


def test_a_clock_that_was_ahead_holds_nothing_for_years() -> None:
    """Restarts of a boot whose clock was wrong do not count against the boots behind it."""
    spent, now = [Moment("a", 5.0, 2e9), Moment("a", 6.0, 2e9)], Moment("b", 1.0, 1e9)
    budget = Budget(2, WINDOW, BACKOFF)
    assert (budget.left(spent, now), budget.wait(spent, now), budget.recent(spent, now)) == (2, 0.0, [])


@given(STEPS)
def test_each_restart_waits_twice_as_long(steps: list[tuple[float, float, bool]]) -> None:
    """Between two restarts of a window lie at least as many seconds as the back-off asks for."""
    within = [(seconds, jump, False) for seconds, jump, _ in steps]
    restarts = _restarts(Budget(9, WINDOW, BACKOFF), within)
    for place, at in enumerate(restarts[1:], start=1):
        earlier = [one for one in restarts[:place] if at - one < WINDOW - 1e-6]
        if earlier:
            assert at - restarts[place - 1] >= BACKOFF * 2 ** (len(earlier) - 1) - 1e-6


@pytest.mark.parametrize(("up", "left", "wait"), [(0.0, 1, 7.0), (6.0, 1, 1.0), (7.0, 1, 0.0), (100.0, 2, 0.0)])
def test_what_is_left_and_when(up: float, left: int, wait: float) -> None:
    """One restart at 0 s, out of two in 100 s."""
    budget, spent, now = Budget(2, WINDOW, BACKOFF), [Moment("a", 0.0, 0.0)], Moment("a", up, 0.0)
    assert (budget.left(spent, now), budget.wait(spent, now)) == (left, wait)
