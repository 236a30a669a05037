"""The binary cache's files: what a closure needs of them, whether they are whole, and what may go.

Source of the format: Nix, src/libstore/nar-info.cc.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


@dataclass(frozen=True)
class Info:
    """One store path in the cache.

    Attributes:
        base: hash and name of the path.
        nar: its packed content, below the cache.
        size: bytes of that.
        digest: sha256 of that, in one of Nix's spellings.
        references: bases of the paths it needs, itself perhaps.
    """

    base: str
    nar: str
    size: int
    digest: str
    references: tuple[str, ...]


def info(cache: Path, base: str) -> Info | None:
    """Read what the cache says of a path; none where it says nothing that can be read."""
    try:
        lines = (cache / f"{base[:32]}.narinfo").read_text().splitlines()
        said = dict(line.split(": ", 1) for line in lines if ": " in line)
        references = tuple(next((line[11:] for line in lines if line.startswith("References:")), "").split())
        return Info(base, said["URL"], int(said["FileSize"]), said["FileHash"], references)
    except (OSError, ValueError, KeyError):
        return None


def closure(cache: Path, bases: Iterable[str]) -> tuple[dict[str, Info], set[str]]:
    """Return all that some paths need, and the bases of which the cache says nothing."""
    found: dict[str, Info] = {}
    missing: set[str] = set()
    todo = list(bases)
    while todo:
        base = todo.pop()
        if base in found or base in missing:
            continue
        one = info(cache, base)
        if one is None:
            missing.add(base)
            continue
        found[base] = one
        todo += one.references
    return found, missing


def damaged(cache: Path, infos: Iterable[Info], *, read: bool = False) -> list[Info]:
    """Name those whose content is missing or cut short, and with `read` also those in which a bit has changed."""
    return [one for one in infos if not _is_whole(cache / one.nar, one, read=read)]


def _is_whole(path: Path, one: Info, *, read: bool) -> bool:
    try:
        if path.stat().st_size != one.size:
            return False
        if not read:
            return True
        with path.open("rb") as file:
            return _same(hashlib.file_digest(file, "sha256").digest(), one.digest)
    except OSError:
        return False


def _same(digest: bytes, spelt: str) -> bool:
    words = {digest.hex(), base64.b64encode(digest).decode(), _base32(digest)}
    return spelt.replace("sha256-", "sha256:").removeprefix("sha256:") in words


def _base32(digest: bytes) -> str:
    """Spell a digest as Nix does: five bits a letter, the last first."""
    number = int.from_bytes(digest, "little")
    length = (len(digest) * 8 + 4) // 5
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def forget(cache: Path, one: Info) -> None:
    """Take a path out of the cache: first what names it, then its content."""
    (cache / f"{one.base[:32]}.narinfo").unlink(missing_ok=True)
    (cache / one.nar).unlink(missing_ok=True)


def taken(cache: Path) -> int:
    """Return what the cache takes, in bytes."""
    return sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())


def prune(cache: Path, keep: Iterable[str], most: int, wanted: int) -> int:
    """Remove paths that nothing kept needs, the oldest first, until `wanted` more bytes fit; return what it takes then.

    What a copy left that was cut, and no path names, goes in any case. Nothing may write there meanwhile.

    Args:
        cache: The binary cache.
        keep: Bases of paths whose closures stay, whatever they take.
        most: Bytes the cache may take.
        wanted: Bytes that are about to come.
    """
    there = sorted(cache.glob("*.narinfo"), key=lambda file: (file.stat().st_mtime, file.name))
    named = {path: info(cache, path.name[:32]) for path in there}
    users = Counter(one.nar for one in named.values() if one)
    _forget_unnamed(cache, users)
    stays = {base[:32] for base in closure(cache, keep)[0]}
    size = taken(cache)
    for path, one in named.items():
        if size + wanted <= most:
            break
        if path.name[:32] in stays:
            continue
        size -= _removed(path)
        if one:
            # Two paths of the same content share a file.
            users[one.nar] -= 1
            size -= 0 if users[one.nar] else _removed(cache / one.nar)
    return size


def _forget_unnamed(cache: Path, named: Container[str]) -> None:
    for file in (cache / "nar").glob("*"):
        if f"nar/{file.name}" not in named:
            file.unlink()


def _removed(path: Path) -> int:
    """Remove a file, and return how many bytes it had."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    path.unlink()
    return size
