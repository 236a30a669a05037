"""The one question every node is asked in a run."""

import json
from typing import Any
from urllib.parse import unquote

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from fleet.observed import Observed, ObservedGpu

# One line an answer, its kind first. PCI base class 03 is a display controller, vendor 8086 Intel.
_QUESTION = r"""
. /etc/os-release; echo "distribution $ID:$VERSION_ID"
while read -r key value _; do [ "$key" != MemTotal: ] || echo "memory $value"; done < "$2/meminfo"
for device in "$1"/bus/pci/devices/*; do
  read -r class 2>/dev/null < "$device/class" || continue
  read -r vendor < "$device/vendor"
  case "$class $vendor" in "0x03"*" 0x8086") ;; *) continue;; esac
  read -r id < "$device/device"
  driver=; [ ! -e "$device/driver" ] || driver=$(readlink -f "$device/driver")
  echo "gpu ${device##*/} ${id#0x} ${driver##*/}"
done
shift 2
grep -o '"[^" #]*narHash=[^"#]*' /var/lib/ipex/current/manifest.json 2>/dev/null | sort -u | sed 's/^"/flake /'
dpkg-query -W -f 'package ${db:Status-Status} ${Package}\n' "$@" 2>/dev/null
[ ! -e /var/lib/ipex/lock ] || flock -n -s /var/lib/ipex/lock true || echo "busy with a change"
[ ! -e /run/ipex-gateway/state.json ] || echo "gateway $(tr -d '\n' < /run/ipex-gateway/state.json)"
[ ! -x /usr/local/bin/ipex-node ] || sh /run/ipex-seal 2>/dev/null || /usr/local/bin/ipex-node status
true
"""


class NodeState(FactBase[Observed]):
    """What the node is, what is installed on it, and what its own status says."""

    default = Observed

    def command(self, sysfs: str, procfs: str, packages: tuple[str, ...]) -> StringCommand:
        """Ask everything in one command, so that a run that changes nothing asks once."""
        arguments = [QuoteString(argument) for argument in (sysfs, procfs, *packages)]
        return StringCommand("sh", "-c", QuoteString(_QUESTION), "ipex-question", *arguments)

    def process(self, output: list[str]) -> Observed:
        """Read the lines of the answer."""
        answers: dict[str, list[str]] = {}
        for line in output:
            kind, _, rest = line.partition(" ")
            answers.setdefault(kind, []).append(rest)
        status = next((line for line in output if line.startswith("{")), "{}")
        return Observed(
            distribution=answers.get("distribution", [""])[0],
            memory_bytes=int(answers.get("memory", ["0"])[0]) * 1024,
            gpus=tuple(_gpu(line) for line in answers.get("gpu", [])),
            packages=frozenset(
                name
                for state, name in (line.split(" ", 1) for line in answers.get("package", []))
                if state == "installed"
            ),
            flakes=tuple(unquote(flake) for flake in answers.get("flake", [])),
            is_busy="busy" in answers,
            status=_object(status),
            rotation_seen=_object(answers.get("gateway", ["{}"])[0]).get("rotation", {}),
        )


def _gpu(line: str) -> ObservedGpu:
    slot, device, driver = f"{line} ".split(" ")[:3]
    return ObservedGpu(slot, f"8086:{device}", driver)


def _object(line: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(line)
    return answer
