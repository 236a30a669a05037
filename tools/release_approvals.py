"""Approvals of releases: SSH signatures, checked by ssh-keygen(1) against channels/approvers."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from fleet.release import Release

NAMESPACE = "ipex-fleet-release"


class ApprovalError(Exception):
    """ssh-keygen did not do what was asked; says what it said."""


def statement(release: Release, channel: str) -> bytes:
    """What is signed: everything a release is, and the channel that may name it."""
    said = {
        "channel": channel,
        "version": release.version,
        "tool": release.tool,
        "models": release.models,
        "flake": {"url": release.flake.url, "nar_hash": release.flake.nar_hash},
    }
    return (json.dumps(said, indent=2, sort_keys=True) + "\n").encode()


def folder(channels: Path, release: Release, channel: str) -> Path:
    """Where the signatures of one approval lie, one file a person."""
    return channels / "approvals" / channel / release.version


def sign(channels: Path, release: Release, channel: str, key: Path) -> tuple[str, Path]:
    """Sign with a person's own key, and say whose it is, by channels/approvers, and where the signature lies.

    Raises:
        ApprovalError: the key cannot sign, or is nobody's who may approve.
    """
    signature = _ssh_keygen("-Y", "sign", "-n", NAMESPACE, "-f", str(key), said=statement(release, channel))
    place = folder(channels, release, channel)
    place.mkdir(parents=True, exist_ok=True)
    path = place / "new.sig"
    path.write_text(signature)
    try:
        person = _person(channels / "approvers", path)
        _check(channels / "approvers", path, person, statement(release, channel))
    except ApprovalError as error:
        path.unlink()
        raise ApprovalError(f"{key} is no key of channels/approvers: {error}") from error
    return person, path.rename(place / f"{person}.sig")


def approvers(channels: Path, release: Release, channel: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Who has approved by a valid signature; and what was found that is none, each with why."""
    people, broken = set(), []
    for path in _signatures(folder(channels, release, channel)):
        try:
            person = _person(channels / "approvers", path)
            _check(channels / "approvers", path, person, statement(release, channel))
            people.add(person)
        except ApprovalError as error:
            broken.append(f"{path.name}: {error}")
    return frozenset(people), tuple(broken)


def _signatures(place: Path) -> Iterator[Path]:
    yield from sorted(place.glob("*.sig"))


def _person(allowed: Path, signature: Path) -> str:
    found = _ssh_keygen("-Y", "find-principals", "-s", str(signature), "-f", str(allowed))
    return found.splitlines()[0].strip()


def _check(allowed: Path, signature: Path, person: str, said: bytes) -> None:
    words = ("-Y", "verify", "-f", str(allowed), "-I", person, "-n", NAMESPACE, "-s", str(signature))
    _ssh_keygen(*words, said=said)


def _ssh_keygen(*words: str, said: bytes = b"") -> str:
    done = subprocess.run(["ssh-keygen", *words], input=said, capture_output=True, check=False)
    if done.returncode:
        complaint = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ApprovalError(complaint.rpartition("\n")[2] or f"ssh-keygen ended with {done.returncode}")
    return done.stdout.decode()
