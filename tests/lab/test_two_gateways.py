"""Two gateways with one address: whichever of them dies, is drained or changes, users go on."""

import contextlib
import http.client
import itertools
import json
import runpy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from fleet.floating import PROMISED_SECONDS
from lab import gateways, nodes
from lab.roster import FLOATING_ADDRESS
from tests.lab_fleet import ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof]

_EVERY_SECONDS = 0.1
_STREAMS = 3
_STREAM_SECONDS = 2.0


@dataclass
class Users:
    """Who asks through the floating address: somebody new every tenth of a second, and a few who stream.

    Attributes:
        answered: when each short request was answered, of `time.monotonic()`.
        failed: the short requests that were not, by reason.
        streams: how the streams ended: `whole`, or why not.
        stop: set when nobody begins anything new.
    """

    answered: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Ask one short question, and wait for a second at most: who waits longer comes again."""
        try:
            answer = gateways.Connection(FLOATING_ADDRESS, timeout=1).ask("GET", "/ollama/api/tags")
            whole = answer.read().endswith(b"}")
        except (OSError, http.client.HTTPException) as error:
            self.failed[repr(error)] += 1
            return
        if answer.status == 200 and whole:
            self.answered.append(time.monotonic())
        else:
            self.failed[f"status {answer.status}"] += 1

    def stream(self) -> None:
        """Stream one generation after the other."""
        question = {"model": "tinyllama", "prompt": "hello", "options": {"num_predict": int(_STREAM_SECONDS / 0.05)}}
        while not self.stop.is_set():
            try:
                connection = gateways.Connection(FLOATING_ADDRESS, timeout=5)
                lines = connection.ask("POST", "/ollama/api/generate", json.dumps(question)).read().splitlines()
                self.streams["whole" if json.loads(lines[-1]).get("done") is True else "cut"] += 1
            except (OSError, ValueError, IndexError, http.client.HTTPException) as error:
                self.streams[repr(error)] += 1
                time.sleep(_EVERY_SECONDS)

    def longest_gap(self) -> float:
        """The longest time, in seconds, in which nobody was answered."""
        return max(late - early for early, late in itertools.pairwise(sorted(self.answered)))

    def report(self, what: str) -> None:
        """Print what a person wants to know of it."""
        print(
            f"\n{what}: {len(self.answered)} answered, longest gap {self.longest_gap():.2f} s, "
            f"not answered {dict(self.failed)}, streams {dict(self.streams)}"
        )


@contextmanager
def _users() -> Iterator[Users]:
    users = Users()
    with ThreadPoolExecutor(32) as pool, ThreadPoolExecutor(_STREAMS) as streaming:

        def come() -> None:
            while not users.stop.wait(_EVERY_SECONDS):
                pool.submit(users.ask)

        coming = threading.Thread(target=come)
        coming.start()
        for _ in range(_STREAMS):
            streaming.submit(users.stream)
        try:
            _await(lambda: len(users.answered) >= 10 and users.streams["whole"] > 0)
            yield users
            # Who was cut off comes again, and is served.
            served = len(users.answered)
            _await(lambda: len(users.answered) >= served + 10)
        finally:
            users.stop.set()
            coming.join()


@pytest.fixture
def holder(lab: Lab) -> Iterator[str]:
    """The gateway that holds the address, both being able to; so they are again afterwards."""
    _await(lambda: _all_able(lab), seconds=60)
    (name,) = lab.holders()
    yield name
    _await(lambda: _all_able(lab), seconds=60)
    assert len(lab.holders()) == 1


def _all_able(lab: Lab) -> bool:
    return all(_said(lab, name).get("able") for name in lab.gateways) and len(lab.holders()) == 1


def _said(lab: Lab, gateway: str) -> dict[str, object]:
    said: dict[str, object] = json.loads(lab.output(gateway, "curl -s http://127.0.0.1:9090/ready"))["floating"]
    return said


def _other(lab: Lab, holder: str) -> str:
    return next(name for name in lab.gateways if name != holder)


def test_the_gateways_say_who_holds_the_address(lab: Lab, holder: str) -> None:
    """By the agent, by its metrics, and by the status of the fleet."""
    metrics = {name: lab.output(name, "curl -s http://127.0.0.1:9090/metrics") for name in lab.gateways}

    assert _said(lab, holder) == {"address": FLOATING_ADDRESS, "holds": True, "able": True}
    assert _said(lab, _other(lab, holder)) == {"address": FLOATING_ADDRESS, "holds": False, "able": True}
    for name, page in metrics.items():
        assert f'ipex_floating_address_held{{address="{FLOATING_ADDRESS}"}} {int(name == holder)}' in page


def test_a_gateway_that_dies_is_replaced_within_three_seconds(lab: Lab, holder: str) -> None:
    """Its power is cut under load. When it is back it leaves the address where it is, and nobody notices."""
    other = _other(lab, holder)
    with _users() as users:
        nodes.power_off(lab.node(holder))
        _await(lambda: lab.holders() == [other])
    users.report("power cut")
    with _users() as later:
        nodes.boot(lab.node(holder))
        _await(lambda: _all_able(lab), seconds=60)
        held_by = lab.holders()
    later.report("and back")

    assert users.longest_gap() < PROMISED_SECONDS
    assert held_by == [other]
    assert not later.failed
    assert set(later.streams) == {"whole"}


def test_a_killed_nginx_costs_less_than_three_seconds(lab: Lab, holder: str) -> None:
    """It is started again, or the other gateway serves: whichever is faster."""
    with _users() as users:
        lab.output(holder, "systemctl kill --signal=KILL nginx")
    users.report("nginx killed")

    assert users.longest_gap() < PROMISED_SECONDS


def test_an_nginx_that_answers_nothing_costs_less_than_three_seconds(lab: Lab, holder: str) -> None:
    """It is there, takes connections, and hangs: the address moves, and stays when it goes on."""
    other = _other(lab, holder)
    with _users() as users:
        lab.output(holder, "systemctl kill --signal=STOP nginx")
        try:
            _await(lambda: lab.holders() == [other])
        finally:
            lab.output(holder, "systemctl kill --signal=CONT nginx")
    users.report("nginx hung")

    assert users.longest_gap() < PROMISED_SECONDS
    assert lab.holders() == [other]


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_an_ended_keepalived_costs_less_than_three_seconds(lab: Lab, holder: str, signal: str) -> None:
    """Killed, it cannot take the address off its interface: its next start does."""
    with _users() as users:
        lab.output(holder, f"systemctl kill --signal={signal} keepalived")
        _await(lambda: _all_able(lab), seconds=15)
    users.report(f"keepalived ended by {signal}")

    assert users.longest_gap() < PROMISED_SECONDS


def test_a_reloaded_keepalived_keeps_the_address(lab: Lab, holder: str) -> None:
    """A change of its configuration costs nobody anything."""
    with _users() as users:
        for _ in range(3):
            lab.output(holder, "systemctl reload keepalived")
            time.sleep(1)
    users.report("keepalived reloaded")

    assert lab.holders() == [holder]
    assert not users.failed
    assert set(users.streams) == {"whole"}


def test_an_upgrade_of_both_gateways_loses_nothing(lab: Lab, holder: str) -> None:
    """Both get another configuration of nginx and of keepalived through the real deploy; the address stays."""
    takeover = {"advert_seconds": 0.4, "check_seconds": 0.5, "fall": 2, "rise": 2}
    changed = {"gateway": {**_gateway_data(), "takeover": takeover, "connect_timeout": "3s"}}
    before = {name: lab.status(name)["generation"] for name in lab.gateways}
    with _users() as users:
        run = lab.deploy("-y", "--data", f"gateway={json.dumps(changed['gateway'])}")
        after = {name: lab.status(name)["generation"] for name in lab.gateways}
        held_by = lab.holders()
        back = lab.deploy("-y")
    users.report("upgraded and back")

    assert run.returncode == 0, run.stdout
    assert back.returncode == 0, back.stdout
    assert all(before[name] != after[name] for name in lab.gateways)
    assert held_by == [holder]
    # The one with the address comes last.
    assert run.stdout.index(f"Gateways and monitors: {_other(lab, holder)}") < run.stdout.index(
        f"Gateways and monitors: {holder}"
    )
    assert not users.failed
    assert set(users.streams) == {"whole"}


def _gateway_data() -> dict[str, object]:
    data: dict[str, object] = runpy.run_path(str(ROOT / "group_data/gateways.py"))["gateway"]
    return data


def test_a_drained_holder_gives_the_address_away(lab: Lab, holder: str) -> None:
    """And takes it no more, not even when asked to by a dying other one; the other may not be drained then."""
    other = _other(lab, holder)
    with _users() as users:
        drained = lab.run(holder, "ipex-node drain --reason 'a test'")
        held_by = lab.holders()
    users.report("drained")
    try:
        refused = lab.run(other, "ipex-node drain --reason 'a test'")
        kept = lab.holders()
        able = {name: _said(lab, name)["able"] for name in lab.gateways}
    finally:
        lab.output(holder, "ipex-node undrain")

    assert drained.returncode == 0, drained.stdout + drained.stderr
    assert held_by == [other]
    assert users.longest_gap() < PROMISED_SECONDS
    assert refused.returncode == 1
    assert f"none of the other gateways ({holder}) could take {FLOATING_ADDRESS}" in refused.stdout
    assert kept == [other]
    assert able == {holder: False, other: True}


def test_a_node_waits_until_both_gateways_have_let_go(lab: Lab, holder: str) -> None:
    """While one of them cannot reload, a draining node has not left: it hears from that gateway that it is in."""
    node, other = lab.gpus[0], _other(lab, holder)
    lab.output(other, "systemctl kill --signal=STOP nginx")
    try:
        draining = lab.run(node, "timeout 4 ipex-node drain --reason 'a test'")
    finally:
        lab.output(other, "systemctl kill --signal=CONT nginx")
    said = json.loads(lab.output(node, "curl -s http://127.0.0.1:9090/ready"))["gateways"]
    lab.output(node, "ipex-node undrain")

    assert draining.returncode == 124
    assert f"wait until {other} say: out" in draining.stderr
    assert said[holder]["rotation"] == "out"


def _await(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(ValueError, KeyError, AssertionError):
            if condition():
                return
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
