"""What is said of a node's declared models."""

import pytest

from ipex_node.models import presence
from ipex_node.samples import Sample

DIGEST = "sha256:" + "a" * 64
SAID = {"models": [{"name": "tinyllama:latest", "digest": "a" * 64}, {"name": "hand/made:1", "digest": "b" * 64}]}


def _of(family: str, found: list[Sample]) -> dict[str, float]:
    return {one.labels.get("model", ""): one.value for one in found if one.family == family}


@pytest.mark.parametrize(
    ("locked", "present", "wrong"),
    [({}, 1, 0), ({"tinyllama": DIGEST}, 1, 0), ({"TinyLlama:latest": DIGEST.replace("a", "c")}, 0, 1)],
    ids=["never locked", "as it was given", "another one under its name"],
)
def test_a_declared_model_counts_with_the_digest_it_was_given(
    locked: dict[str, str], present: float, wrong: float
) -> None:
    """A model that is missing is not there; one that nobody declares is counted."""
    found = list(presence.samples("ollama", ("tinyllama", "gemma3:27b"), locked, SAID))

    assert _of(presence.PRESENT, found) == {"tinyllama": present, "gemma3:27b": 0}
    assert _of(presence.WRONG, found) == {"tinyllama": wrong, "gemma3:27b": 0}
    assert _of(presence.UNDECLARED, found) == {"": 1}


@pytest.mark.parametrize("said", [None, [], {}, {"models": "x"}, "models", 1])
def test_where_no_list_was_given_nothing_is_said(said: object) -> None:
    """An engine that is down has not lost its models."""
    assert not list(presence.samples("ollama", ("tinyllama",), {}, said))


def test_an_engine_without_models_lacks_what_is_declared() -> None:
    """Go writes an empty list as null."""
    assert _of(presence.PRESENT, list(presence.samples("ollama", ("tinyllama",), {}, {"models": None}))) == {
        "tinyllama": 0
    }
