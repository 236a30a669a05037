"""What a controller publishes is taken in whole, or not at all."""

import base64
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet import secrets_file
from fleet.depot import FLEET_KEY
from fleet.secrets import Secret
from ipex_node import files
from ipex_node.failure import FailedError
from ipex_node.update import offer, shelf
from tests.ipex_node.update.shop import Shop, archive

BUNDLES = {"gpu-01": b"one", "gpu-02": b"two"}


def test_what_is_published_lies_there_with_its_index(shop: Shop) -> None:
    """Each bundle under the publication's own number."""
    answer = shop.publish(5, BUNDLES)

    assert (answer["serial"], answer["nodes"]) == (5, ["gpu-01", "gpu-02"])
    assert set(shop.there()) == {"index", "5/gpu-01.age", "5/gpu-02.age"}
    assert shop.there()["5/gpu-02.age"] == b"two"


def test_two_publications_stay_for_nodes_that_are_at_it(shop: Shop) -> None:
    """The third takes the first's place; numbers are numbers, no text."""
    for serial in (9, 10, 11):
        shop.publish(serial, BUNDLES)

    assert {path.partition("/")[0] for path in shop.there()} == {"index", "10", "11"}


@pytest.mark.parametrize("serial", [4, 5])
def test_nothing_older_replaces_what_is_there(shop: Shop, serial: int) -> None:
    """Nor another one with the same number."""
    shop.publish(5, BUNDLES)
    before = shop.there()

    with pytest.raises(FailedError, match=f"has publication 5, and this is {serial}"):
        shop.publish(serial, {"gpu-01": b"old"})

    assert shop.there() == before


def _foreign(shop: Shop) -> bytes:
    somebody = Secret(FLEET_KEY, secrets_file.new_signing_key())
    publication = shop.publication(6, BUNDLES)
    return archive({"index": shop.index(publication, somebody), "6/gpu-01.age": b"one", "6/gpu-02.age": b"two"})


def _lacking(shop: Shop) -> bytes:
    return archive({"index": shop.index(shop.publication(6, BUNDLES)), "6/gpu-01.age": b"one"})


def _with_more(shop: Shop) -> bytes:
    index = shop.index(shop.publication(6, {}))
    return archive({"index": index, "6/gpu-01.age": b"one"})


def _elsewhere(shop: Shop) -> bytes:
    found = shop.publication(6, {"../../etc/x": b"one"})
    return archive({"index": shop.index(found), "6/../../etc/x.age": b"one"})


def _under_anothers_number(shop: Shop) -> bytes:
    members = shop.publication(5, {"gpu-01": b"one"}).members
    return archive({"index": shop.index(shop.publication(6, {}, members=members)), "5/gpu-01.age": b"one"})


def _cut_off(shop: Shop) -> bytes:
    return base64.encodebytes(base64.b64decode(_lacking(shop))[:700])


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (_foreign, "is not one that this node believes"),
        (_lacking, "does not hold what its index names"),
        (_with_more, "does not hold what its index names"),
        (_elsewhere, "is no place for a bundle"),
        (_under_anothers_number, "does not hold what its index names"),
        (_cut_off, "is cut off|has no whole signature"),
    ],
)
def test_what_is_not_whole_or_not_the_fleets_changes_nothing(
    shop: Shop, made: Callable[[Shop], bytes], why: str
) -> None:
    """Every refusal has a cure."""
    shop.publish(5, {"gpu-01": b"one"})
    before = shop.there()

    with pytest.raises(FailedError, match=why) as refused:
        shelf.take_in(shop.world, made(shop))

    assert refused.value.failures[0].cure
    assert shop.there() == before


@pytest.mark.parametrize("victim", ["gpu-01.age", "gpu-02.age", "index"])
def test_a_full_disk_keeps_what_was_published(shop: Shop, victim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever file it is full, nothing of the new publication stays."""
    shop.publish(5, BUNDLES)
    before, write = shop.there(), files.write

    def full(path: Path, content: bytes, *more: Any) -> None:
        if path.name == victim:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content, *more)

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(FailedError, match="No space left on device"):
        shop.publish(6, BUNDLES)

    assert shop.there() == before
    assert not (shop.place / "6").exists()


def test_a_node_without_a_depot_takes_nothing_in(shop: Shop) -> None:
    """It says that the depot has moved."""
    shop.world.paths.on_node(offer.SETTINGS).write_text('{"source": "http://192.0.2.1:8480", "directory": null}')

    with pytest.raises(FailedError, match="keeps no depot"):
        shop.publish(5, BUNDLES)
