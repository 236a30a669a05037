"""The people whom the lab's monitor tells: a mail server and a webhook, whose addresses are among the lab's secrets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab import secrets
from lab.roster import MACHINE_ADDRESS
from tests.inbox import Inbox, Message

SECRETS = "/etc/ipex/secrets/alertmanager"
# group_data/lab.py has the ports of the mail server; the webhook's stands in a secret, like Slack's.
SMTP_PORT, WEB_PORT = 2525, secrets.WEB_PORT
SECRET = secrets.MARK
SLACK, DEADMAN = f"/slack/{SECRET}", f"/deadman/{SECRET}"
CHANNELS = {"page": ("mail", SLACK), "ticket": ("mail",)}
"""Severity to the channels that must hear of it, and the only ones that may (docs/operate/notifications.md)."""


@contextmanager
def people() -> Iterator[Inbox]:
    """Both doubles; the monitor has their addresses from the deploy."""
    with Inbox(MACHINE_ADDRESS, SMTP_PORT, WEB_PORT) as doubles:
        yield doubles


def told(channel: str, title: str) -> Callable[[Message], bool]:
    """Whether a message went to a channel, with these words in its title."""
    return lambda message: message.channel == channel and title in message.title
