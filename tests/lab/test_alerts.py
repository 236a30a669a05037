"""Things break on real nodes: people are told in time, in words, of that and of nothing else, and told when it is over.

From agents and exporters through Prometheus and the Alertmanager to a mail server and a webhook, nothing in between is
a double. The lab's limits are short; how long each message may take is computed from its data.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fleet import alerts, load
from fleet.alerts.alert import Alert
from fleet.model import Fleet
from fleet.thresholds import seconds
from lab import faults, nodes
from tests.inbox import Inbox
from tests.lab.test_health import FRESH
from tests.lab_fleet import INVENTORY, Lab
from tests.lab_people import CHANNELS, DEADMAN, SLACK, people, told

if TYPE_CHECKING:
    from lab.roster import Node

pytestmark = [pytest.mark.lab, pytest.mark.proof, pytest.mark.timeout(600)]

# Two that are always there; the second for a quarter of an hour after a time without people, and never for less: that
# nothing more failed meanwhile is asserted of its counter.
STANDING = {"Watchdog", "NotificationsFail"}
SEND_SECONDS = 5
"""For a message on its way, and for a machine with two cores that carries five nodes."""
TEMPERATURES = "/lab/sysfs/class/hwmon/hwmon*/temp*_input"
DISK = "/mnt/alerts"


@dataclass(frozen=True)
class Fault:
    """What breaks, and what people must hear.

    Attributes:
        node: where.
        breaks, mends: shell commands there; `off` and `boot` are the node's power.
        alert: its name.
        title: what the message's title says of the place.
        summary: its sentence.
        measured: how long whoever measures may take (s), before Prometheus can see it.
    """

    node: str
    breaks: str
    mends: str
    alert: str
    title: str
    summary: str
    measured: float = 2


def _faults(fleet: Fleet) -> dict[str, Fault]:
    stopped, hot, full, *_ = fleet.with_role("gpu_nodes")
    hangs = faults.inflict("ollama", generate="hang")
    look = "{ systemctl start ipex-health-monitor || true; }"
    down = "ollama on {} is down, and the health monitor has not mended it."
    return {
        "a service is stopped": Fault(
            stopped.name,
            "systemctl stop ollama-ipex",
            "systemctl start ollama-ipex",
            "EngineDown",
            f"EngineDown, ollama on {stopped.name}",
            down.format(stopped.name),
        ),
        "a disk is full": Fault(
            full.name,
            f"mkdir -p {DISK} && mount -t tmpfs -o size=64m ipex-test {DISK} && fallocate -l 62M {DISK}/full",
            f"umount {DISK} && rmdir {DISK}",
            "DiskFull",
            f"DiskFull on {full.name}",
            f"ipex-test of {full.name} is 96.88% full.",
        ),
        "a GPU is hot": Fault(
            hot.name,
            f"for one in {TEMPERATURES}; do cp $one /run/$(basename $one) && echo 96000 > $one; done",
            f"for one in {TEMPERATURES}; do cp /run/$(basename $one) $one; done",
            "GpuTemperatureHigh",
            f"GpuTemperatureHigh on {hot.name}",
            f"The sensor vram of card0 on {hot.name} says 96 °C.",
            measured=hot.metrics.gpu_seconds,
        ),
        "an engine hangs": Fault(
            stopped.name,
            f"{hangs} && {look}",
            f"{faults.clear('ollama')} && {look}",
            "EngineDown",
            f"EngineDown, ollama on {stopped.name}",
            down.format(stopped.name),
        ),
        "a node is off": Fault(
            full.name,
            "off",
            "boot",
            "NodeDown",
            f"NodeDown on {full.name}",
            f"{full.name} is silent: neither its agent nor its node_exporter answers.",
        ),
    }


FLEET = load.from_file(str(INVENTORY))
FAULTS = _faults(FLEET)
MONITOR = FLEET.with_role("monitors")[0]


@dataclass(frozen=True)
class Times:
    """How long a message may take, by the lab's data (s)."""

    fires: float
    is_over: float
    waits: float

    @classmethod
    def of(cls, alert: Alert, measured: float) -> "Times":
        """Of one alert: measured, scraped (a scrape may time out first), evaluated, waited for, grouped, sent."""
        assert MONITOR.prometheus
        assert MONITOR.notifications
        scrape, turn = (
            seconds(text) for text in (MONITOR.prometheus.scrape_interval, MONITOR.prometheus.evaluation_interval)
        )
        cadence = MONITOR.notifications.page if alert.severity == "page" else MONITOR.notifications.ticket
        waits = seconds(alert.duration) if alert.duration else 0
        # The end of `for` is seen at the next turn.
        seen = measured + 2 * scrape + turn
        fires = seen + (waits + turn if waits else 0) + seconds(cadence.group_wait) + SEND_SECONDS
        return cls(fires, seen + seconds(cadence.group_interval) + SEND_SECONDS, waits)


@pytest.fixture(scope="module")
def inbox(lab: Lab) -> Iterator[Inbox]:
    """The people's side, and a fleet of which nobody says anything yet."""
    for name in lab.gpus:
        lab.output(name, FRESH)
    with people() as doubles:
        # What could not be sent before is sent now.
        doubles.wait(lambda message: message.channel == DEADMAN, 120)
        _calm(lab)
        _settled(lab)
        yield doubles


def _asked(lab: Lab, port: int, path: str) -> str:
    return lab.output(MONITOR.name, f"curl -sf http://localhost:{port}{path}")


def _said(lab: Lab) -> set[str]:
    """What Prometheus or the Alertmanager knows beside the standing ones, pending included."""
    assert MONITOR.prometheus
    assert MONITOR.alertmanager
    known = json.loads(_asked(lab, MONITOR.prometheus.port, "/api/v1/alerts"))["data"]["alerts"]
    known += json.loads(_asked(lab, MONITOR.alertmanager.port, "/api/v2/alerts"))
    return {
        " ".join(f"{name}={value}" for name, value in sorted(one["labels"].items()))
        for one in known
        if one["labels"]["alertname"] not in STANDING
    }


def _calm(lab: Lab, limit: float = 180) -> None:
    """Wait until nothing is said, and nothing is about to be."""
    deadline = time.monotonic() + limit
    while said := _said(lab):
        assert time.monotonic() < deadline, said
        time.sleep(1)


def _settled(lab: Lab, limit: float = 120) -> None:
    """Wait until the Alertmanager holds no group but the standing ones: nothing is to be told to be over, either."""
    assert MONITOR.alertmanager
    deadline = time.monotonic() + limit
    while _shown(lab, "alertmanager_dispatcher_aggregation_groups") > len(
        json.loads(_asked(lab, MONITOR.alertmanager.port, "/api/v2/alerts"))
    ):
        assert time.monotonic() < deadline
        time.sleep(1)


def _shown(lab: Lab, family: str) -> float:
    """The Alertmanager's own number of something, all labels together."""
    assert MONITOR.alertmanager
    page = _asked(lab, MONITOR.alertmanager.port, "/metrics")
    values = [float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(family)]
    assert values, family
    return sum(values)


def _failed(lab: Lab) -> float:
    """How many notifications have not reached anybody since the Alertmanager began."""
    return _shown(lab, "alertmanager_notifications_failed_total")


def _do(lab: Lab, node: str, command: str) -> None:
    power: dict[str, Callable[[Node], object]] = {"off": nodes.power_off, "boot": nodes.boot}
    if command in power:
        power[command](nodes.find(node))
    else:
        lab.output(node, command)


@pytest.mark.parametrize("name", FAULTS)
def test_people_hear_of_a_fault_in_time_and_of_nothing_else(lab: Lab, inbox: Inbox, name: str) -> None:
    """The right alert in the right channels, not before its time and not after it; its end; and no other message."""
    fault = FAULTS[name]
    assert MONITOR.alerts
    rows = alerts.groups(FLEET, MONITOR.alerts, MONITOR.objectives)
    alert = next(one for group in rows.values() for one in group if one.name == fault.alert)
    times, first, failed = Times.of(alert, fault.measured), len(inbox.messages), _failed(lab)

    before = time.monotonic()
    try:
        _do(lab, fault.node, fault.breaks)
        broken = time.monotonic()
        start = f"[lab] {'Act now' if alert.severity == 'page' else 'Ticket'}: {fault.title}"
        heard = [inbox.wait(told(channel, start), times.fires, first) for channel in CHANNELS[alert.severity]]
    finally:
        _do(lab, fault.node, fault.mends)
    mended = time.monotonic()
    over = [
        inbox.wait(told(channel, f"[lab] Over: {fault.title}"), times.is_over, first)
        for channel in CHANNELS[alert.severity]
    ]
    _calm(lab)

    print(
        f"\n{name}: {fault.alert} after {heard[0].at - broken:.0f} s (at most {times.fires:.0f}), "
        f"over after {over[0].at - mended:.0f} s (at most {times.is_over:.0f})"
    )
    assert all(message.at - before >= times.waits for message in heard)
    for message in (*heard, *over):
        assert fault.summary in message.text, message.text
        assert alert.runbook in message.text or message in over
        assert f"node {fault.node}" in message.text
    others = [
        (message.channel == SLACK, message.title)
        for message in inbox.messages[first:]
        if message.channel != DEADMAN
        and not (fault.title in message.title and message.channel in CHANNELS[alert.severity])
        and not any(standing in message.title for standing in STANDING)
    ]
    assert others == []
    assert _failed(lab) == failed
