"""The gateway follows the nodes: how long, how surely, and at what cost to those who are being served."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lab import gateways, nodes
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof]

# Watches on the gateway itself until nginx' workers have loaded upstreams in which a node's new work is marked as
# wanted, and prints when that was: the nodes share this machine's clock.
_WATCH = """
import sys, time, urllib.request
wanted, mark = sys.argv[1], f"# {sys.argv[2]} ollama new"
deadline = time.time() + 20
while time.time() < deadline:
    text = open("/var/lib/ipex-gateway/upstreams.conf").read()
    line = next(line for line in text.splitlines() if line.endswith(mark))
    if (" down;" in line) == (wanted == "out"):
        if f'"{urllib.request.urlopen("http://127.0.0.1/ipex-upstreams").read().decode()}"' in text:
            print(time.time())
            sys.exit()
    time.sleep(0.01)
sys.exit(f"{sys.argv[2]} is not {wanted}")
"""
_DRAIN = """mkdir -p /run/ipex && echo '{"reason": "a test", "by": "operator", "since": ""}' > /run/ipex/drain.new"""


class Gateway:
    """The gateway under test.

    Args:
        lab: The running lab.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.name = lab.gateway
        self._address = lab.node(self.name).address
        self._pool = ThreadPoolExecutor(4)

    def ask(
        self, method: str, path: str, question: object = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Ask a question; the answer's body is still to be read."""
        connection = gateways.Connection(self._address)
        return connection.ask(method, path, None if question is None else json.dumps(question), headers)

    def generate(self, tokens: int) -> http.client.HTTPResponse:
        """Begin a stream of so many tokens, 50 ms each."""
        question = {"model": "tinyllama", "prompt": "hello", "options": {"num_predict": tokens}}
        return self.ask("POST", "/ollama/api/generate", question)

    def watch(self, node: str, wanted: str) -> "Future[float]":
        """Begin to wait until nginx treats a node as wanted; the result is when that was, in seconds of the clock."""
        source = _WATCH.replace('"', '\\"').replace("$", "\\$")
        command = f'python3 -c "{source}" {wanted} {node}'
        future = self._pool.submit(lambda: float(self.lab.output(self.name, command)))
        time.sleep(0.5)  # until it watches
        return future

    def await_warm(self) -> None:
        """Load the model on every node for longer than a test: who has it loaded brings no reload then."""
        question = json.dumps({"model": "tinyllama", "keep_alive": "30m"})
        for node in self.lab.gpus:
            self.lab.output(node, f"curl -sf http://127.0.0.1:11434/api/generate -d '{question}'")
            self.lab.output(node, "systemctl restart ipex-traffic")
        warm = 'curl -s http://127.0.0.1:9090/ready | grep -c \'"warm": {"ollama": \\["tinyllama"\' || true'
        _await(lambda: {self.lab.output(node, warm) for node in self.lab.gpus} == {"1"}, 20)
        self.lab.output(self.name, "systemctl restart ipex-gateway")

    def await_all(self) -> None:
        """Wait until every node is in rotation."""
        for node in self.lab.gpus:
            self.watch(node, "in").result()

    def said(self) -> str:
        """What its program has written to the journal."""
        return self.lab.output(self.name, "journalctl -u ipex-gateway -o cat --no-pager")


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Gateway]:
    """The gateway, with every node in rotation before and after."""
    found = Gateway(lab)
    found.await_all()
    yield found
    for node in lab.gpus:
        lab.output(node, "rm -f /run/ipex/drain")
    found.await_all()


@contextmanager
def _drained(lab: Lab, node: str) -> Iterator[float]:
    """A node that wishes to be out of rotation; the value is when it began to, in seconds of the clock."""
    lab.output(node, _DRAIN)
    yield float(lab.output(node, "date +%s.%N; mv /run/ipex/drain.new /run/ipex/drain"))
    lab.output(node, "rm -f /run/ipex/drain")


@contextmanager
def _clients(request: Callable[[], str], number: int) -> Iterator[Counter[str]]:
    """Clients that ask one question after the other for as long as the block lasts; what they got, counted."""
    got: Counter[str] = Counter()
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            try:
                got[request()] += 1
            except (OSError, http.client.HTTPException) as error:
                got[repr(error)] += 1

    threads = [threading.Thread(target=client, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    yield got
    stop.set()
    for thread in threads:
        thread.join(60)


def test_a_draining_node_is_out_within_two_seconds(gateway: Gateway, lab: Lab) -> None:
    """From the node's wish to nginx' workers without it, at most 2 s pass, whatever the moment."""
    took = []
    for moment in range(4):
        node = lab.gpus[moment % len(lab.gpus)]
        watch = gateway.watch(node, "out")
        time.sleep(0.27 * moment)
        with _drained(lab, node) as since:
            took.append(watch.result() - since)
        gateway.watch(node, "in").result()
    print("draining nodes stayed in rotation for", [f"{seconds:.2f} s" for seconds in took])

    assert max(took) <= 2


def test_a_dead_node_is_out_within_three_seconds(gateway: Gateway, lab: Lab) -> None:
    """From a power cut to nginx' workers without the node, at most 3 s pass, whatever the moment."""
    node, took = lab.node(lab.gpus[0]), []
    for moment in range(3):
        watch = gateway.watch(node.name, "out")
        time.sleep(0.37 * moment)
        since = time.time()
        nodes.power_off(node)
        try:
            took.append(watch.result() - since)
        finally:
            nodes.boot(node)
        gateway.watch(node.name, "in").result()
    print("dead nodes stayed in rotation for", [f"{seconds:.2f} s" for seconds in took])

    assert max(took) <= 3


def test_a_stream_ends_on_the_node_that_drains(gateway: Gateway, lab: Lab) -> None:
    """What is in flight is delivered to its end by the node that drains, and nothing new reaches that node."""
    stream = gateway.generate(100)
    node = stream.headers["X-Ipex-Node"]
    watch = gateway.watch(node, "out")
    with _drained(lab, node):
        watch.result()
        answers = [gateway.ask("GET", "/ollama/api/tags") for _ in range(20)]
        lines = stream.read().splitlines()

    assert [answer.status for answer in answers] == [200] * 20
    assert node not in {answer.headers["X-Ipex-Node"] for answer in answers}
    assert json.loads(lines[-1])["done"] is True
    assert json.loads(lines[-1])["eval_count"] == 100


def test_the_node_hears_that_the_gateway_has_let_go(gateway: Gateway, lab: Lab) -> None:
    """A draining node's agent knows from the gateway's own questions that it is out, and after it that it is in."""
    node = lab.gpus[0]

    def rotation() -> str:
        said = json.loads(lab.output(node, "curl -s http://127.0.0.1:9090/ready"))
        return str(said["gateways"][gateway.name]["rotation"])

    watch = gateway.watch(node, "out")
    before = rotation()
    with _drained(lab, node):
        watch.result()
        _await(lambda: rotation() == "out")
    _await(lambda: rotation() == "in")

    assert before == "in"


def test_a_session_looks_after_its_work_and_begins_none_on_a_node_that_drains(gateway: Gateway, lab: Lab) -> None:
    """With a cookie for it, queue and history still come from the node; a new prompt goes elsewhere and moves it."""
    node = lab.gpus[1]
    cookie = {"Cookie": f"ipex_comfyui={node}"}
    watch = gateway.watch(node, "out")
    with _drained(lab, node):
        watch.result()
        looks = [gateway.ask("GET", path, headers=cookie) for path in ("/comfyui/queue", "/comfyui/history")]
        work = gateway.ask("POST", "/comfyui/prompt", {"prompt": {}}, cookie)

    assert {answer.headers["X-Ipex-Node"] for answer in looks} == {node}
    assert work.headers["X-Ipex-Node"] in set(lab.gpus) - {node}
    assert work.headers["Set-Cookie"].startswith(f"ipex_comfyui={work.headers['X-Ipex-Node']};")


def test_twenty_reloads_in_a_row_lose_nothing(gateway: Gateway, lab: Lab) -> None:
    """Under eight clients, half of them streaming, twenty reloads cost no request and cut no stream."""

    def ask() -> str:
        answer = gateway.ask("GET", "/ollama/api/tags")
        return "whole" if answer.status == 200 and answer.read().endswith(b"}") else f"status {answer.status}"

    def stream() -> str:
        return "whole" if json.loads(gateway.generate(12).read().splitlines()[-1])["done"] is True else "cut"

    with _clients(ask, 4) as answers, _clients(stream, 4) as streams:
        for _ in range(20):
            lab.output(gateway.name, "systemctl reload nginx")
            time.sleep(0.2)
    print(f"20 reloads under {answers['whole']} answers and {streams['whole']} streams")

    assert set(answers) == set(streams) == {"whole"}
    assert min(answers["whole"], streams["whole"]) > 20


def test_a_steady_fleet_costs_no_reload(gateway: Gateway, lab: Lab) -> None:
    """While nothing changes, nginx keeps its workers."""
    gateway.await_warm()
    before = lab.output(gateway.name, "pgrep -u www-data -x nginx")
    time.sleep(5)

    assert lab.output(gateway.name, "pgrep -u www-data -x nginx") == before


def test_all_nodes_silent_at_once_are_kept(gateway: Gateway, lab: Lab) -> None:
    """When every agent falls silent the gateway doubts itself: all stay in rotation, and it says so."""
    for node in lab.gpus:
        lab.output(node, "systemctl stop ipex-agent")
    try:
        _await(lambda: "all stay in" in gateway.said(), seconds=10)
        statuses = [gateway.ask("GET", "/ollama/api/tags").status for _ in range(10)]
        answered = {gateway.ask("GET", "/ollama/api/tags").headers["X-Ipex-Node"] for _ in range(10)}
    finally:
        for node in lab.gpus:
            lab.output(node, "systemctl start ipex-agent")

    assert statuses == [200] * 10
    assert answered == set(lab.gpus)


def test_without_its_program_the_gateway_serves_on_and_the_program_comes_back(gateway: Gateway, lab: Lab) -> None:
    """Killed with a node drained, the program returns by itself, tells nobody otherwise, and nginx serves all along."""
    node = lab.gpus[2]
    gateway.await_warm()
    watch = gateway.watch(node, "out")
    with _drained(lab, node):
        watch.result()
        workers = lab.output(gateway.name, "pgrep -u www-data -x nginx")
        lab.output(gateway.name, "systemctl kill --signal=KILL ipex-gateway")
        answers = [gateway.ask("GET", "/ollama/api/tags") for _ in range(20)]
        _await(lambda: lab.run(gateway.name, "systemctl is-active ipex-gateway").returncode == 0, seconds=10)
        after = lab.output(gateway.name, "pgrep -u www-data -x nginx")

    assert [answer.status for answer in answers] == [200] * 20
    assert node not in {answer.headers["X-Ipex-Node"] for answer in answers}
    assert after == workers


def test_a_reload_that_a_killed_program_owes_is_made_good(gateway: Gateway, lab: Lab) -> None:
    """Killed between writing and reloading, the program sees at its next start that nginx works with something else."""
    path = "/var/lib/ipex-gateway/upstreams.conf"
    stale = f'sed -i -e \'s/default "[0-9a-f]*";/default "stale";/\' {path} && systemctl reload nginx'
    lab.output(gateway.name, f"systemctl stop ipex-gateway && cp -p {path} /run/whole && {stale}")
    _await(lambda: lab.output(gateway.name, "curl -s http://127.0.0.1/ipex-upstreams") == "stale")
    lab.output(gateway.name, f"cp -p /run/whole {path} && systemctl start ipex-gateway")

    assert lab.output(gateway.name, "curl -s http://127.0.0.1/ipex-upstreams") in lab.output(
        gateway.name, f"cat {path}"
    )


def _await(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
