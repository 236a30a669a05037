"""The dead-man timer: while a transaction is open, `ipex-node recover` looks after it every few seconds.

The timer is a transient unit of systemd: it outlives the transaction's process and the connection that
started it, needs no unit file of any generation, and a reboot takes it away (then ipex-recover.service looks).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.failure import failed
from ipex_node.systemd import Systemd

if TYPE_CHECKING:
    from ipex_node.paths import Paths
    from ipex_node.world import World

NAME = "ipex-deadman"
TIMER = f"{NAME}.timer"
_SERVICE = f"{NAME}.service"
LOOK_SECONDS = 10
"""Between two looks: how long a node may stand still between two generations."""
_COMMAND_SECONDS = 900
"""Time for all that has no deadline of its own: files, profiles, systemctl."""
_INSTALLED = "/usr/local/bin/ipex-node"


def arm(world: World) -> str:
    """Start the timer, with a copy of this very program: an installed one may be replaced on the way.

    Raises:
        FailedError: systemd refused; then nothing may be changed.
    """
    program = Path(__file__).parents[1]
    command = _INSTALLED
    if program.is_file():
        files.write(world.paths.recovery_program, program.read_bytes(), 0o755)
        command = str(world.paths.recovery_program)
    disarm(world)
    when = [f"--on-active={LOOK_SECONDS}", f"--on-unit-inactive={LOOK_SECONDS}", "--timer-property=AccuracySec=1"]
    done = world.run(["systemd-run", "--quiet", f"--unit={NAME}", *when, command, "recover"])
    if done.returncode != 0:
        raise failed("systemd-run", f"the dead-man timer cannot be armed: {done.complaint}")
    return f"every {LOOK_SECONDS} s"


def disarm(world: World) -> None:
    """Stop the timer, and forget a failed look; its service may be the one that calls."""
    systemd = Systemd(world.run)
    states = systemd.states([TIMER, _SERVICE])
    systemd.do("stop", [TIMER] if states[TIMER].load != "not-found" else [])
    systemd.do("reset-failed", [_SERVICE] if states[_SERVICE].active == "failed" else [])


def moment(paths: Paths) -> dict[str, object]:
    """Return this moment as a journal keeps it: the boot, and its clock, which nobody sets."""
    return {"boot": boot(paths), "clock": time.clock_gettime(time.CLOCK_BOOTTIME)}


def boot(paths: Paths) -> str:
    """Return the kernel's name of this boot; empty where it has none."""
    try:
        return paths.boot_id.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def longest(probe_seconds: float, drain_seconds: float) -> float:
    """Return the time after which a transaction that has not ended hangs.

    Args:
        probe_seconds: Sum of the probes' deadlines; they may be asked twice, before and after a rollback.
        drain_seconds: Longest drain.
    """
    return 2 * probe_seconds + drain_seconds + _COMMAND_SECONDS
