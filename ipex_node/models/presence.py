"""Which of its declared models a node has, with the digest that it was last given: what gateways and monitors are told.

An engine's own list says what it has (Ollama's docs/api.md, GET /api/tags): a model stands on it as soon as its
manifest is there, which is written last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipex_node.cleanup.model_name import full_name
from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PRESENT, WRONG, UNDECLARED = "ipex_model_present", "ipex_model_wrong_digest", "ipex_models_undeclared"


def samples(service: str, declared: Iterable[str], locked: Mapping[str, str], said: object) -> Iterator[Sample]:
    """Yield for each declared model whether it is there, and whether it is another one under its name.

    Args:
        service: Whose models.
        declared: The models, as data write them.
        locked: Model to the digest that this node was last given; one without may have any.
        said: The answer to GET /api/tags; anything at all.
    """
    there = _listed(said)
    if there is None:
        return
    known = {full_name(name): digest for name, digest in locked.items()}
    names = {full_name(name): name for name in declared}
    for full, name in names.items():
        digest = there.get(full)
        wrong = digest is not None and known.get(full, digest) != digest
        labels = {"service": service, "model": name}
        yield Sample(PRESENT, labels, float(digest is not None and not wrong))
        yield Sample(WRONG, labels, float(wrong))
    yield Sample(UNDECLARED, {"service": service}, float(len(set(there) - set(names))))


def _listed(said: object) -> dict[str, str] | None:
    """Return full name to digest; none where no list was given."""
    if not isinstance(said, dict) or "models" not in said:
        return None
    # Go writes an empty list as null.
    listed = said["models"] or []
    if not isinstance(listed, list):
        return None
    rows = [one for one in listed if isinstance(one, dict) and one.get("name")]
    return {full_name(str(one["name"])): f"sha256:{one.get('digest')}" for one in rows}
