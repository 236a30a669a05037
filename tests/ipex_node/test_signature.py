"""Signatures: made by the controller, believed by nodes, with the real ssh-keygen."""

from pathlib import Path

import pytest

from fleet import depot, secrets_file
from fleet.depot import FLEET_KEY
from fleet.secrets import Secret
from ipex_node import signature
from ipex_node.failure import FailedError
from ipex_node.signature import CLOSURES, FLEET
from ipex_node.world import run
from operations.signing import signed

CONTENT = b"a bundle"


@pytest.fixture
def key() -> Secret:
    """The fleet's own key."""
    return Secret(FLEET_KEY, secrets_file.new_signing_key())


@pytest.fixture
def signers(tmp_path: Path, key: Secret) -> Path:
    """A node's file of those who may sign."""
    path = tmp_path / "allowed_signers"
    path.write_text(f'{FLEET} namespaces="{FLEET}" {depot.ssh_public(key)}\n')
    return path


def test_what_the_controller_signs_a_node_believes(key: Secret, signers: Path) -> None:
    """And nothing else than that."""
    signature.verify(run, CONTENT, signed(CONTENT, key, FLEET), FLEET, signers)


def test_everything_else_is_refused_with_what_to_do(key: Secret, signers: Path) -> None:
    """Another content, another key, another namespace, no signature at all, nobody who may sign."""
    good = signed(CONTENT, key, FLEET)
    other = signed(CONTENT, Secret(FLEET_KEY, secrets_file.new_signing_key()), FLEET)
    for content, seal, namespace, who in (
        (b"a bundlE", good, FLEET, signers),
        (CONTENT, other, FLEET, signers),
        (CONTENT, signed(CONTENT, key, CLOSURES), FLEET, signers),
        (CONTENT, signed(CONTENT, key, CLOSURES), CLOSURES, signers),
        (CONTENT, b"", FLEET, signers),
        (CONTENT, good[: len(good) // 2], FLEET, signers),
        (CONTENT, good, FLEET, signers.with_name("nobody")),
    ):
        with pytest.raises(FailedError) as refused:
            signature.verify(run, content, seal, namespace, who)
        assert refused.value.failures[0].cure
