"""What a node believes of what the depot offers, and what it remembers of it."""

import json
from typing import Any

import pytest

from ipex_node.failure import FailedError
from ipex_node.update import ledger, memory, offer
from ipex_node.update.turns import End, Ledger
from tests.ipex_node.update.shop import DAY, NOW, Shop, member

BUNDLES = {"gpu-01": b"one"}


def test_what_the_fleet_has_signed_is_believed_and_remembered(shop: Shop) -> None:
    """And its bundle is what the index names."""
    shop.publish(5, BUNDLES)

    found = offer.current(shop.world, "lab", NOW)

    assert found
    assert offer.bundle(shop.world, found.members["gpu-01"]) == b"one"
    assert memory.load(shop.world.paths)["serial"] == 5
    assert {sample.family: sample.value for sample in memory.samples(shop.world.paths)} == {
        "ipex_update_serial": 5,
        "ipex_update_offer_expires_timestamp_seconds": NOW + DAY,
    }


def test_nothing_was_ever_published_is_no_fault_and_its_loss_is_one(shop: Shop) -> None:
    """A depot that is emptied does not look like one that is new."""
    assert offer.current(shop.world, "lab", NOW) is None

    shop.publish(5, BUNDLES)
    offer.current(shop.world, "lab", NOW)
    (shop.place / "index").unlink()

    with pytest.raises(FailedError, match="is not there"):
        offer.current(shop.world, "lab", NOW)


@pytest.mark.parametrize(
    ("changed", "now", "why"),
    [
        ({"environment": "prod"}, NOW, "is prod's, and this node belongs to lab"),
        ({}, NOW + DAY, "is stale"),
        ({"created": NOW + 901}, NOW, "was made in the future"),
    ],
)
def test_what_is_anothers_stale_or_of_the_future_is_refused(
    shop: Shop, changed: dict[str, Any], now: float, why: str
) -> None:
    """And not remembered: the next good one is taken."""
    shop.publish(5, BUNDLES, **changed)

    with pytest.raises(FailedError, match=why):
        offer.current(shop.world, "lab", now)

    assert memory.load(shop.world.paths) == {}


def test_nothing_older_is_believed_nor_another_one_with_its_number(shop: Shop) -> None:
    """Though the fleet itself has signed it."""
    shop.publish(5, BUNDLES)
    older = (shop.place / "index").read_bytes()
    shop.publish(6, BUNDLES)
    offer.current(shop.world, "lab", NOW)

    (shop.place / "index").write_bytes(older)
    with pytest.raises(FailedError, match="publication 5 is offered, and this node has seen 6 before"):
        offer.current(shop.world, "lab", NOW)

    (shop.place / "index").write_bytes(shop.index(shop.publication(6, {})))
    with pytest.raises(FailedError, match="offers another publication 6 than before"):
        offer.current(shop.world, "lab", NOW)


@pytest.mark.parametrize("content", [b"", b"{}", b"-----BEGIN SSH SIGNATURE-----\n"])
def test_what_has_no_whole_signature_is_refused(shop: Shop, content: bytes) -> None:
    """It was cut off, or is nothing of ours."""
    shop.publish(5, BUNDLES)
    (shop.place / "index").write_bytes(content)

    with pytest.raises(FailedError, match="has no whole signature"):
        offer.current(shop.world, "lab", NOW)


def test_a_bundle_that_is_not_the_one_that_was_signed_is_refused(shop: Shop) -> None:
    """By its digest, before anything is unpacked."""
    with pytest.raises(FailedError, match="is not there"):
        offer.bundle(shop.world, member("gpu-01", 5, b"one"))
    shop.publish(5, BUNDLES)
    (shop.place / "5/gpu-01.age").write_bytes(b"two")

    with pytest.raises(FailedError, match="its digest is not the publication's"):
        offer.bundle(shop.world, member("gpu-01", 5, b"one"))


@pytest.mark.parametrize("outcome", memory.OUTCOMES)
def test_exactly_one_outcome_is_told(shop: Shop, outcome: str) -> None:
    """What became of the attempt before is forgotten, what was seen of publications is not."""
    memory.accept(shop.world.paths, 5, "d", NOW)
    memory.conclude(shop.world.paths, "failed", "it hung")
    memory.conclude(shop.world.paths, outcome, "why", "0" * 16)

    told = [one for one in memory.samples(shop.world.paths) if one.family == "ipex_update_outcome"]
    assert {one.labels["outcome"] for one in told if one.value} == {outcome}
    assert len(told) == len(memory.OUTCOMES)
    assert (memory.summary(shop.world.paths) or {})["serial"] == 5


@pytest.mark.parametrize("text", ["", "[]", '{"serial": "5"}', "{"])
def test_a_damaged_memory_is_no_permission(shop: Shop, text: str) -> None:
    """What was seen before is not known: nothing is accepted, and the status says why."""
    shop.world.paths.update.parent.mkdir(parents=True, exist_ok=True)
    shop.world.paths.update.write_text(text)

    with pytest.raises(FailedError, match="cannot be read"):
        memory.accept(shop.world.paths, 5, "d", NOW)

    assert (memory.summary(shop.world.paths) or {})["outcome"] == "refused"
    assert list(memory.samples(shop.world.paths)) == []
    assert shop.world.paths.update.read_text() == text


def test_the_ledger_is_what_was_kept(shop: Shop) -> None:
    """With who is at it, and what became of the others."""
    known = Ledger(5, {}, {"gpu-02": End("failed", NOW, "it hung")}).granted("gpu-01", NOW, 60)
    assert ledger.load(shop.world.paths) == Ledger()

    ledger.save(shop.world.paths, known)

    assert ledger.load(shop.world.paths) == known


def test_the_ledger_of_an_earlier_program_is_read(shop: Shop) -> None:
    """Its turns are about the publication that it is about."""
    shop.world.paths.state.mkdir(parents=True, exist_ok=True)
    held = {"gpu-01": {"since": NOW, "until": NOW + 60}}
    shop.world.paths.turns.write_text(json.dumps({"serial": 5, "held": held, "ended": {}}))

    assert ledger.load(shop.world.paths) == Ledger(5).granted("gpu-01", NOW, 60)


@pytest.mark.parametrize("text", ["", "[]", '{"serial": 5}', '{"serial": 5, "held": {"a": {}}, "ended": {}}'])
def test_a_damaged_ledger_is_nobodys_turn(shop: Shop, text: str) -> None:
    """It is said, with a cure."""
    shop.world.paths.state.mkdir(parents=True, exist_ok=True)
    shop.world.paths.turns.write_text(text)

    with pytest.raises(FailedError, match="cannot be read") as refused:
        ledger.load(shop.world.paths)
    assert refused.value.failures[0].cure
