"""Dashboards and the capacity report on the lab: Grafana is absent there, Prometheus answers what they ask."""

import shlex
import subprocess

import pytest

from fleet import dashboards, load
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab
from tests.parsers.test_dashboards import asked

pytestmark = pytest.mark.lab


def test_what_grafana_would_find_lies_on_the_monitor(lab: Lab) -> None:
    """Every dashboard and the data source, readable for everybody; no unit, and nobody on its port."""
    monitor = lab.names("monitors")[0]
    for name, content in dashboards.files(load.from_file(str(INVENTORY))).items():
        assert lab.output(monitor, f"cat /etc/grafana/dashboards/{name}") == content.decode().strip()
    assert "uid: ipex-prometheus" in lab.output(monitor, "cat /etc/grafana/provisioning/datasources/*.yml")
    assert lab.run(monitor, "systemctl cat grafana-server").returncode != 0


def test_prometheus_answers_everything_that_is_asked(lab: Lab) -> None:
    """With the lab's own series: no expression joins what does not fit together."""
    monitor = lab.names("monitors")[0]
    for expr in asked(load.from_file(str(INVENTORY))):
        done = lab.run(monitor, f"promtool query instant http://127.0.0.1:9091 {shlex.quote(expr)}")
        assert done.returncode == 0, f"{expr}\n{done.stdout}{done.stderr}"


def test_the_capacity_report_of_a_young_fleet_says_so(lab: Lab) -> None:  # noqa: ARG001 - deployed first
    """A lab has no week of days: nothing is foretold, and the run succeeds."""
    command = [str(PYINFRA), str(INVENTORY), "tasks/capacity.py"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing can be said of nodes yet" in done.stdout + done.stderr
