"""Take a generation from the depot: decrypted, unpacked, staged by the program that comes with it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node import files, firewall, quarantine, store
from ipex_node.failure import failed
from ipex_node.fitness.doctor import doctor
from ipex_node.update import memory, offer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.update.publication import Member, Publication
    from ipex_node.world import World

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
"""Bundles hold secrets: each is encrypted for its node's own host key."""
_PROGRAM = "root/usr/local/bin/ipex-node"


def obstacles(world: World, publication: Publication, member: Member) -> Iterator[str]:
    """Say what keeps a node from taking a generation, before anything of it is fetched."""
    if memory.changed_by_others(world.paths, publication.created):
        yield "somebody has changed this node since it was published; what they did stays until something is published"
    record = quarantine.load(world.paths).get(member.generation)
    if record:
        yield f"generation {member.generation} is quarantined here since {record['at']}: {record['why']}"
    if missing := _missing(world, member.packages):
        yield f"Debian packages are missing: {', '.join(missing)}. A deploy installs them"
    yield from (f"{one['what']}: {one['why']}" for one in doctor(world, table=False)["failures"])


def stage(world: World, node: str, member: Member) -> None:
    """Fetch and stage; no service is touched.

    Raises:
        FailedError: The depot is silent, the bundle is not for this node or not what was published, its firewall has
            rules that nobody has tried, or it cannot be staged.
    """
    with _unpacked(world, offer.bundle(world, member)) as directory:
        manifest = _manifest(directory)
        if manifest.get("node") != node:
            raise failed(member.file, f"is the bundle of {manifest.get('node')}", "publish again")
        status, answer = by(directory / _PROGRAM, "stage", str(directory))
    if status != 0 or answer.get("generation") != member.generation:
        said = "; ".join(f"{one['what']}: {one['why']}" for one in answer.get("failures", ()))
        why = said or f"its manifest is {answer.get('generation')}'s"
        raise failed(f"generation {member.generation}", f"cannot be staged: {why}")
    new = store.manifest(world.paths, member.generation)
    firewall.require(world, new, store.manifest(world.paths, store.linked(world.paths.current)))


def activate(world: World, generation: str) -> tuple[int, dict[str, Any]]:
    """Let the generation's own program make it current, or leave the node as it was."""
    return by(store.directory(world.paths, generation) / _PROGRAM, "activate", generation)


def by(program: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Run a generation's own program; its complaints go where this program's go.

    Raises:
        FailedError: It answers no JSON: it was killed, or cannot run here.
    """
    command: list[str | Path] = [program, *words]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise failed(f"{program} {words[0]}", f"cannot be run: {error.strerror}", "deploy again") from error
    last = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("{")), "")
    try:
        answer: dict[str, Any] = json.loads(last)
    except ValueError as error:
        why = f"ended with status {done.returncode} and without an answer"
        raise failed(f"{program} {words[0]}", why, "journalctl -u ipex-update") from error
    return done.returncode, answer


def _missing(world: World, packages: tuple[str, ...]) -> list[str]:
    done = world.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *packages])
    there = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed ")}
    return sorted(set(packages) - there)


@contextmanager
def _unpacked(world: World, encrypted: bytes) -> Iterator[Path]:
    """Decrypt and unpack where only root looks; gone afterwards, however it ends."""
    files.make_directory(world.paths.state)
    with tempfile.TemporaryDirectory(prefix="incoming.", dir=world.paths.state) as made:
        directory = Path(made)
        sealed = directory / "bundle.age"
        sealed.write_bytes(encrypted)
        opened = directory / "bundle.tar.gz"
        done = world.run(["age", "--decrypt", "-i", str(world.paths.on_node(HOST_KEY)), "-o", str(opened), str(sealed)])
        if done.returncode != 0:
            cure = "publish again: the host key may have changed since"
            raise failed("the bundle", f"cannot be decrypted with {HOST_KEY}: {done.complaint}", cure)
        content = opened.read_bytes()
        for path in (sealed, opened):
            path.unlink()
        target = directory / "generation"
        target.mkdir(mode=0o700)
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
                archive.extractall(target, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            full = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            raise failed("the bundle", f"cannot be unpacked: {full}") from error
        yield target


def _manifest(directory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((directory / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise failed("the bundle", f"has no manifest that can be read: {error}", "publish again") from error
    return found
