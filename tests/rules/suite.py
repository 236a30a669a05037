"""Files for `promtool test rules`, made of the cases and of the rules of the example fleet."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet import alerts
from fleet.alerts.alert import Alert
from fleet.desired import rules
from fleet.model import Fleet, Node
from tests.rules import cases, cases_services, promises
from tests.rules.cases import Case
from tests.rules.expected import fired

CASES = (
    *(*cases.MACHINES, *cases.CHANGES, *cases.GPUS),
    *(*cases_services.ENGINES, *cases_services.GATEWAYS, *cases_services.MONITORING),
)
RULES = ("objectives.yml", "recording.yml", "alerts.yml")


def write(fleet: Fleet, directory: Path) -> list[Path]:
    """Write rules and tests, and return the tests: one file for each step, and one for the objectives."""
    monitor = fleet.with_role("monitors")[0]
    for file in rules.files(monitor, fleet):
        (directory / Path(file.path).name).write_bytes(file.content)
    known = _alerts(monitor, fleet)
    order = ["rates", "measures", *alerts.groups(fleet, monitor.alerts, monitor.objectives)] if monitor.alerts else []
    groups = defaultdict[str, list[dict[str, Any]]](list)
    for case in CASES:
        groups[case.step] += [_group(case, case.fires, [_expected(case, known)])]
        if case.silent:
            groups[case.step] += [_group(case, case.silent, [])]
    files = {f"cases_{step}": (step, tests) for step, tests in groups.items()} | promises.files(known)
    return [_file(directory / f"{name}.json", step, order, tests) for name, (step, tests) in files.items()]


def _alerts(monitor: Node, fleet: Fleet) -> list[Alert]:
    assert monitor.alerts
    return [alert for group in alerts.groups(fleet, monitor.alerts, monitor.objectives).values() for alert in group]


def _group(case: Case, series: Mapping[str, str], expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": f"{case.alert} {'fires' if expected else 'stays silent'}",
        "interval": case.step,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}],
    }


def _expected(case: Case, known: list[Alert]) -> dict[str, Any]:
    alert = next(one for one in known if one.name == case.alert and case.own.items() <= one.labels.items())
    return fired(alert, case.labels, case.value)


def _file(path: Path, step: str, order: list[str], tests: list[dict[str, Any]]) -> Path:
    content = {"rule_files": RULES, "evaluation_interval": step, "group_eval_order": order, "tests": tests}
    path.write_text(json.dumps(content, indent=1))
    return path
