"""Run on a node: backups and restores with real restic on a disk that is full at this step or that; prints JSON lines.

Only the engine is left out: nothing runs on the small disk that could be stopped, started and asked.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from unittest import mock

sys.path.insert(0, "/usr/local/bin/ipex-node")
from ipex_node.backups import capture, models, restore, run
from ipex_node.failure import FailedError
from ipex_node.paths import Paths
from ipex_node.world import Completed, World

ROOT = Path("/run/ipex-small")
DISK = ROOT / "var"
ELSEWHERE = ROOT / "elsewhere"
COMFYUI = DISK / "lib/private/comfyui"
OLLAMA = DISK / "lib/private/ollama/models"
PLACE = DISK / "lib/ipex-backup"
KIB = 1024
_PASSWORD = ROOT / "password"


def make() -> World:
    """Make the disks, the data and the settings."""
    for path, size in ((DISK, "24m"), (ELSEWHERE, "24m")):
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    (ROOT / "etc/ipex").mkdir(parents=True)
    _PASSWORD.write_text("small")
    settings = json.loads(Path("/etc/ipex/node.json").read_bytes())
    settings["gateways"] = []
    settings["backup"] |= {"free_share": 0.0}
    place = {"url": str(ELSEWHERE), "options": [], "environment": {}, "password_file": str(_PASSWORD)}
    settings["backup"]["repository"] = place
    (ROOT / "etc/ipex/node.json").write_text(json.dumps(settings))
    for folder in (COMFYUI / "user/default", COMFYUI / "input", OLLAMA / "blobs", PLACE):
        folder.mkdir(parents=True)
    manifest = OLLAMA / "manifests/registry.ollama.ai/library/mine/latest"
    manifest.parent.mkdir(parents=True)
    layer = os.urandom(200 * KIB)
    digest = hashlib.sha256(layer).hexdigest()
    (OLLAMA / f"blobs/sha256-{digest}").write_bytes(layer)
    manifest.write_text(json.dumps({"layers": [{"digest": f"sha256:{digest}", "size": len(layer)}]}))
    write("first")
    return World(Paths(ROOT), _nothing_runs)


def _nothing_runs(command: Sequence[str], *, show: bool = False) -> Completed:  # noqa: ARG001 - as the real one is asked
    return Completed(0, "", "")


def write(word: str) -> None:
    """What users make: files, and a database of 200 KiB."""
    (COMFYUI / "user/default/workflow.json").write_text(word * 5000)
    (COMFYUI / "input/face.png").write_bytes(hashlib.shake_256(word.encode()).digest(100 * KIB))
    (COMFYUI / "comfyui.db").unlink(missing_ok=True)
    with closing(sqlite3.connect(COMFYUI / "comfyui.db")) as database, database:
        database.execute("CREATE TABLE jobs (content)")
        database.execute("INSERT INTO jobs VALUES (?)", [word * 40 * KIB])


def state(place: Path) -> dict[str, str]:
    """Every file below a place, by digest; a database by what it holds: a copy of one has other bytes."""
    return {
        str(path.relative_to(place)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def _content(path: Path) -> bytes:
    if path.suffix != ".db":
        return path.read_bytes()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return "\n".join(database.iterdump()).encode()


def fill(disk: Path, room: int) -> None:
    """Leave so many bytes free."""
    there = os.statvfs(disk)
    with (disk / "fill").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(there.f_bavail * there.f_frsize - room, 1))


def tried(work: object) -> tuple[bool, str]:
    """Do something, and say whether it succeeded and why not."""
    try:
        answer = work()  # type: ignore[operator]
    except FailedError as error:
        return False, str(error)
    except OSError as error:
        return False, f"UNTOLD {error!r}"
    answer = answer[1] if isinstance(answer, tuple) else answer
    return answer["ok"], json.dumps(answer["failures"])


def say(what: str, room: int, **more: object) -> None:
    """Print one line."""
    print(json.dumps({"what": what, "room": room, **more}), flush=True)


def backups(world: World, disk: Path, rooms: range) -> None:
    """A backup at every room, on a disk that is full elsewhere; then one when there is room again."""
    for room in rooms:
        before, kept = state(DISK / "lib/private"), state(PLACE / "models")
        fill(disk, room * KIB)
        ok, why = tried(lambda: run.backup(world))
        (disk / "fill").unlink()
        after = state(PLACE / "models")
        say(
            f"backup, {disk.name} full",
            room,
            ok=ok,
            why=why,
            same=before == state(DISK / "lib/private"),
            kept=kept.items() <= after.items() or all(_whole()),
            left=[str(one) for one in (capture.tree(PLACE), *PLACE.glob("models/*/.unfinished")) if one.exists()],
            again=tried(lambda: run.backup(world)),
        )


def _whole() -> list[bool]:
    """Whether each snapshot that is there has all its blobs, byte for byte."""
    found = models.snapshots(PLACE, "ollama")
    return [
        hashlib.sha256((one.path / "blobs" / blob).read_bytes()).hexdigest() == blob[7:]
        for one in found
        for blob in one.blobs
    ] or [False]


def restores(world: World, rooms: range) -> None:
    """A restore at every room: what was there, or what was kept, and nothing between."""
    write("kept")
    kept = state(COMFYUI)
    assert tried(lambda: run.backup(world))[0]
    for room in rooms:
        write(f"newer {room}")
        (COMFYUI / "output.txt").write_text("nobody keeps it")
        newer = state(COMFYUI)
        fill(DISK, room * KIB)
        ok, why = tried(lambda: restore.restore(world, "comfyui", sure=True))
        (DISK / "fill").unlink()
        now = state(COMFYUI)
        say(
            "restore",
            room,
            ok=ok,
            why=why,
            same=now == (kept | {"output.txt": newer["output.txt"]} if ok else newer),
            kept=True,
            left=[
                str(one) for one in (*COMFYUI.parent.glob(".ipex-restore-*"), PLACE / "restore.json") if one.exists()
            ],
            again=tried(lambda: restore.restore(world, "comfyui", sure=True)),
        )


def main() -> None:
    """All of it, first with the program's own reserve, then without: as if the disk was filled a moment later."""
    world = make()
    quiet = mock.patch.multiple(restore._Restoration, _leave=mock.Mock(), _start=mock.Mock())
    try:
        ok, why = tried(lambda: run.backup(world))
        say("reserve", 0, ok=ok, why=why, same=True, kept=True, left=[], again=(True, ""))
        with quiet, mock.patch.object(capture, "require_room"):
            first = tried(lambda: run.backup(world))
            assert first[0], first
            backups(world, DISK, range(0, 320, 16))
            backups(world, ELSEWHERE, range(0, 48, 8))
            restores(world, range(0, 640, 32))
            fill(DISK, 64 * KIB)
        ok, why = tried(lambda: restore.restore(world, "comfyui", sure=True))
        say("restore's reserve", 64, ok=ok, why=why, same=True, kept=True, left=[], again=(True, ""))
    finally:
        for path in (DISK, ELSEWHERE):
            subprocess.run(["umount", str(path)], check=False)
        shutil.rmtree(ROOT, ignore_errors=True)


if __name__ == "__main__":
    main()
