"""How the gateway's bench sums up what wrk has told, and when its goals are met."""

from typing import Any

import pytest

from tools import bench_gateway


def _row(kind: str, connections: int, think_ms: int, **told: Any) -> dict[str, Any]:
    usual = {"requests": 100, "seconds": 1.0, "errors": 0, "p50_ms": 0.2, "p95_ms": 0.3, "cpu_us": 70.0}
    return {"kind": kind, "connections": connections, "think_ms": think_ms, **usual, **told}


def _rows(**of_gateway: Any) -> list[dict[str, Any]]:
    """One round of everything; what is told of the gateway is given."""
    users = [
        _row(kind, number, bench_gateway.THINK_MS, **(of_gateway if kind == "gateway" else {}))
        for number in bench_gateway.USERS
        for kind in ("engine", "bare", "gateway")
    ]
    saturated = [
        _row(kind, bench_gateway.CONNECTIONS, 0, **(of_gateway if kind == "gateway" else {}))
        for kind in ("engine", "bare", "bare, connections kept", "gateway")
    ]
    return [*users, *saturated]


@pytest.mark.parametrize(
    ("of_gateway", "met"),
    [
        ({"p95_ms": 3.2}, True),
        ({"p95_ms": 3.4}, False),
        ({"requests": 96}, True),
        ({"requests": 94}, False),
        ({"errors": 1}, False),
    ],
)
def test_each_goal_is_looked_at(of_gateway: dict[str, Any], met: bool) -> None:
    """3 ms added, 0.95 of the bare one, and no error: none of them is overlooked."""
    rows = _rows(**of_gateway)
    users, throughput = list(bench_gateway._users(rows)), list(bench_gateway._throughput(rows))

    assert bench_gateway.met(users, throughput) is met


def test_medians_are_of_what_was_asked_in_turn() -> None:
    """Each round is compared with itself: a slow minute that met all of them makes no difference."""
    slow = [{**row, "p95_ms": row["p95_ms"] + 50, "requests": row["requests"] / 10} for row in _rows(p95_ms=0.8)]
    rows = [*_rows(p95_ms=0.8), *slow, *slow]
    (first, _), gateway = bench_gateway._users(rows), list(bench_gateway._throughput(rows))[-1]

    assert first.added_ms == pytest.approx(0.5)
    assert gateway.share == pytest.approx(1)
