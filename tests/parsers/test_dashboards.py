"""Debian's own promtool on all that dashboards and the capacity report ask, of every environment."""

import json
from pathlib import Path

import pytest

from fleet import dashboards, load, outlook
from fleet.dashboards import questions
from fleet.model import Fleet
from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

# What Grafana puts in their place.
_WORDS = {"$__rate_interval": "1m", "$node": ".*", "$service": ".*"}
_PLACE = "/run/dashboards-test"
_SPEEDS = {"m1": 20, "m2": 60}


def asked(fleet: Fleet) -> list[str]:
    """Every expression, as Prometheus gets it."""
    found = []
    for content in dashboards.files(fleet).values():
        board = json.loads(content)
        found += [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
        found += [note["expr"] for note in board["annotations"]["list"]]
    settings = fleet.with_role("monitors")[0].capacity
    assert settings
    found += [question.expr for question in outlook.questions(settings, 100, 3)]
    for word, value in _WORDS.items():
        found = [expr.replace(word, value) for expr in found]
    return found


def complaints(lab: Lab, expressions: list[str], folder: Path) -> str:
    """What promtool says of them, each wrapped as a recording rule; nothing where it is content."""
    rules = [{"record": f"asked:{place}", "expr": expr} for place, expr in enumerate(expressions)]
    # JSON is YAML, too.
    (folder / "rules.json").write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    monitor = lab.names("monitors")[0]
    lab.push(monitor, folder, _PLACE)
    done = lab.run(monitor, f"promtool check rules {_PLACE}/rules.json")
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("name", ["prod", "staging", "lab", "example"])
def test_every_question_can_be_asked(lab: Lab, tmp_path: Path, name: str) -> None:
    """No panel and no report asks what Prometheus does not understand."""
    assert complaints(lab, asked(load.from_file(f"inventory/{name}.py")), tmp_path) == ""


def test_a_models_speed_is_told_only_where_it_is_alone(lab: Lab, tmp_path: Path) -> None:
    """Node a runs m1 at 20 tokens a second, c runs m2 at 60; b runs both at once, which says nothing of either."""
    expr = questions.speed_of_models()
    for word, value in _WORDS.items():
        expr = expr.replace(word, value)
    given = [
        (f'ipex_model_size_bytes{{node="{node}",service="ollama",model="{model}"}}', "4e9x60")
        for node, models in (("a", ("m1",)), ("b", ("m1", "m2")), ("c", ("m2",)))
        for model in models
    ]
    for node, seconds in (("a", 30), ("b", 1), ("c", 10)):
        labels = f'{{node="{node}",service="ollama",kind="generated"}}'
        given += [(f"ipex_inference_tokens_total{labels}", "0+600x60")]
        given += [(f"ipex_inference_compute_seconds_total{labels}", f"0+{seconds}x60")]
    expected = [{"labels": f'{{model="{model}",service="ollama"}}', "value": speed} for model, speed in _SPEEDS.items()]
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in given],
        "promql_expr_test": [{"expr": f"round({expr})", "eval_time": "30m", "exp_samples": expected}],
    }
    (tmp_path / "none.json").write_text(json.dumps({"groups": []}))
    (tmp_path / "case.json").write_text(json.dumps({"rule_files": ["none.json"], "tests": [case]}))
    monitor = lab.names("monitors")[0]
    lab.push(monitor, tmp_path, _PLACE)

    done = lab.run(monitor, f"promtool test rules {_PLACE}/case.json")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_question_that_cannot_be_asked_is_noticed(lab: Lab, tmp_path: Path) -> None:
    """A variable that nobody replaces is no PromQL."""
    assert complaints(lab, ["up{node=~$unknown}"], tmp_path)
