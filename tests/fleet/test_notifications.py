"""Whom alerts reach: the data, what they become on a monitor, and that no secret is ever among it."""

import dataclasses
import json
import re
from typing import Any

import pytest

from fleet import alerts, checks, desired, load
from fleet.desired import alertmanager
from fleet.generation import File
from fleet.model import Fleet
from fleet.notifications import Notifications, nonsense
from fleet.secrets import Secrets
from tools.golden import landing

_SECRETS = ("slack_url", "smtp_password", "deadman_url")


def _notifications(fleet: Fleet) -> Notifications:
    notifications = fleet["monitor-01"].notifications
    assert notifications
    return notifications


def _with(fleet: Fleet, **changes: Any) -> Fleet:
    nodes = tuple(dataclasses.replace(node, **changes) if node.alertmanager else node for node in fleet.nodes)
    return dataclasses.replace(fleet, nodes=nodes)


def _changed(notifications: Notifications, where: str, key: str, value: Any) -> Notifications:
    """Another value for one key, in one of the records or in the whole."""
    if not where:
        return dataclasses.replace(notifications, **{key: value})
    inner: Any = dataclasses.replace(getattr(notifications, where), **{key: value})
    return dataclasses.replace(notifications, **{where: inner})


def _file(fleet: Fleet, path: str, node: str = "monitor-01") -> str:
    generation = desired.generation(fleet[node], fleet)
    return next(file.content.decode() for file in generation.files if file.path == path)


def _unit(fleet: Fleet, node: str = "monitor-01") -> str:
    return _file(fleet, f"/etc/systemd/system/{alertmanager.UNIT}", node)


def _two_monitors(fleet: Fleet) -> Fleet:
    second = dataclasses.replace(fleet["monitor-01"], name="monitor-02", address="2001:db8::32")
    return dataclasses.replace(fleet, nodes=(*fleet.nodes, second))


def test_the_briefs_people_are_told(example: Fleet) -> None:
    """The channel and the address stand where the brief has them."""
    configuration = _file(example, alertmanager.CONFIGURATION)

    assert 'channel: "#ai-infrastructure"' in configuration
    assert 'to: "maintainers@example.com"' in configuration


def test_every_alert_that_the_routes_name_exists(example: Fleet) -> None:
    """An alert that is renamed would no longer keep others quiet, nor feed the dead man's switch."""
    matched = re.findall(r'alertname(?:=~|!?=)"([\w|]+)"', _file(example, alertmanager.CONFIGURATION))
    named = {name for words in matched for name in words.split("|")}

    assert named == {"EngineDown", "GenerationDrift", "NodeDown", "NodeInTransaction", "Watchdog"}
    assert named <= alerts.NAMES


def test_one_monitor_talks_to_no_other(example: Fleet) -> None:
    """Debian's own would look for others, and not start on a machine without a private address."""
    unit = _unit(example)

    assert " --cluster.listen-address=\n" in unit
    assert "9094" not in unit


def test_two_monitors_tell_each_other_what_was_sent(example: Fleet) -> None:
    """Each names the other and itself; the gossip's port may be bound, by TCP and UDP."""
    fleet = _two_monitors(example)
    first, second = _unit(fleet), _unit(fleet, "monitor-02")

    assert "--cluster.advertise-address=203.0.113.31:9094 --cluster.peer=[2001:db8::32]:9094\n" in first
    assert "--cluster.advertise-address=[2001:db8::32]:9094 --cluster.peer=203.0.113.31:9094\n" in second
    assert {"SocketBindAllow=tcp:9094", "SocketBindAllow=udp:9094"} <= set(first.splitlines())


def test_prometheus_tells_every_alertmanager(example: Fleet) -> None:
    """And scrapes them: the targets are the same."""
    fleet = _two_monitors(example)
    targets = json.loads(_file(fleet, "/etc/prometheus/targets/alertmanager.json"))
    configuration = _file(fleet, "/etc/prometheus/prometheus.yml")

    assert [target["targets"] for target in targets] == [["203.0.113.31:9093"], ["[2001:db8::32]:9093"]]
    assert configuration.count("targets/alertmanager.json") == 2


def test_networks_are_closed_where_data_name_them(example: Fleet) -> None:
    """With a mail server of one's own and no Slack, nothing else is within reach; `any` filters nothing."""
    told = dataclasses.replace(_notifications(example), egress=("10.0.0.25",))
    closed = _unit(_with(example, notifications=told))

    assert "IPAddressAllow=localhost 203.0.113.31 10.0.0.25\n" in closed
    assert "IPAddressDeny=any\n" in closed
    assert "IPAddress" not in _unit(example)


@pytest.mark.parametrize(
    ("where", "key", "value", "said"),
    [
        ("", "egress", ("everywhere",), "notifications.egress holds 'everywhere'"),
        ("slack", "channel", "#a b", "notifications.slack.channel is '#a b'"),
        ("email", "to", (), "notifications.email.to is empty"),
        ("email", "to", ("a@b, c",), "notifications.email.to is 'a@b, c'"),
        ("email", "sender", "nobody", "notifications.email.sender is 'nobody'"),
        ("email", "smarthost", "smtp.example.com", "notifications.email.smarthost is 'smtp.example.com'"),
        ("page", "group_wait", "soon", "notifications.page.group_wait is 'soon'"),
        ("ticket", "repeat_interval", "1 day", "notifications.ticket.repeat_interval is '1 day'"),
        ("office_hours", "days", (), "notifications.office_hours.days is empty"),
        ("office_hours", "start", "8:00", "notifications.office_hours.start is '8:00'"),
        ("office_hours", "end", "07:00", "notifications.office_hours ends at '07:00'"),
        ("office_hours", "time_zone", "UTC'", 'notifications.office_hours.time_zone is "UTC\'"'),
    ],
)
def test_nonsense_is_named(example: Fleet, where: str, key: str, value: object, said: str) -> None:
    """Each key has a value that cannot be meant; what the data say is sense."""
    node = example["monitor-01"]
    assert node.alertmanager
    notifications = _notifications(example)
    told = _changed(notifications, where, key, value)

    assert list(nonsense(node.alertmanager, notifications)) == []
    assert said in [what for what, _ in nonsense(node.alertmanager, told)]


def test_days_are_no_time_of_alertmanagers_command_line(example: Fleet) -> None:
    """Go's own durations end with hours."""
    node = example["monitor-01"]
    assert node.alertmanager
    retention = dataclasses.replace(node.alertmanager, retention="5d")

    assert [what for what, _ in nonsense(retention, _notifications(example))] == ["alertmanager.retention is '5d'"]


def test_monitors_say_the_same(example: Fleet) -> None:
    """What one of them sends, the other takes for sent."""
    fleet = _two_monitors(example)
    told = dataclasses.replace(_notifications(example), slack=None)
    odd = (*fleet.nodes[:-1], dataclasses.replace(fleet["monitor-02"], notifications=told))
    problems = checks.run(dataclasses.replace(fleet, nodes=odd))

    assert checks.run(fleet) == []
    assert [(one.where, one.what) for one in problems] == [
        ("monitor-02", "notifications or maintenance differs from the first monitor's")
    ]


def test_an_alertmanager_without_people_is_refused(example: Fleet) -> None:
    """There is nothing it could do."""
    (problem,) = checks.run(_with(example, notifications=None))

    assert problem.what == "notifications is missing"


def _secret_files(fleet: Fleet, node: str = "monitor-01") -> dict[str, File]:
    files = desired.generation(fleet[node], fleet).files
    return {file.path: file for file in files if file.path.startswith("/etc/ipex/secrets/alertmanager/")}


def test_every_secret_lands_as_a_file_of_its_own_for_its_reader_alone(example: Fleet) -> None:
    """On the monitor, in the directory that only it can enter; nowhere else is any of it."""
    told = dataclasses.replace(_notifications(example), deadman=True)
    secrets = Secrets({f"alertmanager.{name}": f"MARKED-{name}" for name in _SECRETS})
    fleet = dataclasses.replace(_with(example, notifications=told), secrets=secrets)
    found = _secret_files(fleet)

    assert {path.rpartition("/")[2]: file.content for path, file in found.items()} == {
        name: f"MARKED-{name}\n".encode() for name in _SECRETS
    }
    assert {(file.mode, file.group, file.secret) for file in found.values()} == {("0640", alertmanager.USER, True)}
    others = [file for node in fleet.nodes for file in desired.generation(node, fleet).files if file.path not in found]
    assert not [file.path for file in others if b"MARKED" in file.content]
    assert not [name for name, content in landing(fleet).items() if b"MARKED" in content]


def test_a_channel_that_is_not_used_has_no_secret(example: Fleet) -> None:
    """It is neither asked for nor sent."""
    told = _notifications(example)
    assert told.email
    quiet = dataclasses.replace(told, slack=None, email=dataclasses.replace(told.email, username=None))

    assert not _secret_files(_with(example, notifications=quiet))


@pytest.mark.parametrize("environment", ["prod", "staging", "lab", "example"])
def test_the_secrets_directory_is_made_for_its_reader_alone(environment: str) -> None:
    """All of them lie in the directory that comes with the generation, closed for all others."""
    fleet = load.from_file(f"inventory/{environment}.py")
    node = next(node for node in fleet.nodes if node.alertmanager)
    rules = [
        line.split()[1:5] for line in _file(fleet, "/etc/tmpfiles.d/ipex-alertmanager.conf", node.name).splitlines()
    ]
    directory = "/etc/ipex/secrets/alertmanager"

    assert [directory, "0750", "root", alertmanager.USER] in rules
    assert {path.rpartition("/")[0] for path in _secret_files(fleet, node.name)} == {directory}
    assert f"User={alertmanager.USER}\n" in _unit(fleet, node.name)
