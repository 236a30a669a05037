"""Alerts reach a mail server and a webhook, in words, and what a person did on purpose reaches nobody."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from lab import nodes
from tests.inbox import Inbox
from tests.lab_fleet import INVENTORY, PYINFRA, ROOT, Lab
from tests.lab_people import DEADMAN, SECRET, SECRETS, SLACK, people, told

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600), pytest.mark.usefixtures("lab")]

SECONDS = 30


@pytest.fixture(scope="module")
def monitor(lab: Lab) -> str:
    """The node whose Alertmanager speaks."""
    return lab.names("monitors")[0]


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    """The people's side."""
    with people() as doubles:
        yield doubles


Fire = Callable[..., None]


@pytest.fixture
def fire(lab: Lab, monitor: str) -> Iterator[Fire]:
    """Tells the Alertmanager of an alert of its own, as Prometheus would; each ends with the test."""
    said: list[dict[str, str]] = []

    def tell(minutes: int = 5, **labels: str) -> None:
        said.append(labels)
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60 * minutes))
        texts = {"summary": f"{labels['node']} tests.", "runbook": "docs/operate/alerts/NodeDown.md"}
        alert = json.dumps([{"labels": labels, "annotations": texts, "endsAt": end}])
        lab.output(monitor, f"curl -sf -H 'Content-Type: application/json' -d '{alert}' localhost:9093/api/v2/alerts")

    yield tell
    for labels in tuple(said):
        tell(minutes=0, **labels)


def _amtool(lab: Lab, monitor: str, words: str) -> str:
    return lab.output(monitor, f"amtool --alertmanager.url=http://127.0.0.1:9093 {words}")


def _await(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)


def _task(name: str, *data: str) -> subprocess.CompletedProcess[str]:
    words = [word for item in data for word in ("--data", item)]
    command = [str(PYINFRA), "-y", "--limit", "monitor-01", *words, str(INVENTORY), f"tasks/{name}.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_page_reaches_both_channels_in_words_and_so_does_its_end(inbox: Inbox, fire: Fire) -> None:
    """What, where, since when, what to do; and that it is over."""
    labels = {"alertname": "TestPage", "severity": "page", "node": "gpu-01", "environment": "lab"}
    fire(**labels)

    mail = inbox.wait(told("mail", "[lab] Act now: TestPage on gpu-01"), SECONDS)
    slack = inbox.wait(told(SLACK, "[lab] Act now: TestPage on gpu-01"), SECONDS)
    for text in (mail.text, slack.text):
        assert "gpu-01 tests." in text
        assert "node gpu-01" in text
        assert "UTC" in text
        assert "docs/operate/alerts/NodeDown.md" in text
    fire(minutes=0, **labels)
    inbox.wait(told("mail", "[lab] Over: TestPage on gpu-01"), SECONDS)
    inbox.wait(told(SLACK, "[lab] Over: TestPage on gpu-01"), SECONDS)


def test_a_ticket_is_mailed_and_does_not_call(inbox: Inbox, fire: Fire) -> None:
    """Slack is for what cannot wait."""
    fire(alertname="TestTicket", severity="ticket", node="gpu-01")

    inbox.wait(told("mail", "Ticket: TestTicket on gpu-01"), SECONDS)
    assert not [message for message in inbox.messages if told(SLACK, "TestTicket")(message)]


def test_the_dead_mans_switch_is_fed(inbox: Inbox) -> None:
    """By the alert that always fires, every minute: the second turn comes, too."""
    inbox.wait(lambda message: message.channel == DEADMAN, 120)
    before = len([message for message in inbox.messages if message.channel == DEADMAN])

    _await(lambda: len([message for message in inbox.messages if message.channel == DEADMAN]) > before, 130)


def test_a_silence_of_the_task_holds_and_ends(lab: Lab, monitor: str, inbox: Inbox, fire: Fire) -> None:
    """Nobody is told while it lasts; ended by the other task, the alert is sent."""
    silenced = _task("silence", "nodes=gpu-02", "minutes=5", "reason=it's a test")
    assert silenced.returncode == 0, silenced.stdout + silenced.stderr
    assert "it's a test" in silenced.stdout + silenced.stderr
    fire(alertname="TestQuiet", severity="page", node="gpu-02")
    fire(alertname="TestLoud", severity="page", node="gpu-01")

    inbox.wait(told("mail", "TestLoud on gpu-01"), SECONDS)
    assert "TestQuiet" in _amtool(lab, monitor, "alert query --silenced")
    assert not [message for message in inbox.messages if "TestQuiet" in message.title]
    assert _task("unsilence", "nodes=gpu-02").returncode == 0
    inbox.wait(told("mail", "TestQuiet on gpu-02"), SECONDS)


@pytest.mark.proof
def test_an_engine_that_is_stopped_in_a_drained_node_calls_nobody(lab: Lab, monitor: str, inbox: Inbox) -> None:
    """It fires, and is kept quiet by the node's being out of rotation on purpose; in rotation, the same calls."""
    stop, start = "systemctl stop ollama-ipex", "systemctl start ollama-ipex"
    lab.output("gpu-02", "ipex-node drain --reason 'a test'")
    _await(lambda: "NodeInTransaction" in _amtool(lab, monitor, "alert query node=gpu-02"))
    lab.output("gpu-02", stop)
    try:
        _await(lambda: "EngineDown" in _amtool(lab, monitor, "alert query --inhibited node=gpu-02"), 240)
        lab.output("gpu-02", "ipex-node undrain")
        inbox.wait(told("mail", "EngineDown, ollama on gpu-02"), 120)
    finally:
        lab.output("gpu-02", f"{start}; ipex-node undrain")


@pytest.mark.proof
def test_a_node_that_is_off_is_one_page_and_nothing_else_of_it(lab: Lab, inbox: Inbox) -> None:
    """Neither its engines nor its exporters are told of beside it; it ends when the node is back."""
    before = len(inbox.messages)
    nodes.power_off(nodes.find("gpu-03"))
    try:
        inbox.wait(told(SLACK, "Act now: NodeDown on gpu-03"), 180)
        inbox.wait(told("mail", "Act now: NodeDown on gpu-03"), SECONDS)
    finally:
        nodes.boot(nodes.find("gpu-03"))
    inbox.wait(told(SLACK, "Over: NodeDown on gpu-03"), 240)

    titles = {message.title for message in inbox.messages[before:] if "gpu-03" in message.title}
    assert {title for title in titles if "NodeDown" not in title} == set()
    assert lab.run("gpu-03", "true").returncode == 0


def test_secrets_are_read_by_the_alertmanager_alone(lab: Lab, monitor: str, inbox: Inbox, fire: Fire) -> None:
    """Used, they stand in no journal, command line, page or answer, and no other user can read them."""
    fire(alertname="TestSecret", severity="page", node="gpu-01")
    inbox.wait(told(SLACK, "TestSecret"), SECONDS)
    places = (
        "journalctl --no-pager -q",
        "cat /proc/[0-9]*/cmdline 2>/dev/null",
        "curl -sf localhost:9093/api/v2/status",
        "curl -sf localhost:9093/metrics",
        "grep -rs . /etc/prometheus /var/lib/ipex/generations --include='*.yml' --include='*.json'",
    )

    for place in places:
        # As a pattern: the question's own command lines must not hold the mark.
        found = lab.run(monitor, f"{place} | grep -ac '[{SECRET[0]}]{SECRET[1:]}'").stdout.strip()
        assert found == "0", place
    as_user = f"setpriv --init-groups --regid {{0}} --reuid {{0}} cat {SECRETS}/slack_url"
    assert SECRET in lab.output(monitor, as_user.format("prometheus-alertmanager"))
    assert lab.run(monitor, as_user.format("prometheus")).returncode != 0
