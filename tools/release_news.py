"""People are told of a promotion: by Slack and by mail, through Apprise."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import apprise

from fleet.release import Release, Told

SLACK = "IPEX_RELEASE_SLACK"
"""An incoming webhook of Slack, or any other address that Apprise understands."""
SMTP = "IPEX_RELEASE_SMTP"
"""The way out for mail: an address of Apprise's kind `mailtos`, with user and password."""


def text(release: Release, channel: str, news: Sequence[str]) -> str:
    """What people read."""
    lines = (
        f"Release {release.version} is on the channel {channel}.",
        f"Flake {release.flake.url}; tool {release.tool}.",
        "",
        *(news or ("Nothing is said of it in CHANGELOG.md.",)),
    )
    return "\n".join(lines)


def audience(told: Told) -> str:
    """Who would be told, in words."""
    return " and ".join(filter(None, (told.slack, ", ".join(told.email)))) or "nobody"


def tell(told: Told, title: str, body: str, environment: Mapping[str, str]) -> str:
    """Tell them, and say who was told and who was not, and why. A promotion does not fail by it: it is done already."""
    said = []
    for name, who, address in (
        (SLACK, told.slack, environment.get(SLACK, "")),
        (SMTP, ", ".join(told.email), _mail(environment.get(SMTP, ""), told.email)),
    ):
        if not who:
            continue
        if not address:
            said.append(f"{who} was not told: {name} is not set.")
        elif _sent(address, title, body):
            said.append(f"{who} was told.")
        else:
            said.append(f"{who} was NOT told: the address in {name} did not take it.")
    return "\n".join(said)


def _mail(way: str, to: Sequence[str]) -> str:
    if not way:
        return ""
    return f"{way}{'&' if '?' in way else '?'}to={quote(','.join(to))}"


def _sent(address: str, title: str, body: str) -> bool:
    speaker = apprise.Apprise()
    return bool(speaker.add(address) and speaker.notify(title=title, body=body))
