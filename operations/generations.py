"""Generations: staged while the node serves, activated in one transaction."""

import base64
from collections.abc import Generator

from pyinfra.api.command import QuoteString
from pyinfra.api.operation import operation

from fleet.desired.program import PATH
from fleet.plan import Work
from operations import firewall
from operations.node_command import NodeCommand

# Realising a closure may build for hours where no cache has it.
_STAGE_SECONDS = 4 * 3600
# What an activation may take beside its drain and its probes: files, profiles, systemctl, and the way back.
_REST_SECONDS = 1500

ACTIVATE = "Activate the generation"

# Standard input holds the bundle. It brings the program that unpacks it, so that a node is always staged by the
# version it is staged for.
_UNPACK = f"""set -eu
umask 077
mkdir -p -m 755 /var/lib/ipex
directory=$(mktemp -d /var/lib/ipex/incoming.XXXXXX)
trap 'rm -rf "$directory"' EXIT
base64 -d | tar -xzpf - -C "$directory" --no-same-owner
"$directory/root{PATH}" stage "$directory"
"""


def stage(work: Work) -> None:
    """Bring the generation to the node; no service is touched."""
    if work.activate:
        _staged(name="Stage the generation", bundle=work.generation.bundle(), _timeout=_STAGE_SECONDS)


def activate(work: Work) -> None:
    """Make the staged generation the current one, or leave the node as it was."""
    if work.activate:
        firewall.attempt(work, _staged_program(work.target))
        _activated(name=ACTIVATE, generation=work.target, force=work.force, _timeout=_activation_seconds(work))


def roll_back(work: Work) -> None:
    """Make an older generation the current one again, or leave the node as it was."""
    if work.activate:
        firewall.attempt(work, PATH)
        _rolled_back(name=ACTIVATE, generation=work.target, force=work.force, _timeout=_activation_seconds(work))


def _activation_seconds(work: Work) -> int:
    """How long a node may be at it: one drain, the probes of the new generation, and those of the old one again."""
    services = work.node.services
    drain = max((service.drain_seconds for service in services), default=0)
    return drain + 2 * sum(service.probe_seconds for service in services) + _REST_SECONDS


def _staged_program(generation: str) -> str:
    return f"/var/lib/ipex/generations/{generation}/root{PATH}"


@operation()
def _staged(bundle: bytes) -> Generator[NodeCommand, None, None]:
    # By standard input: never an argument, never a file that others could read or guess.
    yield NodeCommand("sh", "-c", QuoteString(_UNPACK), _stdin=base64.encodebytes(bundle).decode())


@operation()
def _activated(generation: str, force: bool) -> Generator[NodeCommand, None, None]:
    yield NodeCommand(_staged_program(generation), "activate", generation, *(["--force"] if force else []))


@operation()
def _rolled_back(generation: str, force: bool) -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "rollback", generation, *(["--force"] if force else []))
