"""Grafana's dashboards: the brief's panels, and nothing that nobody exports."""

import dataclasses
import json
import re
from typing import Any

import pytest

from fleet import dashboards, load, recording
from fleet.dashboards import units
from fleet.dashboards.build import parsed
from fleet.metrics import FAMILIES
from fleet.model import Fleet
from tests.rules import promql
from tests.rules.exporters import EXPORTERS, TARGET_LABELS

ENVIRONMENTS = ("prod", "staging", "lab", "example")
BRIEF = {
    "GPU Utilization Over Time",
    "Memory Usage Patterns",
    "Inference Performance",
    "System Health",
    "Model Performance Comparison",
}
# Grafana's own, in place of what it puts there.
_BUILT_IN = {"$__rate_interval": "1m"}
# Prometheus' own series of what fires (prometheus/docs, alerting_rules).
_OWN = {"ALERTS"}


def boards(fleet: Fleet) -> dict[str, Any]:
    """Every dashboard's JSON, by file."""
    return {name: json.loads(content) for name, content in dashboards.files(fleet).items()}


def panels(fleet: Fleet) -> list[dict[str, Any]]:
    """Every panel of every dashboard, without the headings."""
    return [panel for board in boards(fleet).values() for panel in board["panels"] if panel["type"] != "row"]


def expressions(fleet: Fleet) -> list[str]:
    """Everything that dashboards ask, variables and built-in words put in."""
    asked = [target["expr"] for panel in panels(fleet) for target in panel["targets"]]
    asked += [note["expr"] for board in boards(fleet).values() for note in board["annotations"]["list"]]
    for word, value in _BUILT_IN.items():
        asked = [expr.replace(word, value) for expr in asked]
    return [re.sub(r"\$(node|service)\b", ".*", expr) for expr in asked]


def panel(fleet: Fleet, file: str, title: str) -> dict[str, Any]:
    """A panel by its title."""
    (found,) = [one for one in boards(fleet)[file]["panels"] if one["title"] == title]
    return dict(found)


@pytest.mark.parametrize("file", ["ipex-fleet.json", "ipex-node.json"])
def test_a_dashboard_has_the_briefs_five_panels(example: Fleet, file: str) -> None:
    """By exactly their titles, once each."""
    titles = [one["title"] for one in boards(example)[file]["panels"]]

    assert {title: titles.count(title) for title in BRIEF} == dict.fromkeys(BRIEF, 1)


def test_the_same_fleet_makes_the_same_bytes(example: Fleet) -> None:
    """A generation is named by its bytes."""
    assert dashboards.files(example) == dashboards.files(example)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_grafanas_own_schema_reads_them(environment: str) -> None:
    """Read by the SDK and written again, nothing is lost and nothing is new."""
    written = dashboards.files(load.from_file(f"inventory/{environment}.py"))
    assert set(written) == {"ipex-fleet.json", "ipex-node.json"}
    for content in written.values():
        again = json.dumps(parsed(content), sort_keys=True, indent=2, default=lambda one: one.to_json()) + "\n"
        assert again.encode() == content


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_metric_of_a_panel_is_exported(environment: str) -> None:
    """By a row of fleet/metrics, by an exporter, or by a recording rule."""
    fleet = load.from_file(f"inventory/{environment}.py")
    objectives = fleet.with_role("monitors")[0].objectives.values()
    recorded = {rule.name for rule in (*recording.MEASURES, *recording.promises(fleet, objectives))}
    parts = {"histogram": ("_bucket", "_count", "_sum")}
    own = {metric.name + part for metric in FAMILIES for part in parts.get(metric.kind, ("",))}
    others = {name for names in EXPORTERS.values() for name in names}
    used = {name for expr in expressions(fleet) for name in promql.families(expr)}

    assert len(used) > 20
    assert used <= own | recorded | others | _OWN


def test_every_label_a_panel_selects_by_is_one_its_metric_has(example: Fleet) -> None:
    """As its row says, or as Prometheus gives it to every series."""
    labels = {metric.name: {*metric.labels, *TARGET_LABELS} for metric in FAMILIES}

    for expr in expressions(example):
        for name, label in promql.matched(expr):
            assert label in labels.get(name.removesuffix("_bucket"), {label}), (name, label)


def test_no_variable_is_left_that_nobody_declares(example: Fleet) -> None:
    """$node and $service are declared on both dashboards, and no other is used."""
    for board in boards(example).values():
        assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "node", "service"]
    assert [expr for expr in expressions(example) if "$" in expr] == []


def test_every_panel_uses_the_data_source_of_the_dashboard(example: Fleet) -> None:
    """So that the dashboards move to another Prometheus with one choice; it begins with the one provisioned."""
    sources = {target["datasource"]["uid"] for one in panels(example) for target in (one, *one["targets"])}
    chosen = {board["templating"]["list"][0]["current"]["value"] for board in boards(example).values()}

    assert sources == {"${datasource}"}
    assert chosen == {dashboards.DATA_SOURCE}


def test_panels_have_addresses_and_do_not_overlap(example: Fleet) -> None:
    """Each has its own number on its dashboard, and its own place on the page of 24 columns."""
    for board in boards(example).values():
        numbers = [one["id"] for one in board["panels"]]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        places = [
            (x, y)
            for one in board["panels"]
            for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
            for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
        ]
        assert len(places) == len(set(places))
        assert max(x for x, _ in places) < 24


def test_bounds_are_the_fleets_own(example: Fleet) -> None:
    """A threshold or an objective that changes in data changes its line, and nothing else holds the old number."""
    monitor = example["monitor-01"]
    assert monitor.alerts
    promised = monitor.objectives["latency"]
    changed = dataclasses.replace(
        monitor,
        alerts=dataclasses.replace(monitor.alerts, gpu_celsius=71),
        objectives={**monitor.objectives, "latency": dataclasses.replace(promised, seconds=4)},
    )
    fleet = dataclasses.replace(example, nodes=(*example.nodes[:-1], changed))

    def bound(of: Fleet, title: str) -> float:
        found = panel(of, "ipex-fleet.json", title)["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        return float(found)

    assert [bound(example, title) for title in ("GPU temperature", "Inference Performance")] == [85, 2]
    assert [bound(fleet, title) for title in ("GPU temperature", "Inference Performance")] == [71, 4]


def test_units_come_from_the_names_of_metrics() -> None:
    """Each name of fleet/metrics that holds a base unit has Grafana's unit for it; a rate of joules is power."""
    assert {
        metric.name: units.of(metric.name) for metric in FAMILIES if metric.name.endswith(("_rpm", "_celsius"))
    } == {
        "ipex_gpu_temperature_celsius": "celsius",
        "ipex_gpu_fan_rpm": "rotrpm",
    }
    assert units.of("ipex_gateway_first_byte_seconds") == "s"
    assert units.of("ipex_queue_length") == "short"
    assert units.of_rate("ipex_gpu_energy_joules_total") == "watt"
    assert units.of_rate("ipex_gpu_engine_busy_seconds_total") == "percentunit"
    assert units.of_rate("ipex_gateway_requests_total") == "reqps"


def test_deploys_are_marked_when_they_were(example: Fleet) -> None:
    """At the time that stands in the value, in milliseconds, and not when it was looked at."""
    for board in boards(example).values():
        (note,) = board["annotations"]["list"]
        assert note["useValueForTime"] is True
        assert "ipex_node_last_update_timestamp_seconds" in note["expr"]
        assert note["expr"].endswith("* 1000")


def test_states_are_told_in_words(example: Fleet) -> None:
    """Nobody needs to tell red from green."""
    (mapping,) = panel(example, "ipex-fleet.json", "System Health")["fieldConfig"]["defaults"]["mappings"]

    assert {value: said["text"] for value, said in mapping["options"].items()} == {"1": "yes", "0": "NO"}


def test_a_third_service_needs_no_other_dashboard(example: Fleet) -> None:
    """Services are asked of Prometheus: the dashboards name none."""
    for content in dashboards.files(example).values():
        assert b"ollama" not in content
        assert b"comfyui" not in content
