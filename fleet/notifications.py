"""Whom alerts reach, and how often."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_DURATION = (r"[1-9][0-9]*(s|m|h|d)", "10m")
_CLOCK = (r"([01][0-9]|2[0-3]):[0-5][0-9]", "08:00")
_ADDRESS = (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+", "maintainers@example.com")
_SERVER = (r"([A-Za-z0-9.-]+|\[[0-9a-f:]+\]):[0-9]{1,5}", "smtp.example.com:587")
_ZONE = (r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", "Europe/Berlin")

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@dataclass(frozen=True)
class Alertmanager:
    """Debian's Alertmanager.

    Attributes:
        port: where Prometheus and people reach it.
        gossip_port: where other monitors' do, by TCP and UDP.
        retention: for how long it is remembered what was sent, in Go's spelling, which has no days.
    """

    port: int
    gossip_port: int
    retention: str


@dataclass(frozen=True)
class Slack:
    """A channel of Slack's; its incoming webhook's URL is the secret `alertmanager.slack_url`.

    Attributes:
        channel: its name.
    """

    channel: str


@dataclass(frozen=True)
class Email:
    """A mail server, and who is written to.

    Attributes:
        to: addresses.
        sender: the address in From:.
        smarthost: the server, `HOST:PORT`.
        require_tls: whether nothing is sent without STARTTLS; port 465 speaks TLS anyhow.
        username: for a server that asks for one; its password is the secret `alertmanager.smtp_password`.
    """

    to: tuple[str, ...]
    sender: str
    smarthost: str
    require_tls: bool
    username: str | None


@dataclass(frozen=True)
class Cadence:
    """How often people hear of a group of alerts, in Prometheus' own spelling.

    Attributes:
        group_wait: how long the first message waits for others of its group.
        group_interval: how long the next waits for changes, an end included.
        repeat_interval: after how long what lasts is said again.
    """

    group_wait: str
    group_interval: str
    repeat_interval: str


@dataclass(frozen=True)
class OfficeHours:
    """When tickets are sent.

    Attributes:
        days: days of the week.
        start, end: times of those days, `HH:MM`; the end may be `24:00`.
        time_zone: whose clock, a name of the tz database.
    """

    days: tuple[Day, ...]
    start: str
    end: str
    time_zone: str


@dataclass(frozen=True)
class Notifications:
    """Whom alerts reach.

    Attributes:
        slack: None sends nothing there.
        email: None sends none.
        deadman: whether a service is told, all the time, that alerting works, which calls when it is not; its URL is
            the secret `alertmanager.deadman_url`.
        egress: networks the Alertmanager may talk with, beside this node and the monitors (IPAddressAllow=).
        page: how often people hear of what cannot wait.
        ticket: how often of what can.
        office_hours: when tickets are sent.
    """

    slack: Slack | None
    email: Email | None
    deadman: bool
    egress: tuple[str, ...]
    page: Cadence
    ticket: Cadence
    office_hours: OfficeHours


def nonsense(alertmanager: Alertmanager, notifications: Notifications) -> Iterator[tuple[str, str]]:
    """What of them cannot be meant, each with its cure."""
    if not re.fullmatch(r"[1-9][0-9]*[hms]", alertmanager.retention):
        yield f"alertmanager.retention is {alertmanager.retention!r}", "Write it like 120h."
    for network in notifications.egress:
        if not _is_network(network):
            yield f"notifications.egress holds {network!r}", "Write any, or networks like 10.0.0.0/8."
    for name, value, (pattern, example) in _spelt(notifications):
        if not re.fullmatch(pattern, value):
            yield f"notifications.{name} is {value!r}", f"Write it like {example}."
    yield from _unmeant(notifications.office_hours)
    if notifications.email:
        yield from _unsendable(notifications.email)


def _unmeant(hours: OfficeHours) -> Iterator[tuple[str, str]]:
    if not hours.days:
        yield "notifications.office_hours.days is empty", "Name the days on which tickets are sent."
    if hours.start >= hours.end:
        yield f"notifications.office_hours ends at {hours.end!r}", f"Let it end after it starts, {hours.start}."


def _unsendable(email: Email) -> Iterator[tuple[str, str]]:
    if not email.to:
        yield "notifications.email.to is empty", "Name an address, or set email to None."


def _spelt(notifications: Notifications) -> Iterator[tuple[str, str, tuple[str, str]]]:
    if notifications.slack:
        yield "slack.channel", notifications.slack.channel, (r"[#@]?[a-z0-9._-]+", "#ai-infrastructure")
    if email := notifications.email:
        yield from (("email.to", address, _ADDRESS) for address in email.to)
        yield "email.sender", email.sender, _ADDRESS
        yield "email.smarthost", email.smarthost, _SERVER
    for name in ("page", "ticket"):
        cadence: Cadence = getattr(notifications, name)
        yield f"{name}.group_wait", cadence.group_wait, _DURATION
        yield f"{name}.group_interval", cadence.group_interval, _DURATION
        yield f"{name}.repeat_interval", cadence.repeat_interval, _DURATION
    hours = notifications.office_hours
    yield "office_hours.start", hours.start, _CLOCK
    yield "office_hours.end", hours.end, (rf"{_CLOCK[0]}|24:00", "18:00")
    yield "office_hours.time_zone", hours.time_zone, _ZONE


def _is_network(text: str) -> bool:
    try:
        return text == "any" or bool(ipaddress.ip_network(text))
    except ValueError:
        return False
