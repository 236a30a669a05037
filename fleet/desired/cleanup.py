"""What keeps a GPU node's disk from filling up: by the calendar, and when the disk is short."""

from typing import Any

from fleet.cleanup import OUTPUTS, Cleanup
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Node

_UNIT = "/etc/systemd/system/ipex-cleanup"


def part(node: Node, cleanup: Cleanup) -> Part:
    """What cleans a GPU node up; only the directories of engines that leave files behind are within its reach."""
    engines = [service.name for service in node.services if service.engine in OUTPUTS]
    files = {
        kind: File(f"{_UNIT}.{kind}", render(f"units/ipex-cleanup.{kind}.j2", cleanup=cleanup, engines=engines))
        for kind in ("service", "timer", "path")
    }
    return Part(
        files=tuple(files.values()),
        units=tuple(Unit(f"ipex-cleanup.{kind}", inputs=(files[kind].path,)) for kind in ("timer", "path")),
        validators=tuple(("systemd-analyze", "verify", "--man=no", f"{{root}}{file.path}") for file in files.values()),
    )


def settings(node: Node, cleanup: Cleanup) -> dict[str, Any]:
    """What the program on the box must know."""
    folders = [f"{service.name}/{name}" for service in node.services for name in OUTPUTS.get(service.engine, ())]
    return {
        "outputs": folders,
        "outputs_days": cleanup.outputs_days,
        "staged_days": cleanup.staged_days,
        "rest_seconds": cleanup.rest_seconds,
    }
