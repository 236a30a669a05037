"""A service's data over a change of its closure: kept, given back where the change fails, and safe to handle."""

import json
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipex_node import activation, deadman, files, foreign, situation, snapshot
from ipex_node.changes import Changes
from ipex_node.failure import FailedError, failed
from ipex_node.manifest import Probe
from ipex_node.situation import Situation
from ipex_node.world import Completed
from tests.ipex_node import fake_node
from tests.ipex_node.fake_node import DATA, OLLAMA, SERVICE, SETTINGS, FakeNode, dump

Bundle = Callable[..., Path]

_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for command in sys.argv[2:]:
    connection.execute(command)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def writing(database: Path, *commands: str) -> Iterator[None]:
    """Have another process do something to a database, and keep it open."""
    words = [sys.executable, "-c", _WRITER, str(database), *commands]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield
        process.communicate()


@pytest.fixture
def new(node: FakeNode, served: str, make: Bundle) -> str:
    """A generation with another closure, staged on a node that serves."""
    assert served
    return node.stage(make(fake_node.files("2"), "2"))


@pytest.fixture
def found(node: FakeNode, new: str) -> Situation:
    """What the change to it starts from."""
    return situation.find(node.world, new)


@pytest.fixture
def data(node: FakeNode, new: str) -> Path:
    """The state directory of the service whose closure changes."""
    assert new
    return node.on(DATA)


@pytest.fixture
def kept(node: FakeNode) -> Path:
    """Where its data are kept."""
    return node.world.paths.transaction / "data/ollama"


def seen(place: Path) -> dict[str, tuple[object, ...]]:
    """Take a tree as it is."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(place))] = (
            content,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
        )
    return found


def test_failed_version_leaves_the_data_as_they_were(node: FakeNode, new: str, data: Path, kept: Path) -> None:
    """The new version migrates its database, changes files and makes others; then its probe fails."""
    before = node.snapshot()

    def check(probe: Probe, _deadline: float) -> None:
        if (data / "new").exists():
            (data / "user/workflow").write_text("changed while it ran")
            raise failed(probe.unit, "does not generate")

    status, answer = activation.activate(node.world, new, check)

    assert (status, answer["rolled_back"]) == (1, True)
    assert node.snapshot() == before
    assert not kept.parent.exists()


def test_unit_is_stopped_before_its_data_are_given_back_and_started_after(node: FakeNode, new: str, data: Path) -> None:
    """No engine sees its files exchanged, and the old one starts on the old data."""
    told = []
    original = FakeNode.run

    def run(self: FakeNode, command: Sequence[str], *, show: bool = False) -> Completed:
        if command[0] == "systemctl" and command[-1] == OLLAMA and command[1] in {"stop", "restart"}:
            told.append((command[1], (data / "new").exists()))
        return original(self, command, show=show)

    node.sick = {OLLAMA}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeNode, "run", run)
        node.activate(new)
    assert told == [("restart", False), ("stop", True), ("restart", False)]


def test_committed_change_keeps_no_copy(node: FakeNode, new: str, data: Path, kept: Path) -> None:
    """The new version's data stay, and what was kept is removed."""
    assert node.activate(new)[0] == 0
    assert (data / "new").read_text() == "since 2"
    assert not kept.parent.exists()


def test_data_are_untouched_when_no_unit_was_started(node: FakeNode, new: str, data: Path) -> None:
    """Until units start nobody has written: what the old version writes meanwhile stays, and it runs on."""

    def broken(_: Changes) -> str:
        (data / "user/workflow").write_text("saved by the old version")
        raise OSError("disk on fire")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Changes, "switch", broken)
        assert node.activate(new)[0] == 1
    assert (data / "user/workflow").read_text() == "saved by the old version"
    assert node.did("stop") - {deadman.TIMER} == node.did("restart") == set()


def test_change_without_a_closure_keeps_nothing(node: FakeNode, served: str, make: Bundle, kept: Path) -> None:
    """Another unit file with the same program migrates nothing."""
    assert served

    def check(*_: object) -> None:
        assert not kept.parent.exists()

    assert activation.activate(node.world, node.stage(make(fake_node.files("2"))), check)[0] == 0


def test_staged_settings_say_what_is_kept(node: FakeNode, make: Bundle) -> None:
    """A generation that declares data for the first time is already kept from harming them."""
    service = {key: value for key, value in SERVICE.items() if key not in {"profile", "snapshot"}}
    before = json.dumps(SETTINGS | {"services": [service]})
    assert node.activate(node.stage(make(fake_node.files() | {"/etc/ipex/node.json": before})))[0] == 0
    found = situation.find(node.world, node.stage(make(fake_node.files("2"), "2")))
    assert snapshot.take(node.world, found) == "ollama"


def test_bytes_modes_owners_and_times_are_given_back(
    node: FakeNode, found: Situation, data: Path, kept: Path, tmp_path: Path
) -> None:
    """Files, trees and links are as they were; what was not there goes, and what is not declared stays."""
    (data / "data.db").write_bytes(bytes(range(256)))
    (data / "data.db").chmod(0o640)
    (data / "user/deep").mkdir(mode=0o2750)
    (data / "user/deep/link").symlink_to("../workflow")
    (data / "user/workflow").chmod(0o4755)
    if os.getuid() == 0:
        os.chown(data / "user/deep", 7, 8)
        os.chown(data / "user/deep/link", 7, 8, follow_symlinks=False)
    os.utime(data / "user/deep", ns=(10**18, 10**18 + 1))
    before = seen(data)

    snapshot.take(node.world, found)
    assert seen(kept) == before
    (data / "data.db").unlink()
    (data / "data.db").mkdir()
    (data / "data.db-wal").write_text("of another database")
    shutil.rmtree(data / "user")
    (data / "user").symlink_to(tmp_path / "elsewhere")
    (data / "new").mkdir()
    (data / "new/file").touch()
    (data / "models").write_text("downloaded meanwhile")
    for _ in range(2):
        snapshot.give_back(node.world)

        assert seen(data) == before | {"models": seen(data)["models"]}
    snapshot.discard(node.world.paths)
    snapshot.give_back(node.world)
    assert not kept.parent.exists()


def test_kept_data_are_roots_alone(node: FakeNode, found: Situation, kept: Path) -> None:
    """Nobody else can look into the copy."""
    snapshot.take(node.world, found)
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_database_at_work_is_copied_as_of_one_moment(
    node: FakeNode, found: Situation, data: Path, kept: Path, journal: str
) -> None:
    """What is committed is in the copy, what is not is not, and nothing lies beside it."""
    database = data / "user/own.sqlite"
    commands = (f"PRAGMA journal_mode={journal}", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)", "BEGIN")
    with writing(database, *commands, "INSERT INTO t VALUES (2)"):
        assert (data / f"user/own.sqlite-{'wal' if journal == 'WAL' else 'journal'}").exists()
        snapshot.take(node.world, found)
        assert (kept / "user/own.sqlite").stat().st_mtime_ns == database.stat().st_mtime_ns
    assert {path.name for path in (kept / "user").iterdir()} == {"own.sqlite", "workflow", "only-1"}
    assert "".join(dump(kept / "user/own.sqlite")).count("INSERT") == 1


def test_what_lies_beside_a_newer_database_is_not_played_into_the_old_one(
    node: FakeNode, found: Situation, data: Path
) -> None:
    """A killed engine leaves its write-ahead log; the database that is given back comes without it."""
    snapshot.take(node.world, found)
    with writing(data / "data.db", "PRAGMA journal_mode=WAL", "INSERT INTO format VALUES ('2')"):
        for name in ("data.db-wal", "data.db-shm"):
            shutil.copy(data / name, data / f"{name}.torn")
    for name in ("data.db-wal", "data.db-shm"):
        (data / f"{name}.torn").rename(data / name)
    snapshot.give_back(node.world)
    assert not list(data.glob("data.db-*"))
    assert "'2'" not in "".join(dump(data / "data.db"))


def test_database_of_a_dead_unit_is_kept_as_it_lies(
    node: FakeNode, found: Situation, data: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes: a database that only its own engine can mend is no reason to refuse the engine's new version.

    What lies beside it is kept once, also where somebody has declared it too.
    """
    (data / "data.db").write_bytes(b"SQLite format 3\0 and then nothing that makes sense")
    (data / "data.db-journal").write_bytes(b"to be rolled back")
    node.units[OLLAMA].active = "failed"
    service = replace(found.settings.services[0], snapshot=("data.db", "data.db-journal", "data.db"))
    monkeypatch.setattr(snapshot, "_concerned", lambda *_: [service])
    snapshot.take(node.world, found)
    assert (kept / "data.db").read_bytes() == (data / "data.db").read_bytes()
    assert (kept / "data.db-journal").read_bytes() == b"to be rolled back"


def test_database_is_held_until_its_copy_is_whole(
    node: FakeNode, found: Situation, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody locks it between the look at its size and the copy, which would wait for him without end."""
    original, looks = foreign.Copy._spend, []

    def spend(copy: foreign.Copy, name: str, amount: int) -> None:
        if name == str(data / "data.db"):
            with closing(sqlite3.connect(name, 0, isolation_level=None)) as other:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN EXCLUSIVE")
                looks.append(name)
        original(copy, name, amount)

    monkeypatch.setattr(foreign.Copy, "_spend", spend)
    snapshot.take(node.world, found)
    assert len(looks) == 1


def test_locked_database_is_waited_for_and_then_a_failure(
    node: FakeNode, new: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is taken back with nothing touched, and the generation is not to blame."""
    monkeypatch.setattr(foreign, "LOCK_SECONDS", 0.05)
    before = node.snapshot()
    with writing(data / "data.db", "BEGIN EXCLUSIVE"):
        status, answer = node.activate(new)
    assert status == 1
    assert answer["failures"][0]["what"] == str(data / "data.db")
    assert "database is locked" in answer["failures"][0]["why"]
    assert node.snapshot() == before
    assert node.status()["quarantined"] == {}


def test_python_without_sqlite_is_a_failure_only_where_there_is_a_database(
    node: FakeNode, found: Situation, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing, and what to install."""
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    with pytest.raises(FailedError, match=r"this Python has no sqlite3.*install python3"):
        snapshot.take(node.world, found)
    (data / "data.db").unlink()
    shutil.rmtree(node.world.paths.transaction / "data")
    assert snapshot.take(node.world, found) == "ollama"


def test_links_are_kept_as_links(node: FakeNode, found: Situation, data: Path, kept: Path) -> None:
    """What they lead to is neither read nor, on the way back, written or removed."""
    secret = node.root / "secret"
    secret.mkdir()
    (secret / "file").write_text("of somebody else")
    (data / "data.db").unlink()
    (data / "data.db").symlink_to("/etc/shadow")
    (data / "user/file").symlink_to(secret / "file")
    (data / "user/tree").symlink_to(secret)
    snapshot.take(node.world, found)
    (data / "user/tree").unlink()
    (data / "user/workflow").unlink()
    (data / "user/workflow").symlink_to(secret / "file")
    (data / "new").symlink_to(secret)
    (data / snapshot._FRESH).symlink_to(secret)
    snapshot.give_back(node.world)
    for place in (kept, data):
        assert (place / "data.db").readlink() == Path("/etc/shadow")
        assert (place / "user/file").readlink() == secret / "file"
        assert (place / "user/tree").readlink() == secret
    assert seen(secret).keys() == {"file"}
    assert (secret / "file").read_text() == "of somebody else"


def test_pipes_sockets_and_devices_are_left_out(node: FakeNode, found: Situation, data: Path, kept: Path) -> None:
    """They hold no data, and nobody waits for one."""
    os.mkfifo(data / "user/pipe")
    os.mkfifo(data / "new")
    with closing(socket.socket(socket.AF_UNIX)) as listener, foreign.directory(data) as place:
        listener.bind(f"/proc/self/fd/{place}/user/socket")
        snapshot.take(node.world, found)
    assert {path.name for path in kept.iterdir()} == {"data.db", "user"}
    assert {path.name for path in (kept / "user").iterdir()} == {"workflow", "only-1"}


@pytest.mark.parametrize("name", ["tree", "file", "pipe"])
def test_name_exchanged_between_two_looks_leads_nowhere_else(
    node: FakeNode, found: Situation, data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What was a directory or a file is a link or a pipe when it is opened: refused, and nothing is read of it."""
    secret = node.root / "secret"
    secret.mkdir()
    (secret / "file").write_text("of somebody else")
    (data / "user/tree").mkdir()
    (data / "user/file").touch()
    (data / "user/pipe").touch()
    original = foreign._status

    def exchange(place: int, asked: str) -> os.stat_result | None:
        status = original(place, asked)
        if asked == name and not (data / "user/gone").exists():
            (data / "user" / name).rename(data / "user/gone")
            if name == "pipe":
                os.mkfifo(data / "user/pipe")
            else:
                (data / "user" / name).symlink_to(secret if name == "tree" else secret / "file")
        return status

    monkeypatch.setattr(foreign, "size", lambda *_: 0)
    monkeypatch.setattr(foreign, "_is_database", lambda *_: False)
    monkeypatch.setattr(foreign, "_status", exchange)
    with pytest.raises(FailedError, match="cannot be kept"):
        snapshot.take(node.world, found)
    kept = node.world.paths.transaction / "data"
    assert b"of somebody else" not in [content for content, *_ in seen(kept).values()]


def test_exchanged_database_is_not_read(
    node: FakeNode, found: Situation, data: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite follows links: while it opens a database, its name leads to another one, and right after it does not."""
    with closing(sqlite3.connect(node.root / "secret")) as connection, connection:
        connection.execute("CREATE TABLE of_somebody_else (x)")
    original = sqlite3.connect

    def exchange(address: str, *args: Any, **options: Any) -> Any:
        if "mode=ro" not in address:
            return original(address, *args, **options)
        (data / "data.db").rename(data / "gone")
        (data / "data.db").symlink_to(node.root / "secret")
        try:
            return original(address, *args, **options)
        finally:
            (data / "gone").rename(data / "data.db")

    monkeypatch.setattr(sqlite3, "connect", exchange)
    with pytest.raises(FailedError, match="was exchanged while it was opened"):
        snapshot.take(node.world, found)
    assert (kept / "data.db").read_bytes() == b""


def test_without_room_nothing_is_copied(node: FakeNode, new: str, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk would be too full for the copy, the way back and the reserve: said with all sizes, and taken back."""
    monkeypatch.setattr(snapshot, "RESERVE_BYTES", 2**70)
    before = node.snapshot()
    status, answer = node.activate(new)
    assert status == 1
    assert "MiB are free; the data of ollama, 0." in answer["failures"][0]["why"]
    assert answer["failures"][0]["cure"].startswith("free ")
    assert node.snapshot() == before
    assert not kept.exists()


def test_growing_data_are_not_copied_without_end(
    node: FakeNode, found: Situation, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written between the look and the copy does not fill the disk."""
    (data / "user/sparse").touch()
    os.truncate(data / "user/sparse", 2**40)
    monkeypatch.setattr(foreign, "_CHUNK", 4096)
    monkeypatch.setattr(snapshot, "_require_room", lambda *_: 10**6)
    with pytest.raises(FailedError, match="grows while it is copied"):
        snapshot.take(node.world, found)


def test_tree_without_a_floor_is_refused(node: FakeNode, found: Situation, data: Path) -> None:
    """Deeper than any service needs, and deeper than what can be held open."""
    place = data / "user"
    for _ in range(foreign.DEPTH + 1):
        place /= "d"
        place.mkdir()
    with pytest.raises(FailedError, match="lies 64 directories deep"):
        snapshot.take(node.world, found)


def test_data_outside_of_private_are_found(node: FakeNode, found: Situation, data: Path, kept: Path) -> None:
    """A unit with a user that exists keeps them in /var/lib itself."""
    data.rename(node.on("/var/lib/ollama"))
    snapshot.take(node.world, found)
    assert (kept / "user/workflow").read_text() == "workflow of 1"
    (node.on("/var/lib/ollama") / "user/workflow").write_text("changed")
    snapshot.give_back(node.world)
    assert (node.on("/var/lib/ollama") / "user/workflow").read_text() == "workflow of 1"


def test_service_without_data_is_no_problem(node: FakeNode, found: Situation, data: Path, kept: Path) -> None:
    """Its first start: there is no state directory; what it makes goes when it fails."""
    shutil.rmtree(data)
    snapshot.take(node.world, found)
    snapshot.give_back(node.world)
    assert list(kept.iterdir()) == []
    (data / "user/deep").mkdir(parents=True)
    snapshot.give_back(node.world)
    assert seen(data) == {}


def test_incomplete_copy_is_never_given_back(
    node: FakeNode, found: Situation, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before its end: the data stay what they are."""
    with monkeypatch.context() as patch:
        patch.setattr(files, "write", lambda *_: None)
        snapshot.take(node.world, found)
    (data / "user/workflow").write_text("changed")
    snapshot.give_back(node.world)
    assert (data / "user/workflow").read_text() == "changed"


def test_half_removed_copy_is_never_given_back(
    node: FakeNode, found: Situation, data: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off while the copy was removed: what it no longer holds is not taken for what was not there."""
    snapshot.take(node.world, found)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: (kept / "data.db").unlink())
        snapshot.discard(node.world.paths)
    snapshot.give_back(node.world)
    assert (data / "data.db").exists()


def test_data_that_cannot_be_given_back_are_said_to_be_kept(node: FakeNode, new: str, data: Path, kept: Path) -> None:
    """A unit that does not stop keeps its files; where the copy lies is said, and there it stays."""
    node.sick = {OLLAMA}
    node.breaks = [f"systemctl stop -- {OLLAMA}"]
    status, answer = node.activate(new)
    assert status == 2
    said = next(one for one in answer["failures"] if one["what"] == "the data of ollama")
    assert "could not be given back" in said["why"]
    assert str(kept) in said["cure"]
    assert (kept / "user/workflow").read_text() == "workflow of 1"
    assert (data / "new").exists()
