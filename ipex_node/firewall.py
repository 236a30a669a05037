"""The firewall: are the kernel's rules the generation's, and does a new SSH connection get through new ones?

New rules are tried before they are activated: `ipex-node firewall try` loads them, and a timer of systemd's takes them
back by itself. Whoever then comes in by a new connection says `ipex-node firewall confirm`, and only rules that were
confirmed since the machine has booted may become a generation's.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from ipex_node import files, store
from ipex_node.drift import Drift
from ipex_node.failure import failed
from ipex_node.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.manifest import Manifest
    from ipex_node.paths import Paths
    from ipex_node.world import World

UNIT = "ipex-firewall.service"
RULES = "/etc/ipex/firewall.nft"
LOADED = "/run/ipex-firewall/loaded"
"""What the kernel has made of the rules when the unit loaded them, in nft's words."""
LISTED = ("nft", "--stateless", "list", "table", "inet", "ipex")
"""Tells the rules in force, without counters."""
SECONDS = 30
"""How long a trial lasts, unless somebody says so."""

_TIMER = "ipex-firewall-trial"
_FORGET = ("nft", "delete", "table", "inet", "ipex")


def drift(world: World, manifest: Manifest) -> Iterator[Drift]:
    """Find that the kernel's rules are not those that the generation's file has made."""
    if RULES not in manifest.files:
        return
    done = world.run(LISTED)
    if done.returncode != 0:
        yield Drift("file", RULES, f"is not in force: {done.complaint}")
    elif done.stdout != _read(world.paths.on_node(LOADED)):
        yield Drift("file", RULES, "is not in force: somebody has changed the kernel's rules of it")


def state(paths: Paths) -> dict[str, Any]:
    """Say whether new rules are on trial, or were taken back because nobody has confirmed them; nothing else."""
    for name, path in (("on trial", paths.firewall_trial), ("taken back", paths.firewall_taken_back)):
        if found := _record(path):
            return {"state": name, "generation": found.get("generation"), "since": found.get("since")}
    return {}


def require(world: World, new: Manifest, old: Manifest) -> None:
    """Let nobody activate rules that nobody has tried.

    Raises:
        FailedError: the new generation has rules that are neither the old one's nor confirmed since the machine booted.
    """
    if _is_new(new, old) and _read(world.paths.firewall_confirmed) != _digest(new):
        raise failed(
            RULES,
            f"generation {new.id} has rules that no new SSH connection has confirmed",
            f"`ipex-node firewall try {new.id}`, then from a new SSH connection `ipex-node firewall confirm`; "
            "a deploy does both. At the machine's own console: --force",
        )


def attempt(world: World, identity: str, seconds: int) -> dict[str, Any]:
    """Load a staged generation's rules until they are confirmed, or time is up.

    Returns:
        The answer; `trial` is False where the generation has no rules that would have to be tried.

    Raises:
        FailedError: nft or the kernel refuses the rules, and nothing has changed; or the node is locked.
    """
    with store.locked(world.paths, f"firewall try {identity}"):
        new = store.manifest(world.paths, identity)
        if not _is_new(new, store.manifest(world.paths, store.linked(world.paths.current))):
            return _answer(identity, trial=False)
        if _read(world.paths.firewall_confirmed) == _digest(new):
            return _answer(identity, trial=False)
        rules = str(store.directory(world.paths, identity) / "root" / RULES.lstrip("/"))
        _nft(world, "--check", rules)
        _begin(world, identity, seconds)
        try:
            _nft(world, "--file", rules)
        except BaseException:
            _end(world)
            raise
        return _answer(identity, trial=True) | {"seconds": seconds}


def confirm(world: World) -> dict[str, Any]:
    """Confirm the rules on trial, by a connection that they have let in; the old ones stay until an activation.

    Raises:
        FailedError: nothing is on trial, or this very connection is older than the rules.
    """
    with store.locked(world.paths, "firewall confirm"):
        trial = _record(world.paths.firewall_trial)
        if trial is None:
            raise failed(
                "firewall confirm", "no rules are on trial: time was up, or nobody has tried any", "try them once more"
            )
        mine = connection(world.paths)
        if mine and mine == trial["connection"]:
            raise failed(
                "firewall confirm",
                "this SSH connection is older than the rules, which proves nothing",
                "open a new one (with ssh's ControlMaster: -o ControlPath=none) and say it there",
            )
        _end(world)
        files.write(world.paths.firewall_confirmed, str(trial["digest"]).encode())
        return _answer(str(trial["generation"]), trial=False)


def connection(paths: Paths) -> str:
    """Return the SSH connection by which this process was started, in sshd's words; empty at a console.

    sudo takes the variable away from its children, so it is looked for in their ancestors, too.
    """
    if found := os.environ.get("SSH_CONNECTION"):
        return found
    process = os.getppid()
    while process > 1:
        try:
            place = paths.on_node(f"/proc/{process}")
            environment = (place / "environ").read_bytes().split(b"\0")
            status = (place / "status").read_text()
        except OSError:
            return ""
        for entry in environment:
            if entry.startswith(b"SSH_CONNECTION="):
                return entry.partition(b"=")[2].decode(errors="replace")
        process = int(status.partition("\nPPid:")[2].split()[0])
    return ""


def _begin(world: World, identity: str, seconds: int) -> None:
    """Arm the timer before anything is changed."""
    paths = world.paths
    _disarm(world)
    record = {
        "generation": identity,
        "digest": _digest(store.manifest(paths, identity)),
        "connection": connection(paths),
        "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    paths.firewall_taken_back.unlink(missing_ok=True)
    files.write(paths.firewall_trial, json.dumps(record).encode())
    # The record goes first: who comes in by the old rules finds nothing to confirm. It needs no program of ours.
    script = f"mv -f {paths.firewall_trial} {paths.firewall_taken_back}; {_take_back(paths)}"
    options = ["--quiet", f"--unit={_TIMER}", f"--on-active={seconds}", "--timer-property=AccuracySec=100ms"]
    done = world.run(["systemd-run", *options, "/bin/sh", "-c", script])
    if done.returncode != 0:
        paths.firewall_trial.unlink()
        raise failed("systemd-run", f"the timer that takes the rules back cannot be armed: {done.complaint}")


def _end(world: World) -> None:
    """Put the current generation's rules back and end the trial."""
    _disarm(world)
    world.paths.firewall_trial.unlink(missing_ok=True)
    world.run(["/bin/sh", "-c", _take_back(world.paths)])


def _take_back(paths: Paths) -> str:
    """Write the command that puts the current generation's own rules back; there may be none yet."""
    old = paths.current / "root" / RULES.lstrip("/")
    return f"nft --file {old} || {' '.join(_FORGET)}"


def _disarm(world: World) -> None:
    """Stop the timer, and forget a taking back that has failed; its service goes with the timer."""
    systemd = Systemd(world.run)
    timer, service = f"{_TIMER}.timer", f"{_TIMER}.service"
    states = systemd.states([timer, service])
    systemd.do("stop", [timer] if states[timer].load != "not-found" else [])
    systemd.do("reset-failed", [service] if states[service].active == "failed" else [])


def _nft(world: World, how: str, rules: str) -> None:
    words = ["--check", "--file"] if how == "--check" else [how]
    done = world.run(["nft", *words, rules])
    if done.returncode != 0:
        cure = "correct data or template; if the kernel lacks nf_tables, declare `firewall = None` for this node"
        raise failed(RULES, f"nft refuses it: {done.complaint}", cure)


def _is_new(new: Manifest, old: Manifest) -> bool:
    return RULES in new.files and (RULES not in old.files or _digest(new) != _digest(old))


def _digest(manifest: Manifest) -> str:
    return manifest.files[RULES].sha256


def _record(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _answer(identity: str, *, trial: bool) -> dict[str, Any]:
    return {"ok": True, "failures": [], "generation": identity, "trial": trial}
