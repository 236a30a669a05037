"""The people whom the lab's monitor tells: a mail server and a webhook, with the secrets an operator would have put."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.roster import MACHINE_ADDRESS
from tests.inbox import Inbox, Message
from tests.lab_fleet import Lab

SECRETS = "/etc/ipex/secrets/alertmanager"
# group_data/lab.py has the ports of the mail server; the webhook's stands in a secret, like Slack's.
SMTP_PORT, WEB_PORT = 2525, 2526
SECRET = "MARKED-SECRET-9b2e"  # noqa: S105 - a mark that is looked for, no password
SLACK, DEADMAN = f"/slack/{SECRET}", f"/deadman/{SECRET}"
CHANNELS = {"page": ("mail", SLACK), "ticket": ("mail",)}
"""Severity to the channels that must hear of it, and the only ones that may (docs/operate/notifications.md)."""


@contextmanager
def people(lab: Lab, monitor: str) -> Iterator[Inbox]:
    """Both doubles; an operator has put the secrets on the monitor, as docs/operate/notifications.md says."""
    with Inbox(MACHINE_ADDRESS, SMTP_PORT, WEB_PORT) as doubles:
        for name, path in (("slack_url", SLACK), ("deadman_url", DEADMAN)):
            url = f"http://{MACHINE_ADDRESS}:{WEB_PORT}{path}"
            put = f"install -m 0640 -o root -g prometheus-alertmanager /dev/stdin {SECRETS}/{name}"
            lab.output(monitor, f"echo {url} | {put}")
        yield doubles
        lab.output(monitor, f"rm -f {SECRETS}/slack_url {SECRETS}/deadman_url")


def told(channel: str, title: str) -> Callable[[Message], bool]:
    """Whether a message went to a channel, with these words in its title."""
    return lambda message: message.channel == channel and title in message.title
