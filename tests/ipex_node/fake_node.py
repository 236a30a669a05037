"""A node in a directory: its files are real, its systemd, Nix and validators are small fakes."""

import grp
import hashlib
import json
import os
import pwd
import sqlite3
import stat
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipex_node import activation, staging, status
from ipex_node.failure import failed
from ipex_node.manifest import Probe, digest
from ipex_node.paths import Paths
from ipex_node.world import Completed, World

OWNER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name
PROFILE = "/nix/var/nix/profiles/ipex/ollama-ipex"
OLLAMA = "ollama-ipex.service"
AGENT = "ipex-agent.service"
DATA = "/var/lib/private/ollama"
_UNITS = "/etc/systemd/system"

SERVICE = {
    "name": "ollama",
    "port": 11434,
    "health_path": "/api/tags",
    "engine": "ollama",
    "unit": OLLAMA,
    "profile": PROFILE,
    "snapshot": ["data.db", "user", "new"],
    "drain_seconds": 0.3,
}
SETTINGS = {
    "node": "gpu-01",
    "environment": "lab",
    "agent": {"port": 1},
    "paths": {"sysfs": "/nowhere", "procfs": "/nowhere"},
    "gateways": [],
    "services": [SERVICE],
}


@dataclass
class FakeUnit:
    """A unit as the fake systemd knows it."""

    active: str = "inactive"
    file: str = "disabled"


@dataclass
class FakeNode:
    """A whole node below `root`.

    Attributes:
        root: Stands for /.
        units: What systemd knows.
        asked: Every command that was run.
        breaks: Beginnings of commands that shall fail.
        sick: Units whose probe shall fail.
    """

    root: Path
    units: dict[str, FakeUnit] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)
    sick: set[str] = field(default_factory=set)

    @property
    def world(self) -> World:
        """The world as the program sees it."""
        return World(Paths(self.root), self.run)

    def on(self, path: str) -> Path:
        """Return the place of a node's path."""
        return self.root / path.lstrip("/")

    def stage(self, bundle: Path) -> str:
        """Stage a bundle and name its generation."""
        return str(staging.stage(self.world, bundle)["generation"])

    def activate(self, identity: str) -> tuple[int, dict[str, Any]]:
        """Activate a generation; what was asked before is forgotten."""
        self.asked.clear()
        return activation.activate(self.world, identity, self.check)

    def status(self) -> dict[str, Any]:
        """Ask for the status."""
        return status.status(self.world)

    def check(self, probe: Probe, _deadline: float) -> None:
        """Stand for a probe."""
        if probe.unit in self.sick:
            raise failed(probe.unit, "does not generate")

    def did(self, verb: str) -> set[str]:
        """Name the units a verb was used on."""
        return {unit for command in self.asked if command[:2] == ["systemctl", verb] for unit in command[2:]} - {
            "--",
            "--now",
            "--runtime",
        }

    def snapshot(self) -> dict[str, Any]:
        """Take everything a transaction may touch, as it is now."""
        taken: dict[str, Any] = {unit: (it.active, it.file) for unit, it in self.units.items() if it.active != "gone"}
        for top in ("etc", "nix/var", "run/ipex", "var/lib/private"):
            for path in sorted((self.root / top).rglob("*")):
                taken[str(path)] = _seen(path)
        for link in ("current", "previous"):
            path = self.on(f"/var/lib/ipex/{link}")
            taken[link] = str(path.readlink()) if path.is_symlink() else None
        return taken

    def run(self, command: Sequence[str], *, show: bool = False) -> Completed:  # noqa: ARG002 - nothing to show
        """Stand for every program of the node."""
        self.asked.append(list(command))
        if any(" ".join(command).startswith(start) for start in self.breaks):
            return Completed(1, "", "it is broken on purpose")
        words = list(command)
        if words[0] == "systemctl":
            return self._systemctl(words[1], [word for word in words[2:] if not word.startswith("-")], words)
        if "nix" in words:
            return self._build(Path(words[words.index("--out-link") + 1]), words[-1])
        if words[0] == "nix-store":
            Path(words[words.index("--add-root") + 1]).symlink_to(words[words.index("--realise") + 1])
        if words[0] == "systemd-run":
            name = next(word.removeprefix("--unit=") for word in words if word.startswith("--unit="))
            self.units[f"{name}.timer"] = FakeUnit("active", "transient")
        if words[0] == "nix-env":
            return self._set(Path(words[2]), words[4])
        if words[0] == "refuse-bad":
            bad = "bad" in Path(words[1]).read_text(encoding="utf-8")
            return Completed(int(bad), "", f"{words[1]}: bad" if bad else "")
        return Completed(0, "", "")

    def _systemctl(self, verb: str, names: list[str], words: list[str]) -> Completed:
        if verb == "show":
            names = words[words.index("--") + 1 :]
            return Completed(0, "\n\n".join(self._show(name) for name in names) + "\n", "")
        for name in names:
            unit = self.units.setdefault(name, FakeUnit())
            if verb == "stop" and unit.file == "transient":
                del self.units[name]
                continue
            if verb in {"start", "restart", "reload", "reload-or-restart"}:
                if not self._exists(name) or unit.active == "failed":
                    return Completed(5, "", f"Unit {name} not found, or its start limit is used up.")
                unit.active = self._starts(name)
            if verb == "stop" or (verb == "disable" and "--now" in words):
                unit.active = "inactive"
            if verb in {"enable", "disable"}:
                unit.file = f"{verb}d"
            if verb in {"mask", "unmask"}:
                masked = "masked-runtime" if "--runtime" in words else "masked"
                unit.file = masked if verb == "mask" else "disabled" if unit.file == masked else unit.file
            if verb == "reset-failed" and unit.active == "failed":
                unit.active = "inactive"
        return Completed(0, "", "")

    def _starts(self, name: str) -> str:
        text = self.on(f"{_UNITS}/{name}").read_text(encoding="utf-8")
        if name == OLLAMA:
            migrate(self.on(DATA), text.split()[-1])
        return "failed" if "crash" in text else "active"

    def _exists(self, name: str) -> bool:
        return self.on(f"{_UNITS}/{name}").exists() or self._is_transient(name)

    def _is_transient(self, name: str) -> bool:
        return name in self.units and self.units[name].file == "transient"

    def _show(self, name: str) -> str:
        unit = self.units.get(name, FakeUnit())
        load = "loaded" if self._exists(name) else "not-found"
        return f"Id={name}\nLoadState={load}\nActiveState={unit.active}\nSubState=x\nUnitFileState={unit.file}"

    def _build(self, out_link: Path, reference: str) -> Completed:
        store = self.on("/nix/store") / hashlib.sha256(reference.encode()).hexdigest()[:8]
        store.mkdir(parents=True, exist_ok=True)
        out_link.symlink_to(store)
        return Completed(0, "", "")

    def _set(self, profile: Path, store_path: str) -> Completed:
        numbers = [int(link.name.split("-")[-2]) for link in profile.parent.glob(f"{profile.name}-*-link")]
        number = max(numbers, default=0) + 1
        numbered = profile.with_name(f"{profile.name}-{number}-link")
        numbered.symlink_to(store_path)
        profile.unlink(missing_ok=True)
        profile.symlink_to(numbered.name)
        return Completed(0, "", "")


def machine(root: Path) -> FakeNode:
    """Make a machine on which nothing has been deployed."""
    for directory in ("etc/systemd/system", DATA.lstrip("/"), "run", "nix/var/nix/profiles"):
        (root / directory).mkdir(parents=True)
    return FakeNode(root)


def migrate(data: Path, version: str) -> None:
    """Bring an engine's data to its version's format, as a start does; what is newer stays as it is."""
    (data / "user").mkdir(exist_ok=True)
    with closing(sqlite3.connect(data / "data.db")) as connection, connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("CREATE TABLE IF NOT EXISTS format (version)")
        found = max((row[0] for row in connection.execute("SELECT version FROM format")), default="")
        if found >= version:
            return
        connection.execute("INSERT INTO format VALUES (?)", [version])
    (data / "user/workflow").write_text(f"workflow of {version}", encoding="utf-8")
    (data / f"user/only-{version}").touch()
    if found:
        (data / "new").write_text(f"since {version}", encoding="utf-8")


def dump(database: Path) -> list[str]:
    """Return all that an SQLite database holds: a copy of one has other bytes in its header."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


def _seen(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if path.is_symlink():
        return ("link", str(path.readlink()))
    if path.is_dir():
        return ("directory", stat.S_IMODE(status.st_mode))
    content = dump(path) if path.suffix == ".db" else path.read_bytes()
    return (content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)


def files(version: str = "1", **more: str) -> dict[str, str]:
    """Return the files of a small GPU node; `more` are files in /etc/ipex."""
    return {
        f"{_UNITS}/{OLLAMA}": f"ollama {version}",
        f"{_UNITS}/{AGENT}": "agent",
        "/etc/ipex/node.json": json.dumps(SETTINGS),
        **{f"/etc/ipex/{name}": content for name, content in more.items()},
    }


def manifest(contents: Mapping[str, str], version: str = "1") -> dict[str, Any]:
    """Return the manifest of a small GPU node: Ollama with a closure and a probe, and the agent."""
    return {
        "format": 1,
        "node": "gpu-01",
        "files": {
            path: {
                "sha256": hashlib.sha256(content.encode()).hexdigest(),
                "mode": "0644",
                "owner": OWNER,
                "group": GROUP,
            }
            for path, content in contents.items()
        },
        "closures": {PROFILE: f"flake{version}#ollama-ipex"},
        "units": {
            OLLAMA: {"enabled": True, "on_change": "restart", "inputs": [f"{_UNITS}/{OLLAMA}", PROFILE]},
            AGENT: {"enabled": True, "on_change": "reload", "inputs": [f"{_UNITS}/{AGENT}", "/etc/ipex/node.json"]},
        },
        "validators": [["refuse-bad", "{root}/etc/ipex/node.json"]],
        "probes": [
            {
                "engine": "ollama",
                "unit": OLLAMA,
                "url": "http://127.0.0.1:11434",
                "path": "/api/tags",
                "model": "tiny",
                "deadline_seconds": 0.1,
            }
        ],
    }


def bundle(place: Path, contents: Mapping[str, str], raw: Mapping[str, Any]) -> Path:
    """Write a bundle as the deploy unpacks it."""
    here = place / f"bundle-{digest(raw)}"
    for path, content in contents.items():
        target = here / "root" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    here.mkdir(exist_ok=True)
    (here / "manifest.json").write_text(json.dumps(raw), encoding="utf-8")
    return here
