"""systemd, through systemctl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipex_node.world import Run

_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,DropInPaths"
_STARTS_WITH_MACHINE = {"enabled", "static", "alias", "indirect", "generated"}
"""Unit file states in which `systemctl enable` has nothing to do (systemctl(1), is-enabled)."""

_JOBS = {"start", "stop", "restart", "reload", "reload-or-restart"}
"""Verbs that queue a job and wait for its end (systemctl(1), --no-block)."""


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it; systemd's own words.

    Attributes:
        load: LoadState.
        active: ActiveState.
        sub: SubState.
        file: UnitFileState; empty where there is no unit file.
        needs_reload: The unit file has changed since systemd read it.
        drop_ins: Drop-ins of this very unit that lie in /etc or /run, where an administrator or
            `systemctl set-property` puts them; the distribution's own are none of these.
    """

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    file: str = ""
    needs_reload: bool = False
    drop_ins: tuple[str, ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether it runs, waits or listens as it should."""
        return self.active in {"active", "reloading"}

    @property
    def is_masked(self) -> bool:
        """Whether something forbids its start."""
        return self.file.startswith("masked")

    @property
    def starts_with_machine(self) -> bool:
        """Whether enabling it would change nothing."""
        return self.file in _STARTS_WITH_MACHINE


class Systemd:
    """Asks and tells systemd; every refusal is an error that says what systemd said.

    Args:
        run: Runs a command.
        wait: Whether starts and stops are waited for. While the machine boots, a unit that is ordered before
            others would wait for itself.
    """

    def __init__(self, run: Run, *, wait: bool = True) -> None:
        self._run = run
        self._options = () if wait else ("--no-block",)

    def states(self, units: Iterable[str]) -> dict[str, UnitState]:
        """Return the state of units, all asked in one call."""
        names = list(units)
        if not names:
            return {}
        done = self._run(["systemctl", "show", "--property", _PROPERTIES, "--", *names])
        # One block per argument, in their order: an alias would answer under another Id.
        blocks = done.stdout.strip().split("\n\n")
        if done.returncode != 0 or len(blocks) != len(names):
            raise failed("systemctl show", done.complaint, "is systemd running on this node?")
        return {name: _state(block) for name, block in zip(names, blocks, strict=True)}

    def do(self, verb: str, units: Iterable[str] = (), *options: str) -> None:
        """Run one verb of systemctl on units, in one call; nothing without units, except daemon-reload.

        Raises:
            FailedError: systemctl refused, or a unit did not come up.
        """
        names = list(units)
        if not names and verb != "daemon-reload":
            return
        waiting = self._options if verb in _JOBS else ()
        done = self._run(["systemctl", verb, *waiting, *options, *(["--", *names] if names else [])])
        if done.returncode != 0:
            first = names[0] if names else ""
            raise failed(" ".join(["systemctl", verb, *names]), self._why(done.complaint, names), _cure(first))

    def tell(self, program: str, *arguments: str) -> None:
        """Run one of systemd's own programs: systemd-tmpfiles, systemd-sysusers."""
        done = self._run([program, *arguments])
        if done.returncode != 0:
            raise failed(" ".join([program, *arguments]), done.complaint)

    def last_words(self, unit: str) -> str:
        """Return the last lines a unit wrote to the journal; empty where there are none."""
        # By the field and not with --unit, which would bring what systemd says of the unit's restarts.
        match = f"_SYSTEMD_UNIT={unit}"
        return self._run(["journalctl", match, "--lines", "5", "--output", "cat", "--quiet"]).stdout.strip()

    def _why(self, complaint: str, units: list[str]) -> str:
        words = (f"{unit} said: {self.last_words(unit)}" for unit in units if self._is_failed(unit))
        return "\n".join([complaint, *words])

    def _is_failed(self, unit: str) -> bool:
        return not self.states([unit])[unit].is_active


def _cure(unit: str) -> str:
    return f"on the node: journalctl -u {unit} -n 50" if unit else ""


def _state(block: str) -> UnitState:
    said = dict(line.partition("=")[::2] for line in block.splitlines())
    return UnitState(
        load=said.get("LoadState", ""),
        active=said.get("ActiveState", ""),
        sub=said.get("SubState", ""),
        file=said.get("UnitFileState", ""),
        needs_reload=said.get("NeedDaemonReload") == "yes",
        drop_ins=tuple(path for path in said.get("DropInPaths", "").split() if _is_own(path, said.get("Id", ""))),
    )


def _is_own(drop_in: str, unit: str) -> bool:
    return drop_in.startswith(("/etc/systemd/", "/run/systemd/")) and drop_in.split("/")[-2] == f"{unit}.d"
