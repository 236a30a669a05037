"""Which snapshots stay, and that rot is found in time: proved over many days and stores."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ipex_node.backups import retention

KEEP = {"daily": 7, "weekly": 4, "monthly": 6}
_FIRST = datetime(2026, 1, 1, 2, tzinfo=UTC)


def _name(day: int) -> str:
    return retention.stamp((_FIRST + timedelta(days=day)).timestamp())


def test_a_year_of_nights_leaves_days_weeks_and_months() -> None:
    """Pruned each night, as it is: seven days, four weeks, six months; some are two of these at once."""
    there: set[str] = set()
    for day in range(365):
        there = retention.kept(there | {_name(day)}, KEEP)

    days = sorted(datetime.strptime(name, retention.STAMP).replace(tzinfo=UTC) for name in there)
    assert days[-7:] == [_FIRST + timedelta(days=day) for day in range(358, 365)]
    assert len({day.isocalendar()[:2] for day in days}) >= 4
    assert len({day.month for day in days}) == 6
    assert 12 <= len(days) <= 17


def test_the_last_verified_and_the_newest_always_stay() -> None:
    """Whatever else is kept."""
    names = [_name(day) for day in range(100)]
    nothing = {"daily": 0, "weekly": 0, "monthly": 0}

    assert retention.kept(names, nothing, names[:3]) == {names[2], names[-1]}
    assert retention.kept([], KEEP) == set()


@given(
    st.dictionaries(st.integers(0, 99).map(str), st.integers(0, 10**12), min_size=1, max_size=30),
    st.integers(1, 30),
    st.integers(0, 5),
)
def test_every_blob_is_read_within_the_declared_days(sizes: dict[str, int], days: int, late: int) -> None:
    """Of any store, from any night on, whichever blob is added in the middle."""
    today = 20000
    seen = dict.fromkeys(sizes, today - days)
    last = dict(seen)
    for night in range(1, 3 * days + 1):
        if night == late:
            sizes = {**sizes, "new": 5}
            seen["new"] = last["new"] = today + night - days
        for blob in retention.due(sizes, seen, today + night, days):
            assert blob in sizes
            seen[blob] = last[blob] = today + night
        if night >= days:
            assert all(today + night - day <= days for day in last.values())


def test_a_night_reads_its_share_and_not_all() -> None:
    """Of seventy equal blobs, ten."""
    sizes = {str(number): 10 for number in range(70)}

    assert len(retention.due(sizes, dict.fromkeys(sizes, 0), 1, 7)) == 10
