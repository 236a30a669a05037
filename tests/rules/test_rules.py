"""The rules as text: every metric and label they name exists, every alert has its page, limits are data."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from fleet import alerts, checks, load, recording
from fleet.alerts.alert import RUNBOOKS, Alert
from fleet.desired import rules
from fleet.metrics import FAMILIES, METRICS, gateway
from fleet.model import Fleet
from fleet.objectives import Objective
from fleet.thresholds import Thresholds
from tests.rules import promql
from tests.rules.exporters import EXPORTERS, TARGET_LABELS

ROOT = Path(__file__).parents[2]
# A histogram's series, by prometheus/docs, metric_types.
_PARTS = ("", "_bucket", "_count", "_sum")


@pytest.fixture
def every(example: Fleet) -> list[Alert]:
    """Every alert of the example fleet."""
    return _alerts(example)


def _alerts(fleet: Fleet) -> list[Alert]:
    monitor = fleet.with_role("monitors")[0]
    assert monitor.alerts
    return [alert for group in alerts.groups(fleet, monitor.alerts, monitor.objectives).values() for alert in group]


def _recorded(fleet: Fleet) -> list[recording.Recording]:
    objectives = fleet.with_role("monitors")[0].objectives
    return [*recording.MEASURES, *recording.promises(fleet, objectives.values())]


def _expressions(fleet: Fleet) -> list[str]:
    """Everything that Prometheus evaluates."""
    return [*(alert.expr for alert in _alerts(fleet)), *(rule.expr for rule in _recorded(fleet))]


@pytest.fixture
def expressions(example: Fleet) -> list[str]:
    """Everything that the example fleet's Prometheus evaluates."""
    return _expressions(example)


def _series() -> dict[str, set[str]]:
    """Every series of the project's own families, with the labels its row gives it."""
    return {
        metric.name + part: {*metric.labels, *({"le"} if part == "_bucket" else ())}
        for metric in FAMILIES
        for part in (_PARTS[1:] if metric.kind == "histogram" else _PARTS[:1])
    }


@pytest.mark.parametrize("environment", ["prod", "staging", "lab", "example"])
def test_every_metric_of_a_rule_is_exported(environment: str) -> None:
    """By a row of fleet/metrics, by an exporter whose families are listed, or by a recording rule."""
    fleet = load.from_file(f"inventory/{environment}.py")
    recorded = {rule.name for rule in _recorded(fleet)}
    known = {*_series(), *recorded, *(name for names in EXPORTERS.values() for name in names)}

    used = {name for expression in _expressions(fleet) for name in promql.families(expression)}

    assert len(used) > len(alerts.NAMES)
    assert used <= known


def test_every_row_is_somebodys_word() -> None:
    """A family of fleet/metrics stands in the program on the box, or in what mtail is given: no row is a mere wish."""
    program = "".join(path.read_text() for path in (ROOT / "ipex_node").rglob("*.py"))
    counted = (ROOT / "templates/mtail/gateway.mtail.j2").read_text()

    assert [row.name for row in METRICS if f'"{row.name}"' not in program] == []
    assert [
        row.name for row in gateway.ROWS if not re.search(rf"^(counter|histogram) {row.name}\b", counted, re.MULTILINE)
    ] == []


def test_every_listed_family_is_used(expressions: list[str]) -> None:
    """The list of others' families holds nothing that nobody asks for."""
    used = {name for expression in expressions for name in promql.families(expression)}

    assert {name for names in EXPORTERS.values() for name in names} <= used


def test_every_label_of_a_rule_is_one_its_metric_has(expressions: list[str]) -> None:
    """What is selected by, or grouped by, stands in the metric's row, or is Prometheus' own."""
    series = _series()
    for expression in expressions:
        for name, label in promql.matched(expression):
            assert name not in series or label in series[name] | TARGET_LABELS, (name, label)
        own = [series[name] for name in promql.families(expression) if name in series]
        if own and not promql.families(expression) - set(series):
            made = {"service"} if "label_replace" in expression else set()
            assert promql.grouped(expression) <= set().union(*own) | TARGET_LABELS | made, expression


def test_the_reader_of_expressions_reads_them() -> None:
    """Metrics, labels and groupings are found, functions, strings and ranges are not."""
    text = 'max by (node, by) (rate(a_total{x=~"b{1}|c_total",y!="z"}[5m]) or 0 * on (q) d:e unless f offset 1d) > 2e3'

    assert promql.families(text) == {"a_total", "d:e", "f"}
    assert promql.matched(text) == {("a_total", "x"), ("a_total", "y")}
    assert promql.grouped(text) == {"node", "by", "q"}


def test_every_alert_has_its_page_and_every_page_its_alert(every: list[Alert]) -> None:
    """A page names what to look at first, what to do, and when to call somebody."""
    pages = {path.stem: path.read_text() for path in (ROOT / RUNBOOKS).glob("*.md")}

    assert set(pages) == alerts.NAMES == {alert.name for alert in every}
    for name, page in pages.items():
        assert page.startswith(f"# {name}\n"), name
        assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["What it means", "Look", "Do", "Escalate"], name


def test_every_alert_says_what_it_is_about(every: list[Alert]) -> None:
    """One sentence, with labels that the expression leaves, and no place left to be filled."""
    for alert in every:
        assert alert.summary.endswith("."), alert.name
        assert not re.search(r"<[a-z_]+>", alert.expr + alert.summary + alert.duration), alert.name
        said = set(re.findall(r"\$labels\.(\w+)", alert.summary))
        left = promql.grouped(alert.expr) | set(alert.labels) | {"slo", "service", "node", "gpu", "job"}
        assert said <= left, alert.name


def test_the_briefs_six_measures_are_recorded() -> None:
    """Under names in which the brief's own can be found."""
    briefs = ("gpu_utilization", "memory_usage", "inference_latency", "throughput", "power_consumption", "temperature")

    assert [rule.name.split(":")[1] for rule in recording.MEASURES] == [*briefs[:5], "temperature"]


def test_a_fourth_objective_is_one_row(example: Fleet) -> None:
    """A row more brings its rates, its budget and its two alerts."""
    monitor = example["monitor-01"]
    quick = Objective("quick", "first_byte", share=0.99, seconds=30)
    more = dataclasses.replace(monitor, objectives={**monitor.objectives, "quick": quick})
    fleet = dataclasses.replace(example, nodes=tuple(more if one is monitor else one for one in example.nodes))

    text = {Path(file.path).name: file.content.decode() for file in rules.files(more, fleet)}

    assert text["objectives.yml"].count('slo: "quick"') == 3
    assert 'le=~"30([.]0)?"' in text["objectives.yml"]
    assert text["alerts.yml"].count('slo: "quick"') == 2
    assert 'slo:sli_error:ratio_rate1h{slo="quick"} > 0.144' in text["alerts.yml"]


def test_an_alert_can_be_left_out(example: Fleet) -> None:
    """What a fleet does without is not rendered; a name that is none is refused."""
    monitor = example["monitor-01"]
    assert monitor.alerts
    fewer = dataclasses.replace(monitor, alerts=dataclasses.replace(monitor.alerts, without=("ClockSkew", "Nonsense")))
    fleet = dataclasses.replace(example, nodes=tuple(fewer if one is monitor else one for one in example.nodes))

    found = [problem.what for problem in checks.run(fleet)]

    assert all(b"ClockSkew" not in file.content for file in rules.files(fewer, fleet))
    assert found == ["alerts.without has 'Nonsense'"]


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        (Objective("a", "errors", share=0.9), "share is 0.9"),
        (Objective("a", "errors", share=0.999, seconds=2), "seconds is 2"),
        (Objective("a", "first_byte", share=0.95), "seconds is None"),
        (Objective("a", "first_byte", share=0.95, seconds=3), "seconds is 3"),
        (Objective("a", "users", users=0), "users is 0"),
        (Objective("a", "users", users=9, share=0.99), "share is 0.99"),
    ],
)
def test_an_objective_that_cannot_be_meant_is_refused(example: Fleet, objective: Objective, what: str) -> None:
    """Also one whose bound no histogram has."""
    monitor = dataclasses.replace(example["monitor-01"], objectives={"a": objective})
    nodes = tuple(monitor if one.name == monitor.name else one for one in example.nodes)

    found = [problem.what for problem in checks.run(dataclasses.replace(example, nodes=nodes))]

    assert found == [f"objectives.a.{what}"]


@pytest.mark.parametrize(("key", "value"), [("down_for", "2"), ("disk_share", 92), ("gpu_celsius", 0)])
def test_a_threshold_that_cannot_be_meant_is_refused(example: Fleet, key: str, value: Any) -> None:
    """Each is named with its cure."""
    monitor = example["monitor-01"]
    assert monitor.alerts
    odd = dataclasses.replace(monitor, alerts=dataclasses.replace(monitor.alerts, **{key: value}))
    nodes = tuple(odd if one is monitor else one for one in example.nodes)

    found = [problem.what for problem in checks.run(dataclasses.replace(example, nodes=nodes))]

    assert len(found) == 1
    assert found[0].startswith(f"alerts.{key} is ")


def test_a_service_without_a_floor_has_no_alert_for_it(example: Fleet) -> None:
    """Staging has one GPU node: nothing serves while it changes."""
    nodes = tuple(
        dataclasses.replace(node, services=tuple(dataclasses.replace(one, floor=0) for one in node.services))
        for node in example.nodes
    )
    fleet = dataclasses.replace(example, nodes=nodes)

    assert all(b"ServiceBelowFloor" not in file.content for file in rules.files(fleet["monitor-01"], fleet))


def test_nodes_with_two_gpus_are_told_from_those_with_one(example: Fleet) -> None:
    """How many a node must show is its own data."""
    nodes = tuple(dataclasses.replace(node, gpus=2) if node.name == "gpu-02" else node for node in example.nodes)
    fleet = dataclasses.replace(example, nodes=nodes)

    content = rules.files(fleet["monitor-01"], fleet)[2].content.decode()

    assert re.findall(r'ipex_gpu_info\{node=~"([^"]*)"\}.* < (\d)', content) == [
        ("gpu-01|gpu-03", "1"),
        ("gpu-02", "2"),
    ]


def test_what_the_pages_name_is_there() -> None:
    """Tasks, tools, other pages and keys of data."""
    limits = {item.name for item in dataclasses.fields(Thresholds)}
    for page in [*(ROOT / RUNBOOKS).glob("*.md"), ROOT / f"{RUNBOOKS}.md"]:
        text = page.read_text()
        files = re.findall(r"\b((?:tasks|docs|inventory)/[\w/.-]+\.(?:py|md))\b", text)
        modules = [f"tools/{name}.py" for name in re.findall(r"python -m tools\.(\w+)", text)]
        assert [name for name in [*files, *modules] if not (ROOT / name).exists()] == [], page.name
        assert set(re.findall(r"`alerts\.(\w+)`", text)) <= limits, page.name
