"""A publication as it follows from the model."""

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import desired, publication
from fleet.model import Fleet
from fleet.observed import Observed
from fleet.publication import Bundle
from ipex_node.update.publication import parse, parted


def _updating(fleet: Fleet) -> Fleet:
    nodes = (
        dataclasses.replace(one, updates=dataclasses.replace(one.updates, enable=True))
        for one in fleet.nodes
        if one.updates
    )
    return dataclasses.replace(fleet, nodes=tuple(nodes))


def test_what_a_controller_writes_a_node_reads(example: Fleet) -> None:
    """To the last word, whatever it is sealed with."""
    fleet = _updating(example)
    generations = {node.name: desired.generation(node, fleet) for node in fleet.nodes}
    bundles = {name: Bundle(f"7/{name}.age", b"x", hashlib.sha256(b"x").hexdigest()) for name in generations}
    seal = b"-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n"
    text = publication.index(fleet, generations, bundles, frozenset(generations), 7)

    files = publication.files(text, seal, bundles)
    found = parse(parted(files["index"])[1])

    assert parted(files["index"]) == (seal, text)
    assert set(files) == {"index", *(one.file for one in bundles.values())}
    assert {name: one.generation for name, one in found.members.items()} == {k: v.id for k, v in generations.items()}
    assert found.expires == 7 + 14 * 86400
    assert {name: found.members[name].role for name in ("gpu-01", "gateway-01", "monitor-01")} == {
        "gpu-01": "gpu_nodes",
        "gateway-01": "gateways",
        "monitor-01": "monitors",
    }
    assert found.services["ollama"] == dataclasses.replace(
        found.services["ollama"], nodes=("gpu-01", "gpu-02", "gpu-03"), floor=2
    )


@given(st.data(), st.integers(0, 3))
def test_canaries_are_of_those_that_change(example: Fleet, data: st.DataObject, count: int) -> None:
    """GPU nodes first; never more than the data say; where others alone change, one of them."""
    names = [node.name for node in example.nodes]
    changing = data.draw(st.frozensets(st.sampled_from(names)))
    rollout = dataclasses.replace(example.rollout, canaries=count)
    nodes = tuple(dataclasses.replace(node, rollout=rollout) for node in example.nodes)

    found = publication.canaries(dataclasses.replace(example, nodes=nodes), changing)

    gpus = {name for name in changing if example[name].is_gpu}
    assert found <= (gpus or changing)
    assert len(found) == (min(count, len(gpus)) if gpus else min(count, 1, len(changing)))


def test_every_reason_against_it_has_a_cure(example: Fleet) -> None:
    """No depot, no word of updates, no host key."""
    bare = dataclasses.replace(
        example,
        nodes=tuple(dataclasses.replace(one, updates=None, depot=None, serves_depot=False) for one in example.nodes),
    )
    found = [
        *publication.problems(bare, {}),
        *publication.problems(_updating(example), {"gpu-01": Observed(), "gpu-02": Observed(host_key="k")}),
    ]

    assert [one.where for one in found] == ["example", "example", "gpu-01"]
    assert all(one.cure for one in found)


def test_a_key_that_is_none_is_an_error() -> None:
    """Nothing is encrypted for nobody."""
    with pytest.raises(ValueError, match=r".+"):
        publication.encrypted(b"x", "ssh-ed25519 AAAA")
