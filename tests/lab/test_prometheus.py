"""Prometheus is killed while a change rolls through the fleet: what it had seen stays, and it goes on at once."""

import json
import math
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from fleet import load
from fleet.thresholds import seconds
from tests.lab_crowd import data, fresh, revisions
from tests.lab_fleet import INVENTORY, Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof, pytest.mark.timeout(900)]

FLEET = load.from_file(str(INVENTORY))
MONITOR = FLEET.with_role("monitors")[0]
UNIT = "prometheus.service"
# One that is written at each scrape of each target, whatever that answers; and one at each evaluation of the rules,
# which reads of a gateway and so of nothing that the rollout restarts.
SCRAPED, EVALUATED = "up", "slo:capacity_used:ratio"
BACK_SECONDS = 15
"""From the kill until it answers again: RestartSec= and the log of two hours."""
DISCOVERY_SECONDS = 5
"""A fresh Prometheus learns of its targets at the next turn of a clock (discovery/manager.go, updatert)."""

Samples = dict[str, dict[float, str]]
"""Series to its samples: time to value."""


@pytest.fixture
def rolled(lab: Lab) -> Iterator[Lab]:
    """The lab; at the revision of its data again afterwards."""
    yield lab
    run = lab.deploy("-y", "--data", "break_lock=true")
    assert run.returncode == 0, run.stdout


def _url() -> str:
    assert MONITOR.prometheus
    return f"http://localhost:{MONITOR.prometheus.port}"


def _now(lab: Lab) -> float:
    return float(lab.output(MONITOR.name, "date +%s.%N"))


def _samples(lab: Lab, selector: str, since: float) -> Samples:
    """Every sample since a time by the monitor's clock, as it was stored."""
    now = _now(lab)
    # As of that moment: asked as of when it arrives, a slow machine's oldest samples would have left the range.
    question = urlencode({"query": f"{selector}[{math.ceil(now - since) + 1}s]", "time": now})
    answer = json.loads(lab.output(MONITOR.name, f"curl -sf '{_url()}/api/v1/query?{question}'"))
    found = {
        json.dumps(one["metric"], sort_keys=True): {at: value for at, value in one["values"] if at >= since}
        for one in answer["data"]["result"]
    }
    return {series: values for series, values in found.items() if values}


def _targets(lab: Lab) -> int:
    return len(json.loads(lab.output(MONITOR.name, f"curl -sf {_url()}/api/v1/targets"))["data"]["activeTargets"])


def _kill(lab: Lab) -> float:
    """Kill it, wait until it answers again, and return how long that took."""
    before = lab.output(MONITOR.name, f"systemctl show -p MainPID --value {UNIT}")
    begun = time.monotonic()
    lab.output(MONITOR.name, f"kill -KILL {before}")
    lab.output(MONITOR.name, f"timeout 60 sh -c 'until curl -sf {_url()}/-/ready; do sleep 0.1; done'")
    assert lab.output(MONITOR.name, f"systemctl show -p MainPID --value {UNIT}") != before
    return time.monotonic() - begun


def _longest_gap(times: Samples) -> float:
    """The longest time without a sample, in any series."""
    gaps = [later - one for series in times.values() for one, later in zip(series, list(series)[1:], strict=False)]
    return max(gaps)


def _await_sample(lab: Lab, series: int) -> None:
    """Wait until so many series have two samples more, and the rules have been evaluated."""
    since, deadline = _now(lab), time.monotonic() + 60
    while [len(found) for found in (_again(lab, SCRAPED, since), _again(lab, EVALUATED, since))] != [series, 1]:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _again(lab: Lab, selector: str, since: float) -> list[str]:
    return [series for series, values in _samples(lab, selector, since).items() if len(values) > 1]


def test_a_killed_prometheus_loses_no_more_than_its_gap(rolled: Lab) -> None:
    """SIGKILL in the middle of a rollout: every sample from before is there, every series and every rule goes on."""
    assert MONITOR.prometheus
    interval = seconds(MONITOR.prometheus.scrape_interval)
    turn = seconds(MONITOR.prometheus.evaluation_interval)
    version, begun = fresh(), _now(rolled)
    _await_sample(rolled, _targets(rolled))
    with rolled.deploying("-y", *data(version, break_lock="true")) as process:
        rolled.output(rolled.gpus[0], "timeout 120 sh -c 'until test -e /run/ipex/drain; do sleep 0.05; done'")
        before = {name: _samples(rolled, name, begun) for name in (SCRAPED, EVALUATED)}
        down = _kill(rolled)
        rolling = process.poll() is None
        output, _ = process.communicate(timeout=500)
    _await_sample(rolled, len(before[SCRAPED]))
    after = {name: _samples(rolled, name, begun) for name in (SCRAPED, EVALUATED)}

    assert rolling, "the rollout had ended before Prometheus was back"
    assert process.returncode == 0, output
    assert set(revisions(rolled).values()) == {version}
    assert down < BACK_SECONDS
    for name, known in before.items():
        assert set(after[name]) == set(known), name
        for series, values in known.items():
            assert values.items() <= after[name][series].items(), series
    gaps = {name: _longest_gap(after[name]) for name in (SCRAPED, EVALUATED)}
    print(f"\nback after {down:.1f} s; longest gap {gaps[SCRAPED]:.1f} s of scrapes, {gaps[EVALUATED]:.1f} s of rules")
    assert gaps[SCRAPED] <= down + DISCOVERY_SECONDS + 2 * interval
    assert gaps[EVALUATED] <= down + 2 * turn
