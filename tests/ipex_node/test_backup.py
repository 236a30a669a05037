"""What has become of backups: told once, kept, and seen by status and monitors."""

import json
import time
from pathlib import Path

import pytest

from ipex_node import backup
from ipex_node.failure import FailedError
from ipex_node.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A node of its own."""
    return Paths(tmp_path)


def _values(paths: Paths) -> dict[tuple[str, str], float]:
    return {(one.family, one.labels["backup"]): one.value for one in backup.samples(paths)}


def test_a_node_that_nobody_has_told_of_a_backup_says_nothing(paths: Paths) -> None:
    """No number stands for what is not known."""
    assert list(backup.samples(paths)) == []
    assert backup.summary(paths) is None


def test_a_backup_that_was_made_has_its_time(paths: Paths) -> None:
    """And has not failed; each has its own."""
    begun = time.time()
    backup.done(paths, "models")
    backup.done(paths, "workflows", "no room")
    values = _values(paths)

    assert begun <= values["ipex_backup_last_success_timestamp_seconds", "models"] <= time.time()
    assert values["ipex_backup_failed", "models"] == 0
    assert values["ipex_backup_failed", "workflows"] == 1
    assert ("ipex_backup_last_success_timestamp_seconds", "workflows") not in values
    said = backup.summary(paths)
    assert said
    assert said.endswith("workflows never (FAILED: no room)")


def test_one_that_fails_keeps_the_time_of_the_last_that_was_made(paths: Paths) -> None:
    """Its age goes on; the next success ends the failure."""
    backup.done(paths, "models")
    made = _values(paths)["ipex_backup_last_success_timestamp_seconds", "models"]
    backup.done(paths, "models", "no room")

    assert _values(paths) == {
        ("ipex_backup_last_success_timestamp_seconds", "models"): made,
        ("ipex_backup_failed", "models"): 1,
    }
    backup.done(paths, "models")
    assert _values(paths)["ipex_backup_failed", "models"] == 0


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"succeeded": "soon", "why": ""}', "[" * 9000, '{"succeeded": 1}']
)
def test_a_record_that_cannot_be_read_is_a_failure(paths: Paths, content: str) -> None:
    """It is told of, and the next word mends it."""
    backup.done(paths, "models")
    (paths.backups / "models.json").write_text(content)

    assert _values(paths) == {("ipex_backup_failed", "models"): 1}
    backup.done(paths, "models")
    assert _values(paths)["ipex_backup_failed", "models"] == 0


@pytest.mark.parametrize("name", ["", "../models", "a b", "Models", "-x", "x" * 41])
def test_a_name_is_a_name(paths: Paths, name: str) -> None:
    """Nothing leads out of the directory."""
    with pytest.raises(FailedError, match="is no name"):
        backup.done(paths, name)
    assert not paths.state.exists()


def test_one_that_is_made_no_more_is_forgotten(paths: Paths) -> None:
    """Of a name that is not known, the known ones are told."""
    backup.done(paths, "models")
    with pytest.raises(FailedError) as refused:
        backup.forget(paths, "model")
    assert "models" in json.dumps([one.as_json() for one in refused.value.failures])

    backup.forget(paths, "models")
    assert list(backup.samples(paths)) == []
