"""The rules that Prometheus evaluates on the monitors."""

from fleet import alerts, recording
from fleet.desired.render import render
from fleet.generation import File
from fleet.model import Fleet, Node

DIRECTORY = "/etc/prometheus/rules"


def files(node: Node, fleet: Fleet) -> tuple[File, ...]:
    """The rule files of a monitor: objectives, the brief's measures, alerts."""
    if node.alerts is None:
        return ()
    promised = node.objectives
    return (
        _file("objectives", recordings={"rates": recording.promises(fleet, promised.values())}),
        _file("recording", recordings={"measures": recording.MEASURES}),
        _file("alerts", alerts=alerts.groups(fleet, node.alerts, promised)),
    )


def _file(name: str, **groups: object) -> File:
    content = render("prometheus/rules.yml.j2", **{"recordings": {}, "alerts": {}, **groups})
    return File(f"{DIRECTORY}/{name}.yml", content)
