"""Rot is found within the declared days: whole verifications, night after night, by a clock that the test moves."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ipex_node.backups import models, verify
from ipex_node.paths import Paths
from ipex_node.world import World
from tests.ipex_node.fake_node import SETTINGS

DAYS = 7
BLOBS = 20
_DAY = 86400
_BEGUN = 20_000 * _DAY + 3 * 3600
Night = Callable[[int], dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A node with one snapshot of twenty blobs, of which one is as large as all others together."""
    models_of = tmp_path / "var/lib/private/ollama/models"
    (models_of / "blobs").mkdir(parents=True)
    layers = []
    for number in range(BLOBS):
        content = bytes([number]) * (19_000 if number == 0 else 1000)
        digest = hashlib.sha256(content).hexdigest()
        (models_of / f"blobs/sha256-{digest}").write_bytes(content)
        layers.append({"digest": f"sha256:{digest}", "size": len(content)})
    manifest = models_of / "manifests/registry.ollama.ai/library/many/latest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"layers": layers}))
    place = tmp_path / "var/lib/ipex-backup"
    models.take(models.Store(models_of.parent, "models"), place, "ollama", _BEGUN)
    service = {"name": "ollama", "unit": "ollama-ipex.service", "items": [], "models": "models", "drain_seconds": 1}
    keep = {"daily": 7, "weekly": 4, "monthly": 6}
    how: dict[str, Any] = {
        "node": "gpu-01",
        "place": "/var/lib/ipex-backup",
        "repository": None,
        "keep": keep,
        "verify_days": DAYS,
    }
    how |= {"wait_seconds": 0, "free_share": 0, "trial": None, "services": [service | {"created": [], "declared": []}]}
    (tmp_path / "etc/ipex").mkdir(parents=True)
    (tmp_path / "etc/ipex/node.json").write_text(json.dumps({**SETTINGS, "backup": how}))
    return tmp_path


@pytest.fixture
def night(store: Path) -> Night:
    """The verification of a night, counted from the first backup."""

    def verified(number: int) -> dict[str, Any]:
        with mock.patch("time.time", return_value=_BEGUN + number * _DAY):
            return verify.verify(World(Paths(store)))

    return verified


def _blobs(store: Path) -> list[Path]:
    return sorted((store / "var/lib/private/ollama/models/blobs").iterdir())


@pytest.mark.parametrize("since", [0, 1, DAYS, 2 * DAYS + 3])
@pytest.mark.parametrize("which", range(0, BLOBS, 3))
def test_a_blob_that_rots_is_found_within_the_declared_days(store: Path, night: Night, since: int, which: int) -> None:
    """Whichever it is and whenever it happens; before that, nothing is told."""
    for number in range(1, since + 1):
        assert night(number)["ok"]
    blob = _blobs(store)[which]
    blob.write_bytes(b"X" + blob.read_bytes()[1:])

    found = next(number for number in range(1, 10 * DAYS) if night(since + number)["rotten_blobs"] == [blob.name])

    assert found <= DAYS


def test_nights_that_were_missed_are_made_up_for_at_once(store: Path, night: Night) -> None:
    """A machine that was off for a month reads all in its first night."""
    for number in range(1, DAYS + 1):
        night(number)
    blob = _blobs(store)[5]
    blob.write_bytes(b"X" + blob.read_bytes()[1:])

    assert night(DAYS + 30)["rotten_blobs"] == [blob.name]


def test_what_is_rotten_is_told_of_each_night_until_it_is_mended(store: Path, night: Night) -> None:
    """Not only in the night in which its turn came."""
    blob = _blobs(store)[0]
    whole = blob.read_bytes()
    blob.write_bytes(b"X" + whole[1:])
    told = [night(number)["rotten_blobs"] == [blob.name] for number in range(1, DAYS + 4)]
    blob.write_bytes(whole)

    assert all(told[told.index(True) :])
    assert night(DAYS + 5)["rotten_blobs"] == []


def test_a_night_reads_a_part_and_all_nights_read_all(night: Night) -> None:
    """Of one blob as large as the others together: that one on one night, the others on the rest."""
    first = [night(number)["verified_blobs"] for number in range(1, DAYS + 1)]
    second = [night(number)["verified_blobs"] for number in range(DAYS + 1, 2 * DAYS + 1)]

    # Of what was never read all is due at once.
    assert first[0] == BLOBS
    assert sum(second) >= BLOBS
    assert max(second) < BLOBS
