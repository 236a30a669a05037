"""Debian's own amtool on what every environment's monitors get: who hears of what, and in which words.

That it is understood at all is test_monitors.py's.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet import load
from fleet.desired import alertmanager
from fleet.maintenance import Window
from fleet.model import Fleet
from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

# What amtool is asked, and what it must say: receivers in the order of the routes.
ROUTES = {
    "a page": ("alertname=NodeDown severity=page node=gpu-02", "page"),
    "a page of no node": ("alertname=ErrorBudgetBurns severity=page slo=availability service=ollama", "page"),
    "a ticket": ("alertname=NodeDrifts severity=ticket node=gpu-02", "ticket"),
    "an unknown severity": ("alertname=New severity=critical node=gpu-02", "ticket"),
    "no severity": ("alertname=New", "ticket"),
    "no alert": ("alertname=NodeInTransaction severity=none node=gpu-02", "nobody"),
    "the watchdog": ("alertname=Watchdog severity=none", "nobody"),
}
WINDOWS = (
    Window("disks", "saturday 22:00", "monday 02:00", "Europe/Berlin"),
    Window("move", "2026-02-28 20:00", "2026-03-01 06:00", "UTC", ("gpu-01", "gpu-03")),
    Window("memory", "sunday 00:00", "sunday 23:00", "UTC", ("gpu-03",)),
)
# What a notification's template is given, as `amtool template render --template.data` reads it.
ALERT: dict[str, Any] = {
    "labels": {"alertname": "EngineDown", "severity": "page", "node": "gpu-01", "service": "ollama"},
    "annotations": {"summary": "<!channel> ollama is down & out.", "runbook": "docs/operate/alerts/EngineDown.md"},
    "startsAt": "2026-03-01T20:15:00+01:00",
    "endsAt": "2026-03-01T20:45:00+01:00",
}


def written(fleet: Fleet, directory: Path) -> str:
    """Write what the fleet's first monitor gets into a directory, and return where its configuration is below it."""
    node = fleet.with_role("monitors")[0]
    assert node.alertmanager
    assert node.notifications
    for file in alertmanager.part(node, node.alertmanager, node.notifications, fleet).files:
        path = directory / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    return alertmanager.CONFIGURATION.lstrip("/")


def variants(example: Fleet) -> dict[str, Fleet]:
    """The example fleet, told in every way that data allow."""
    notifications = example["monitor-01"].notifications
    assert notifications
    told: dict[str, dict[str, Any]] = {
        "without Slack": {"notifications": dataclasses.replace(notifications, slack=None)},
        "without mail": {"notifications": dataclasses.replace(notifications, email=None)},
        "without either": {"notifications": dataclasses.replace(notifications, slack=None, email=None)},
        "with a dead man's switch": {"notifications": dataclasses.replace(notifications, deadman=True)},
        "with windows": {"maintenance": WINDOWS},
    }
    return {name: _with(example, changes) for name, changes in told.items()}


def _with(fleet: Fleet, changes: dict[str, Any]) -> Fleet:
    nodes = tuple(dataclasses.replace(node, **changes) if node.alertmanager else node for node in fleet.nodes)
    return dataclasses.replace(fleet, nodes=nodes)


Amtool = Callable[[Fleet, str], tuple[int, str]]
"""Runs amtool, a fleet's configuration at $CONFIG, the test's own files in $ROOT: its exit status and all it said."""


@pytest.fixture
def amtool(lab: Lab, tmp_path: Path) -> Amtool:
    """The amtool of the lab's monitor, which has none of the secrets at hand."""
    monitor = lab.names("monitors")[0]

    def run(fleet: Fleet, words: str) -> tuple[int, str]:
        path = written(fleet, tmp_path)
        lab.push(monitor, tmp_path, "/run/alertmanager-test")
        done = lab.run(monitor, f"ROOT=/run/alertmanager-test; CONFIG=$ROOT/{path}; amtool {words}")
        return done.returncode, done.stdout + done.stderr

    return run


def test_every_channel_may_be_left_out(amtool: Amtool, example: Fleet) -> None:
    """Slack, mail, both; with a dead man's switch, with windows."""
    for name, fleet in variants(example).items():
        status, said = amtool(fleet, "check-config $CONFIG")
        assert status == 0, f"{name}: {said}"


@pytest.mark.parametrize("environment", ["prod", "staging", "lab", "example"])
@pytest.mark.parametrize("has_windows", [False, True])
def test_an_alert_reaches_who_is_meant(amtool: Amtool, environment: str, has_windows: bool) -> None:
    """By severity, and by no other label: a window changes when a route speaks, not where it leads."""
    fleet = load.from_file(f"inventory/{environment}.py")
    declared = fleet.with_role("monitors")[0].notifications
    assert declared
    watched = {"nobody": "deadman" if declared.deadman else "nobody"}
    fleet = _with(fleet, {"maintenance": WINDOWS}) if has_windows else fleet
    for case, (labels, receiver) in ROUTES.items():
        meant = watched.get(receiver, receiver) if "Watchdog" in labels else receiver
        status, said = amtool(fleet, f"config routes test --config.file=$CONFIG --verify.receivers={meant} {labels}")
        assert status == 0, f"{case}: {said}"


def test_a_wrong_receiver_is_noticed(amtool: Amtool, example: Fleet) -> None:
    """The question can be answered with no."""
    status, _ = amtool(example, "config routes test --config.file=$CONFIG --verify.receivers=ticket severity=page")

    assert status != 0


def test_the_watchdog_feeds_a_dead_mans_switch(amtool: Amtool, example: Fleet) -> None:
    """Where one is declared."""
    words = "config routes test --config.file=$CONFIG --verify.receivers=deadman alertname=Watchdog severity=none"

    assert amtool(variants(example)["with a dead man's switch"], words)[0] == 0


@pytest.fixture
def shown(amtool: Amtool, example: Fleet, tmp_path: Path) -> Callable[[str, str], str]:
    """What a template makes of ALERT, firing or resolved."""

    def show(template: str, status: str) -> str:
        labels = {**ALERT["labels"], "environment": "prod"}
        data = {"status": status, "commonLabels": labels, "alerts": [{"status": status, **ALERT}]}
        (tmp_path / "data.json").write_text(json.dumps({"receiver": "page", "externalURL": "http://m", **data}))
        files = "--template.glob=$ROOT/etc/prometheus/alertmanager_templates/*.tmpl --template.data=$ROOT/data.json"
        status_of, text = amtool(
            example, f"template render {files} --template.text='{{{{ template \"{template}\" . }}}}'"
        )
        assert status_of == 0, text
        return text

    return show


@pytest.mark.parametrize(
    ("template", "status", "said"),
    [
        ("ipex.title", "firing", "[prod] Act now: EngineDown, ollama on gpu-01"),
        ("ipex.title", "resolved", "[prod] Over: EngineDown, ollama on gpu-01"),
        ("ipex.text", "firing", "What:   <!channel> ollama is down & out."),
        ("ipex.text", "firing", "Where:  node gpu-01, service ollama"),
        ("ipex.text", "firing", "Since:  2026-03-01 19:15 UTC"),
        ("ipex.text", "firing", "To do:  docs/operate/alerts/EngineDown.md"),
        ("ipex.text", "resolved", "Lasted: 2026-03-01 19:15 to 2026-03-01 19:45 UTC"),
        ("ipex.slack.text", "firing", "*&lt;!channel> ollama is down &amp; out.*"),
        ("ipex.slack.text", "firing", "To do: `docs/operate/alerts/EngineDown.md`"),
        ("ipex.slack.text", "resolved", "~&lt;!channel> ollama is down &amp; out.~"),
    ],
)
def test_a_message_says_what_where_since_when_and_what_to_do(
    shown: Callable[[str, str], str], template: str, status: str, said: str
) -> None:
    """In words for a person; in Slack, nothing a label holds calls everybody."""
    assert said in shown(template, status).splitlines()
