"""Breaks an engine on a lab node, and mends it: builds the command to run there, as root, in any shell.

The engines read the file at every request (lab/flake/engines/faults.py has its meaning), so a fault begins
with the next request and needs no restart.
"""

import json
import shlex
from pathlib import Path
from typing import Literal

DIRECTORY = "/run/ipex-lab/faults"
KERNEL_LOG = "/lab/kmsg"

Engine = Literal["ollama", "comfyui"]
Generate = Literal["none", "hang", "error503", "cpu", "slow", "cut"]


def inflict(
    engine: Engine,
    *,
    generate: Generate = "none",
    token_seconds: float | None = None,
    start: Literal["none", "exit"] = "none",
) -> str:
    """Return the command that gives an engine a fault, instead of the one it may have.

    Args:
        engine: which of the two.
        generate: what becomes of generations: hang accepts and never answers them while every cheap
            endpoint answers; error503 refuses them; cpu does them, but not on the GPU; slow; cut breaks
            off in the middle.
        token_seconds: seconds per token or sampling step.
        start: "exit" makes the next start fail.
    """
    wanted: dict[str, object] = {"generate": generate, "start": start}
    if token_seconds is not None:
        wanted["token_seconds"] = token_seconds
    path = f"{DIRECTORY}/{engine}.json"
    content = shlex.quote(json.dumps(wanted))
    # Renamed into place: an engine must not read half of it.
    return (
        f"install -d -m 0755 {Path(DIRECTORY).parent} {DIRECTORY} && printf %s {content} > {path}.new"
        f" && chmod 0644 {path}.new && mv {path}.new {path}"
    )


def kernel_says(text: str) -> str:
    """Return the command that writes a line into the log that stands for the kernel's, as a node's data has it.

    Args:
        text: the driver's words, such as `xe 0000:03:00.0: [drm] Tile0: GT0: Timedout job: ...`.
    """
    # The number of a record is the number of lines before it: each is new to whoever has read the ones before.
    record = f"""printf '4,%d,0,-;%s\\n' "$(wc -l < {KERNEL_LOG})" {shlex.quote(text)} >> {KERNEL_LOG}"""
    return f"touch {KERNEL_LOG} && {record}"


def clear(engine: Engine) -> str:
    """Return the command that takes an engine's fault away."""
    return f"rm -f {DIRECTORY}/{engine}.json"
