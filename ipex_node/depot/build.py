"""Build what the depot does not have, once for all nodes: realised, signed, copied into the cache, named.

What is there already is left alone. Whatever fails, the depot has a closure whole, or does not name it.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node import files, signature
from ipex_node.depot import cache as binary
from ipex_node.depot.settings import GB, name_of
from ipex_node.depot.take import require_room
from ipex_node.failure import failed
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ipex_node.world import Completed, World

DIRECTORY = Path("/var/lib/ipex-depot")
_DECLARED = ".declared"
_NIX = ("--extra-experimental-features", "nix-command flakes")


class Builder:
    """One build for the fleet.

    Args:
        world: The builder.
        request: What the controller wants: `references`, `cache_key`, `closure_key`, `nix_conf`, `cache_gb`,
            `free_gb`, and `needed`, which is node to the store paths that its generations need.
        keys: A directory of this run alone, in memory.
        directory: The depot's.
    """

    def __init__(self, world: World, request: Mapping[str, Any], keys: Path, directory: Path = DIRECTORY) -> None:
        self._world = world
        self._request = request
        self._keys = keys
        self._directory = directory
        self._cache = directory / "cache"

    def run(self) -> dict[str, Any]:
        """Build each reference that is not there."""
        for place in (self._cache, self._directory / "closures", self._directory / "generations"):
            files.make_directory(place)
        for name in ("cache_key", "closure_key", "nix_conf"):
            files.write(self._keys / name, f"{str(self._request[name]).strip()}\n".encode(), 0o600)
        self._note_needs()
        built, there = [], []
        for reference in self._request["references"]:
            if self._has(reference):
                there.append(reference)
                continue
            self._build(reference)
            built.append(reference)
        self._forget_old_names()
        self._note_declared()
        return {"ok": True, "failures": [], "built": built, "there": there, "cache_bytes": binary.taken(self._cache)}

    def _has(self, reference: str) -> bool:
        """Whether the depot names a closure, and has all of it; what is damaged is taken out, to be built anew."""
        path = _named(self._directory, reference)
        if path is None:
            return False
        found, missing = binary.closure(self._cache, [path.removeprefix("/nix/store/")])
        broken = binary.damaged(self._cache, found.values())
        for one in broken:
            progress(f"{one.nar} in the depot is not whole: it is made anew")
            binary.forget(self._cache, one)
        return not missing and not broken and self._signed_by_this_key(found)

    def _signed_by_this_key(self, found: Mapping[str, binary.Info]) -> bool:
        name = str(self._request["cache_key"]).partition(":")[0]
        texts = ((self._cache / f"{base[:32]}.narinfo").read_text() for base in found)
        return all(f"Sig: {name}:" in text for text in texts)

    def _build(self, reference: str) -> None:
        require_room(Path("/nix"), 0, self._request["free_gb"])
        require_room(self._directory, 0, self._request["free_gb"])
        progress(f"build {reference}")
        out = self._keys / "result"
        self._nix("build", "--out-link", str(out), reference)
        path = os.path.realpath(out)
        size = self._size(path)
        self._make_room(size)
        # The store of a key that has changed holds signatures of the old one: sign anew, then copy.
        self._nix("store", "sign", "--key-file", str(self._keys / "cache_key"), "--recursive", path)
        self._nix("copy", "--to", f"file://{self._cache}?compression=zstd", path)
        words = ("store", "sign", "--store", f"file://{self._cache}", "--key-file", str(self._keys / "cache_key"))
        self._nix(*words, "--recursive", path)
        self._name(reference, path, size)
        out.unlink()

    def _size(self, path: str) -> int:
        done = self._nix("path-info", "--closure-size", path, show=False)
        return int(done.stdout.split()[-1])

    def _make_room(self, wanted: int) -> None:
        """Let what nobody needs go; refuse what does not fit beside what somebody does."""
        most = self._request["cache_gb"] * GB
        size = binary.prune(self._cache, self._kept(), most, wanted)
        if size + wanted > most:
            raise failed(
                str(self._cache),
                f"holds {size / GB:.1f} GB that nodes need; a closure of {wanted / GB:.1f} does not fit below "
                f"depot.cache_gb ({self._request['cache_gb']})",
                "raise depot.cache_gb, or let nodes forget old generations (ipex-node unpin, ipex-node cleanup)",
            )
        require_room(self._directory, wanted, self._request["free_gb"])

    def _kept(self) -> set[str]:
        """Name what must stay: what nodes' generations need, and what is declared now."""
        needed = json.loads((self._directory / "needed.json").read_bytes())
        paths = {path for of_node in needed.values() for path in of_node}
        paths |= {path for one in self._request["references"] if (path := _named(self._directory, one))}
        return {path.removeprefix("/nix/store/") for path in paths}

    def _note_needs(self) -> None:
        """Remember what each node needs; of one that was not asked, what it needed before, and what it may have taken.

        Meanwhile it may have taken by itself what was declared last time.
        """
        record = self._directory / "needed.json"
        before = json.loads(record.read_bytes()) if record.exists() else {}
        asked = self._request["needed"]
        last = before.get(_DECLARED, [])
        kept = {
            name: sorted({*paths, *last})
            for name, paths in before.items()
            if name != _DECLARED and name in self._request["nodes"]
        }
        files.write(record, json.dumps({**kept, **asked, _DECLARED: last}, sort_keys=True).encode())

    def _note_declared(self) -> None:
        """Remember what is declared now: nodes may take it by themselves before anybody asks them again."""
        record = self._directory / "needed.json"
        declared = sorted({path for one in self._request["references"] if (path := _named(self._directory, one))})
        needed = {**json.loads(record.read_bytes()), _DECLARED: declared}
        files.write(record, json.dumps(needed, sort_keys=True).encode())

    def _name(self, reference: str, path: str, size: int) -> None:
        """Write which store path a reference is, and sign that; the signature comes first, for who asks meanwhile."""
        target = self._directory / "closures" / f"{name_of(reference)}.json"
        text = json.dumps({"reference": reference, "path": path, "bytes": size}, sort_keys=True).encode()
        files.write(self._keys / "closure", text, 0o600)
        key = str(self._keys / "closure_key")
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", signature.CLOSURES, str(self._keys / "closure")]
        done = self._world.run(command)
        if done.returncode != 0:
            raise failed("ssh-keygen", f"could not sign: {done.complaint}", "install openssh-client")
        files.write(target.with_name(f"{target.name}.sig"), (self._keys / "closure.sig").read_bytes())
        (self._keys / "closure.sig").unlink()
        files.write(target, text)

    def _forget_old_names(self) -> None:
        """Take out names of closures that the cache no longer has whole."""
        for name in (self._directory / "closures").glob("*.json"):
            base = json.loads(name.read_bytes())["path"].removeprefix("/nix/store/")
            if binary.closure(self._cache, [base])[1]:
                name.unlink()
                name.with_name(f"{name.name}.sig").unlink(missing_ok=True)

    def _nix(self, *words: str, show: bool = True) -> Completed:
        environment = ["env", f"NIX_USER_CONF_FILES={self._keys / 'nix_conf'}"]
        done = self._world.run([*environment, "nix", *_NIX, *words], show=show)
        if done.returncode != 0:
            raise failed(
                f"nix {words[0]}",
                f"the builder could not:\n{done.complaint}",
                "mend what Nix says and deploy again: no node was changed, and what is built already stays",
            )
        return done


def _named(directory: Path, reference: str) -> str | None:
    """Return the store path that the depot names for a reference."""
    try:
        told = json.loads((directory / "closures" / f"{name_of(reference)}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return str(told["path"]) if told.get("reference") == reference else None


def build(world: World, request: Path, directory: Path = DIRECTORY) -> dict[str, Any]:
    """Build what a request wants; see `Builder`.

    Raises:
        FailedError: Something could not be built, signed or kept; what was done before that stays.
    """
    with _alone(directory), tempfile.TemporaryDirectory(prefix="ipex-build-", dir="/run") as keys:
        try:
            return Builder(world, json.loads(request.read_bytes()), Path(keys), directory).run()
        except OSError as error:
            place = str(error.filename or directory)
            raise failed(place, str(error.strerror), "free some space, then deploy again") from error


def check(world: World, directory: Path = DIRECTORY) -> dict[str, Any]:
    """Read everything in the cache, and take out what is damaged: the next deploy makes it anew."""
    del world
    cache = directory / "cache"
    with _alone(directory):
        infos = [one for path in cache.glob("*.narinfo") if (one := binary.info(cache, path.name[:32]))]
        broken = binary.damaged(cache, infos, read=True)
        for one in broken:
            binary.forget(cache, one)
    return {"ok": True, "failures": [], "read": len(infos), "removed": [one.nar for one in broken]}


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One build at a time; others wait, for no longer than a deploy does."""
    files.make_directory(directory)
    with (directory / ".lock").open("w") as lock:
        deadline = time.monotonic() + 3600
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise failed(str(directory), "another build is under way for an hour", "see what it does") from None
                time.sleep(1)
        yield
