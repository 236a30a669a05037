"""What the depot offers, and whether this node believes it: signed, of this fleet, not old, not older than another."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING

from ipex_node import border, signature
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.update import memory
from ipex_node.update.publication import INDEX, Publication, parse, parted

if TYPE_CHECKING:
    from ipex_node.update.publication import Member
    from ipex_node.world import World

SETTINGS = "/etc/ipex/depot.json"
_SECONDS = 30.0
"""For each piece of an answer."""
_AHEAD_SECONDS = 900.0
"""A publication may be so much younger than this node's clock."""
_LONGEST_INDEX = 4 << 20
_LONGEST_BUNDLE = 256 << 20
_AGAIN = "publish again: pyinfra inventory/ENVIRONMENT.py tasks/publish.py"


class MissingError(FailedError):
    """The depot answers, and does not have it."""


def current(world: World, environment: str, now: float) -> Publication | None:
    """Fetch what is published, and check it; None where nothing is, and never was.

    What is older than what this node has seen before is not believed.

    Raises:
        FailedError: The depot is silent, or what it offers is tampered with, stale, older, or another fleet's.
    """
    try:
        content = _fetched(world, INDEX, _LONGEST_INDEX)
    except MissingError:
        if memory.load(world.paths).get("serial"):
            raise
        return None
    seal, text = parted(content)
    signature.verify(world.run, text, seal, signature.FLEET, world.paths.on_node(signature.SIGNERS))
    found = parse(text)
    if found.environment != environment:
        raise failed(INDEX, f"is {border.words(found.environment)}'s, and this node belongs to {environment}", _AGAIN)
    if found.created > now + _AHEAD_SECONDS:
        raise failed(INDEX, "was made in the future", "set the clocks of this node and of the controller")
    if now >= found.expires:
        raise failed(INDEX, f"is stale: publication {found.serial} has expired, or something newer is withheld", _AGAIN)
    memory.accept(world.paths, found.serial, hashlib.sha256(text).hexdigest(), found.expires)
    return found


def bundle(world: World, member: Member) -> bytes:
    """Fetch what a node is to take, still encrypted.

    Raises:
        FailedError: The depot is silent, or it is not what the publication names.
    """
    content = _fetched(world, f"generations/{member.file}", _LONGEST_BUNDLE)
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise failed(member.file, "is damaged or tampered with: its digest is not the publication's", _AGAIN)
    return content


def _fetched(world: World, path: str, limit: int) -> bytes:
    try:
        source = border.load(world.paths.on_node(SETTINGS))["source"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise failed(SETTINGS, f"names no depot: {error!r}", "deploy again") from error
    url = f"{source}/{path}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - file: on the depot's own node
            content: bytes = answer.read(limit + 1)
    except (OSError, HTTPException, ValueError) as error:
        missing = isinstance(error, urllib.error.HTTPError) and error.code == 404
        missing = missing or isinstance(getattr(error, "reason", None), FileNotFoundError)
        why = "is not there" if missing else f"cannot be fetched: {getattr(error, 'reason', error)}"
        if missing:
            raise MissingError(Failure(url, why, _AGAIN)) from error
        raise failed(url, why, "look at the depot: systemctl status ipex-depot") from error
    if len(content) > limit:
        raise failed(url, f"is longer than {limit} bytes", _AGAIN)
    return content
