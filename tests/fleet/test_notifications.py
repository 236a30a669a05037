"""Whom alerts reach: the data, what they become on a monitor, and that no secret is ever among it."""

import dataclasses
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fleet import alerts, checks, desired, load
from fleet.desired import alertmanager
from fleet.model import Fleet, Node
from fleet.notifications import Notifications, nonsense
from tools.golden import landing

SECRET = "MARKED-SECRET-4f1c"  # noqa: S105 - a mark that is looked for, no password


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
        ("", "deadman_url_file", "", "notifications.deadman_url_file is no absolute path"),
        ("slack", "channel", "#a b", "notifications.slack.channel is '#a b'"),
        ("slack", "slack_url_file", "secrets/x", "notifications.slack.slack_url_file is no absolute path"),
        ("email", "to", (), "notifications.email.to is empty"),
        ("email", "to", ("a@b, c",), "notifications.email.to is 'a@b, c'"),
        ("email", "sender", "nobody", "notifications.email.sender is 'nobody'"),
        ("email", "smarthost", "smtp.example.com", "notifications.email.smarthost is 'smtp.example.com'"),
        ("email", "username", None, "notifications.email has one of username and smtp_password_file"),
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


def _planted(fleet: Fleet, place: Path) -> Fleet:
    """The fleet, its secrets in files that exist here and hold the mark."""
    for name in ("slack_url", "smtp_password", "deadman_url"):
        (place / name).write_text(f"https://hooks.example.com/{SECRET}")
    told = _notifications(fleet)
    assert told.slack
    assert told.email
    slack = dataclasses.replace(told.slack, slack_url_file=str(place / "slack_url"))
    email = dataclasses.replace(told.email, smtp_password_file=str(place / "smtp_password"))
    deadman = str(place / "deadman_url")
    return _with(fleet, notifications=dataclasses.replace(told, slack=slack, email=email, deadman_url_file=deadman))


def test_no_secret_is_in_anything_that_is_made_of_the_data(example: Fleet, tmp_path: Path) -> None:
    """Manifests, bundles, files: they name where secrets are, and were made with the secrets lying there."""
    fleet = _planted(example, tmp_path)
    made = b"".join(landing(fleet).values())
    for node in fleet.nodes:
        generation = desired.generation(node, fleet)
        made += json.dumps(generation.manifest).encode() + gzip.decompress(generation.bundle())

    assert str(tmp_path / "slack_url").encode() in made
    assert SECRET.encode() not in made


@pytest.mark.parametrize(
    ("where", "key"), [("slack", "slack_url_file"), ("email", "smtp_password_file"), ("", "deadman_url_file")]
)
def test_a_secret_in_the_place_of_its_file_is_refused_and_not_repeated(example: Fleet, where: str, key: str) -> None:
    """Who pastes the URL itself finds it in no message, which may be kept in a log."""
    pasted = f"https://hooks.example.com/services/{SECRET}"
    fleet = _with(example, notifications=_changed(_notifications(example), where, key, pasted))

    (problem,) = checks.run(fleet)

    assert "is no absolute path" in problem.what
    assert SECRET not in str(problem)


@pytest.mark.parametrize("environment", ["prod", "staging", "lab", "example"])
def test_every_secrets_directory_is_made_for_its_reader_alone(environment: str) -> None:
    """All files that data name lie in the directory that comes with the generation, closed for all others."""
    fleet = load.from_file(f"inventory/{environment}.py")
    node = next(node for node in fleet.nodes if node.alertmanager)
    rules = [
        line.split()[1:5] for line in _file(fleet, "/etc/tmpfiles.d/ipex-alertmanager.conf", node.name).splitlines()
    ]
    directory = "/etc/ipex/secrets/alertmanager"

    assert [directory, "0750", "root", alertmanager.USER] in rules
    assert {str(Path(path).parent) for path in _secret_files(node)} == {directory}
    assert f"User={alertmanager.USER}\n" in _unit(fleet, node.name)


def _secret_files(node: Node) -> list[str]:
    told = node.notifications
    assert told
    slack = told.slack.slack_url_file if told.slack else None
    password = told.email.smtp_password_file if told.email else None
    return [path for path in (slack, password, told.deadman_url_file) if path]
