"""A setting on trial: a drop-in below /run that the unit of an engine has for minutes, and never longer.

Its record says so before the drop-in is there, and goes after the engine has started without it. Whoever finds the
record and no process that tries (the dead-man timer, the next activation) ends the trial; a reboot ends it by itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ipex_node.paths import Paths
    from ipex_node.world import World

BY = "tune"
"""How a tuning signs its wish to be out of rotation."""


def put(world: World, unit: str, setting: Mapping[str, str]) -> None:
    """Start an engine with other variables in its environment.

    Raises:
        FailedError: It does not start.
    """
    files.write(_record(world.paths), json.dumps({"unit": unit, "setting": dict(setting)}).encode())
    lines = [f'Environment="{name}={value}"' for name, value in sorted(setting.items())]
    text = "\n".join(["# A setting on trial, written by ipex-node tune; it ends by itself.", "[Service]", *lines, ""])
    files.write(_drop_in(world.paths, unit), text.encode())
    _restart(world, unit)


def end(world: World) -> bool:
    """Give the engine its declared setting back, if one is on trial.

    Raises:
        FailedError: It does not start; the record stays, and whoever looks next tries again.
    """
    unit = on_trial(world.paths)
    if unit is None:
        return False
    place = _drop_in(world.paths, unit)
    files.remove_unfinished(place)
    place.unlink(missing_ok=True)
    _restart(world, unit)
    _record(world.paths).unlink(missing_ok=True)
    return True


def on_trial(paths: Paths) -> str | None:
    """Name the unit that has a setting on trial."""
    try:
        return str(json.loads(_record(paths).read_bytes())["unit"])
    except FileNotFoundError:
        return None


def _restart(world: World, unit: str) -> None:
    systemd = Systemd(world.run)
    systemd.do("daemon-reload")
    # So many starts in a few minutes use a unit's start limit up.
    systemd.do("reset-failed", [unit])
    systemd.do("restart", [unit])


def _record(paths: Paths) -> Path:
    return paths.run / "trial.json"


def _drop_in(paths: Paths, unit: str) -> Path:
    return paths.on_node(f"/run/systemd/system/{unit}.d/ipex-trial.conf")
