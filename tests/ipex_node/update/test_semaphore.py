"""Whose turn it is, asked over any history: never too many, canaries first, and nobody behind a failure."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipex_node import lock, record
from ipex_node.paths import Paths
from ipex_node.update import ledger
from ipex_node.update.publication import Member, Publication, Service
from ipex_node.update.semaphore import ASK, RETURN, Semaphore
from ipex_node.update.settings import Turns
from ipex_node.world import World

LEASE, SOAK = 600.0, 120.0
NODES = {f"gpu-0{number}": f"192.0.2.{number}" for number in range(1, 6)}
CANARIES = {"gpu-01", "gpu-02"}


class Fleet:
    """A monitor that gives turns, its clock, and nodes that ask.

    Attributes:
        now: its clock.
        serial: what is published.
        ready: nodes that serve.
    """

    def __init__(self, root: Path, concurrent: int = 2, floor: int = 0) -> None:
        self.paths, self.now, self.serial = Paths(root), 1_000_000.0, 1
        self.ready, self._concurrent = set(NODES), concurrent
        self._services = {"ollama": Service(tuple(NODES), floor)}
        self._semaphore = Semaphore(World(self.paths), "lab", Turns(9097, LEASE, NODES))

    def published(self, *_words: object) -> Publication:
        """Stand for the depot."""
        members = {
            name: Member("0" * 16, "", "", (), address, 1, "gpu_nodes", name in CANARIES)
            for name, address in NODES.items()
        }
        until = self.now + 1e6
        return Publication("lab", self.serial, self.now, until, self._concurrent, SOAK, members, self._services)

    def ask(self, name: str, serial: int | None = None) -> str:
        """Ask for a turn; the kind of the answer."""
        return self._said(ASK, name, {"serial": serial or self.serial})

    def give_back(self, name: str, word: str, serial: int | None = None) -> str:
        """Give a turn back."""
        return self._said(RETURN, name, {"serial": serial or self.serial, "word": word, "record": {"why": "hung"}})

    def _said(self, path: str, name: str, params: dict[str, Any]) -> str:
        _, answer = self._semaphore.answer(path, NODES[name], {"client_params": {"id": name, **params}})
        return str(answer["kind"])

    def answer(self, path: str, address: str, question: object) -> int:
        """Ask anything; the status."""
        return self._semaphore.answer(path, address, question)[0]

    def held(self) -> set[str]:
        """Whose turn it is by the ledger on the disk."""
        return set(ledger.load(self.paths).at(self.serial, self.now).held)


@contextmanager
def _fleet(concurrent: int = 2, floor: int = 0) -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), concurrent, floor)
        with (
            mock.patch("ipex_node.update.semaphore.offer.current", fleet.published),
            mock.patch("time.time", side_effect=lambda: fleet.now),
            mock.patch("os.fsync"),
            mock.patch.object(Semaphore, "_ready", side_effect=lambda _: set(fleet.ready)),
        ):
            yield fleet


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Five nodes, two of them canaries, two turns at once."""
    with _fleet() as found:
        yield found


def _canaries_done(fleet: Fleet) -> None:
    for name in sorted(CANARIES):
        assert fleet.ask(name) == "ok"
        assert fleet.give_back(name, "done") == "ok"
    fleet.now += SOAK


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(sorted(NODES)),
        st.sampled_from(("ask", "ask", "ask", "done", "done", "failed", "current", "silent", "publish")),
        st.sampled_from((0.0, 1.0, SOAK, LEASE / 2, LEASE)),
    ),
    min_size=15,
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(_STEPS, st.integers(1, 3))
def test_no_history_breaks_the_plan(steps: list[tuple[str, str, float]], concurrent: int) -> None:
    """Told apart from the ledger: who was given a turn, until when, for what, and what each has said."""
    holds: dict[str, tuple[float, int]] = {}
    said: dict[str, str] = {}
    with _fleet(concurrent) as fleet:
        for name, step, later in steps:
            fleet.now += later
            for other in [other for other, (until, _) in holds.items() if until <= fleet.now]:
                _, serial = holds.pop(other)
                if serial == fleet.serial:
                    said[other] = "lost"
            if step == "publish":
                fleet.serial += 1
                said.clear()
            elif step == "ask":
                bad = {other for other, word in said.items() if word in {"failed", "lost"}}
                if fleet.ask(name) == "ok":
                    assert bad <= {name}
                    assert said.get(name) != "failed"
                    assert name in holds or name in CANARIES or set(said) >= CANARIES
                    holds[name] = (fleet.now + LEASE, fleet.serial)
                else:
                    assert name not in holds or bad
            elif name in holds and step != "silent":
                _, serial = holds.pop(name)
                assert fleet.give_back(name, step, serial) == "ok"
                if serial == fleet.serial:
                    said[name] = step
            assert len(holds) <= concurrent
            assert fleet.held() == set(holds)


def test_a_lease_that_has_run_out_frees_its_place_and_stops_the_others(fleet: Fleet) -> None:
    """Nobody begins until something else is published; then the place is free."""
    _canaries_done(fleet)
    assert (fleet.ask("gpu-03"), fleet.ask("gpu-04"), fleet.ask("gpu-05")) == ("ok", "ok", "full")

    fleet.now += LEASE
    assert fleet.held() == set()
    assert fleet.ask("gpu-05") == "stopped"

    fleet.serial += 1
    assert fleet.ask("gpu-01") == "ok"


def test_a_loss_of_before_does_not_stop_what_is_published_after_it(fleet: Fleet) -> None:
    """Also where nobody has asked between the two."""
    assert fleet.ask("gpu-01") == "ok"
    fleet.now += LEASE

    fleet.serial += 1

    assert fleet.ask("gpu-02") == "ok"


def test_a_turn_of_before_is_given_back_behind_the_next_publication(fleet: Fleet) -> None:
    """Its place is free at once, and nobody is lost when its lease would have ended; it has its turn anew."""
    with _fleet(concurrent=1) as one:
        assert one.ask("gpu-01") == "ok"
        one.serial += 1
        assert one.ask("gpu-02") == "full"

        assert one.give_back("gpu-01", "done", serial=1) == "ok"

        assert one.held() == set()
        one.now += LEASE
        assert one.ask("gpu-02") == "ok"
        assert "gpu-01" not in ledger.load(one.paths).ended
    assert fleet.held() == set()


def test_a_word_about_an_earlier_publication_does_not_end_a_turn_of_this_one(fleet: Fleet) -> None:
    """Somebody may have begun a second update by hand."""
    fleet.serial = 2
    assert fleet.ask("gpu-01") == "ok"

    assert fleet.give_back("gpu-01", "current", serial=1) == "ok"

    assert fleet.held() == {"gpu-01"}


def test_canaries_go_first_and_must_live_for_a_while(fleet: Fleet) -> None:
    """Both of them, and so long behind the last."""
    assert fleet.ask("gpu-03") == "canary"
    _canaries_done(fleet)
    fleet.now -= 1
    assert fleet.ask("gpu-03") == "soak"
    fleet.now += 1
    assert fleet.ask("gpu-03") == "ok"


def test_behind_a_failure_nobody_begins_and_the_record_tells_of_it(fleet: Fleet) -> None:
    """Not even the one that has failed."""
    assert fleet.ask("gpu-01") == "ok"
    assert fleet.give_back("gpu-01", "failed") == "ok"

    assert [fleet.ask(name) for name in NODES] == ["stopped"] * 5
    (line,) = record.read(fleet.paths.state / record.FILE)
    assert (line["who"], line["result"]) == ("ipex-update@gpu-01", "stopped")
    assert line["nodes"]["gpu-01"]["why"] == "hung"


def test_floors_hold_whatever_may_be_at_once() -> None:
    """A node that is at work, and one that is down, serve nothing."""
    with _fleet(concurrent=3, floor=3) as fleet:
        fleet.ready -= {"gpu-05"}
        assert fleet.ask("gpu-01") == "ok"
        assert fleet.ask("gpu-02") == "floor"
        fleet.ready |= {"gpu-05"}
        assert fleet.ask("gpu-02") == "ok"


def test_nobody_begins_while_an_operator_rolls_nor_the_other_way_round(fleet: Fleet) -> None:
    """Push and pull exclude each other."""
    lock.acquire(fleet.paths, owner="ann", reason="deploy", token="t", seconds=60)  # noqa: S106 - a name for the holder
    assert fleet.ask("gpu-01") == "rollout"
    lock.release(fleet.paths, "t")
    assert fleet.ask("gpu-01") == "ok"

    with pytest.raises(Exception, match="gpu-01 update themselves"):
        lock.acquire(fleet.paths, owner="ann", reason="deploy", token="u", seconds=60)  # noqa: S106 - as above


def test_what_was_asked_for_must_be_what_is_published(fleet: Fleet) -> None:
    """A node that has not seen the newest asks again; a word of the future is not believed."""
    assert fleet.ask("gpu-01") == "ok"
    assert fleet.ask("gpu-01", serial=7) == "serial"
    assert fleet.give_back("gpu-01", "done", serial=7) == "serial"
    assert ledger.load(fleet.paths).serial == 1
    assert fleet.held() == {"gpu-01"}


@pytest.mark.parametrize(
    ("path", "address", "question", "status"),
    [
        (ASK, "192.0.2.1", [], 400),
        (ASK, "192.0.2.1", {"client_params": {"id": 1}}, 400),
        (ASK, "192.0.2.2", {"client_params": {"id": "gpu-01", "serial": 1}}, 403),
        (ASK, "192.0.2.9", {"client_params": {"id": "gpu-09", "serial": 1}}, 403),
        ("/v1/other", "192.0.2.1", {"client_params": {"id": "gpu-01", "serial": 1}}, 404),
        (RETURN, "192.0.2.1", {"client_params": {"id": "gpu-01", "serial": 1, "word": "fine"}}, 409),
        (RETURN, "192.0.2.1", {"client_params": {"id": "gpu-01", "word": "done"}}, 409),
        (RETURN, "192.0.2.1", {"client_params": {"id": "gpu-01", "serial": "1", "word": "done"}}, 409),
    ],
)
def test_strangers_and_nonsense_get_no_turn(
    fleet: Fleet, path: str, address: str, question: object, status: int
) -> None:
    """A node speaks for itself alone."""
    assert fleet.answer(path, address, question) == status
    assert fleet.held() == set()
