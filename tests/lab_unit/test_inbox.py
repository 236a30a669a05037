"""The doubles of mail server and webhook keep what they are sent, as it was meant."""

import json
import smtplib
import urllib.request
from email.message import EmailMessage

import pytest

from tests.inbox import Inbox


def test_mail_is_kept_with_its_subject_and_words() -> None:
    """Line ends, umlauts and a line that begins with a dot come through; two mails take one connection."""
    mail = EmailMessage()
    mail["Subject"] = "Prüfung"
    mail.set_content(".a dot\nand a second line, größer\n")
    with Inbox() as inbox, smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=10) as client:
        for _ in range(2):
            client.send_message(mail, "a@example.com", ["b@example.com"])

    assert [(one.channel, one.title, one.text.split()) for one in inbox.messages] == [
        ("mail", "Prüfung", [".a", "dot", "and", "a", "second", "line,", "größer"])
    ] * 2


def test_a_webhook_is_kept_with_its_path() -> None:
    """As Slack is called, and as any other webhook."""
    with Inbox() as inbox:
        for path, said in (("/slack", {"attachments": [{"title": "t", "text": "x"}]}), ("/deadman", {"alerts": []})):
            url = f"http://127.0.0.1:{inbox.web_port}{path}"
            with urllib.request.urlopen(url, json.dumps(said).encode(), timeout=10) as answer:
                assert answer.status == 200

    assert [(one.channel, one.title, one.text) for one in inbox.messages] == [
        ("/slack", "t", "x"),
        ("/deadman", "", ""),
    ]


def test_what_does_not_come_is_told_with_what_did() -> None:
    """Waiting ends."""
    with Inbox() as inbox, pytest.raises(AssertionError, match=r"not among \[\]"):
        inbox.wait(lambda _: True, 0.1)
