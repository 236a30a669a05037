"""How fast a deployed fleet is for its users: the same measures of a real one and of the lab's. Nothing is changed.

    make performance INVENTORY=inventory/prod.py

Figures of the lab are of its small servers: they say what the way to the engines costs, and nothing of a GPU.
"""

import json
import statistics
from pathlib import Path

import pytest

from tests.target import Target

pytestmark = [pytest.mark.performance, pytest.mark.target, pytest.mark.timeout(1800)]

BUILD = Path(__file__).parents[2] / "build"
ROUNDS = 5


def _bound(target: Target) -> float:
    """The seconds within which an answer must begin, by the fleet's own objectives."""
    monitor = target.fleet.with_role("monitors")[0]
    bounds = [one.seconds for one in monitor.objectives.values() if one.measures == "first_byte" and one.seconds]
    assert bounds, "the fleet has no objective for the beginning of an answer"
    return min(bounds)


@pytest.mark.requires("intel-gpu", "16gb-ram")
def test_a_small_answer_is_whole_before_it_would_have_to_begin(target: Target, gpus: list[str]) -> None:
    """Through each gateway, by each service: the median of five, after one that brings the model into memory."""
    bound = _bound(target)
    rounds: dict[str, list[float]] = {}
    for number in range(ROUNDS + 1):
        for gateway, said in target.ask(target.names("gateways"), "verify").items():
            assert said["ok"], said["failures"]
            for route in said["routes"] if number else []:
                rounds.setdefault(f"{gateway} {route['service']}", []).append(route["seconds"])
    medians = {way: statistics.median(seconds) for way, seconds in rounds.items()}
    measured = {"target": str(target), "nodes": gpus, "bound_seconds": bound, "median_seconds": medians}
    BUILD.mkdir(exist_ok=True)
    (BUILD / "performance.json").write_text(json.dumps(measured, indent=2) + "\n")
    print(f"\n{target}\n" + "\n".join(f"  {way}: {seconds:.3f} s of {bound} s" for way, seconds in medians.items()))

    assert len(medians) >= len(target.names("gateways"))
    assert {way: seconds for way, seconds in medians.items() if seconds > bound} == {}


@pytest.mark.requires("intel-gpu", "16gb-ram")
def test_the_engines_themselves_answer_in_time(target: Target, gpus: list[str]) -> None:
    """Asked on their own node, without a gateway: the median of five probes of each engine, the slowest node's."""
    bound = _bound(target)
    target.ask(gpus, "probe")
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        answers = target.ask(gpus, "probe")
        assert sorted(answers) == sorted(gpus)
        for node, said in answers.items():
            assert said["ok"], said["failures"]
            for one in said["healthy"]:
                seconds.setdefault(f"{node} {one['unit']}", []).append(one["seconds"])
    medians = {engine: statistics.median(one) for engine, one in seconds.items()}

    assert {engine: one for engine, one in medians.items() if one > bound} == {}
