"""Packs the lab's flake as a tarball for its nodes, and computes the pin that Nix demands of it.

`python -m lab.pin` prints what group_data/lab.py has to say under `flake`.
"""

import argparse
import base64
import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

FLAKE = Path(__file__).parent / "flake"
SERVER = "http://198.18.0.1:3142"


@dataclass(frozen=True)
class Pin:
    """A packed flake.

    Attributes:
        path: where it stands below the web root.
        nar_hash: the hash of its unpacked tree, as Nix's narHash attribute has it.
    """

    path: str
    nar_hash: str

    def reference(self, server: str = SERVER) -> str:
        """Return the flake reference that Nix accepts, without an output's name.

        A base64 hash may hold a plus, which Nix (2.26) reads as it stands; the slash and the equals sign
        are encoded all the same, as any query's value.
        """
        return f"{server}/{self.path}?narHash={quote(self.nar_hash, safe='')}"


def publish(www: Path, version: str | None = None, ballast: bytes = b"") -> Pin:
    """Write `www`/flake/ipex-flake-<version>-<digest>.tar.gz, byte for byte the same for the same flake.

    Args:
        www: the root of what the lab's mirror serves.
        version: the revision the packed flake shall claim to be; None is the one it has.
        ballast: what its closures shall hold besides, so that they are as large as a test needs.

    Returns:
        The pin of what was written.
    """
    with _flake(version) as tree:
        if ballast:
            (tree / "ballast").write_bytes(ballast)
        pin = _pin(tree)
        target = www / pin.path
        target.parent.mkdir(parents=True, exist_ok=True)
        # A node may be downloading it: it must never see half a file.
        partial = target.with_suffix(f".{os.getpid()}")
        partial.write_bytes(_packed(tree))
        partial.chmod(0o644)
        partial.replace(target)
    return pin


def pin(version: str | None = None) -> Pin:
    """Return the pin that `publish` would return, and write nothing."""
    with _flake(version) as tree:
        return _pin(tree)


def _pin(tree: Path) -> Pin:
    """Name the tarball by its content: Nix takes one URL's tarball from its own cache for an hour (tarball-ttl)."""
    found = nar_hash(tree)
    digest = base64.b64decode(found.removeprefix("sha256-")).hex()
    return Pin(f"flake/{tree.name}-{digest[:8]}.tar.gz", found)


def nar_hash(directory: Path) -> str:
    """Return the NAR hash of a file tree as `sha256-<base64>`.

    The archive's format stands in Eelco Dolstra's thesis "The Purely Functional Software Deployment Model"
    (2006), figure 5.2, and in the Nix manual under "Nix Archive (NAR) format".
    """
    digest = hashlib.sha256()
    for piece in (_string("nix-archive-1"), *_node(directory)):
        digest.update(piece)
    return f"sha256-{base64.b64encode(digest.digest()).decode()}"


def _node(path: Path) -> Iterator[bytes]:
    yield _string("(") + _string("type")
    if path.is_symlink():
        yield _string("symlink") + _string("target") + _string(str(path.readlink()))
    elif path.is_dir():
        yield _string("directory")
        for child in sorted(path.iterdir(), key=lambda entry: os.fsencode(entry.name)):
            yield _string("entry") + _string("(") + _string("name") + _string(child.name) + _string("node")
            yield from _node(child)
            yield _string(")")
    else:
        executable = _string("executable") + _string("") if path.stat().st_mode & 0o100 else b""
        yield _string("regular") + executable + _string("contents") + _string(path.read_bytes())
    yield _string(")")


def _string(value: str | bytes) -> bytes:
    """Return a string as a NAR holds it: its length in 8 bytes, little end first, then padding to 8."""
    content = os.fsencode(value)
    return len(content).to_bytes(8, "little") + content + b"\0" * (-len(content) % 8)


@contextmanager
def _flake(version: str | None) -> Iterator[Path]:
    """Yield a copy of the flake without compiled files, that names the version asked for."""
    chosen = version or (FLAKE / "version").read_text().strip()
    with tempfile.TemporaryDirectory(prefix="ipex-flake-") as scratch:
        tree = Path(scratch) / f"ipex-flake-{chosen}"
        shutil.copytree(FLAKE, tree, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        (tree / "version").write_text(f"{chosen}\n")
        yield tree


def _packed(tree: Path) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in [tree, *sorted(tree.rglob("*"))]:
            archive.add(path, str(path.relative_to(tree.parent)), recursive=False, filter=_anonymous)
    return packed.getvalue()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Strip what differs between two machines: owner, time, umask."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def main() -> None:
    """Print the pin, and pack the flake where asked to."""
    parser = argparse.ArgumentParser(prog="python -m lab.pin", description=__doc__)
    parser.add_argument("--version", help="the revision to pack; default: the one in lab/flake/version")
    parser.add_argument("--publish", type=Path, metavar="WWW", help="also write the tarball below this web root")
    chosen = parser.parse_args()
    found = publish(chosen.publish, chosen.version) if chosen.publish else pin(chosen.version)
    print("flake = {")
    print(f'    "url": "{SERVER}/{found.path}",')
    print(f'    "nar_hash": "{found.nar_hash}",')
    print("}")


if __name__ == "__main__":
    main()
