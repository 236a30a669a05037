"""The one question every node is asked in a run."""

import json
from typing import Any
from urllib.parse import unquote

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from fleet.observed import Observed
from ipex_node.fitness.machine import Card, Machine, RenderNode

# One line an answer, its kind first. PCI base class 03 is a display controller, vendor 8086 Intel. What is read here
# ipex_node/fitness/inspection.py reads on the box; `stat` is the only process this needs, and the whole a few ms.
_QUESTION = r"""
. /etc/os-release; echo "distribution $ID:$VERSION_ID"
while read -r key value _; do [ "$key" != MemTotal: ] || echo "memory $value"; done < "$2/meminfo"
read -r release 2>/dev/null < "$2/sys/kernel/osrelease" && echo "kernel $release"
for device in "$1"/bus/pci/devices/*; do
  read -r class 2>/dev/null < "$device/class" || continue
  read -r vendor < "$device/vendor"
  case "$class $vendor" in "0x03"*" 0x8086") ;; *) continue;; esac
  read -r id < "$device/device"
  driver=; [ ! -e "$device/driver" ] || driver=$(readlink -f "$device/driver")
  render=; for node in "$device"/drm/renderD*; do [ ! -e "$node" ] || render=${node##*/}; done
  echo "gpu ${device##*/} ${id#0x} ${driver##*/} $render"
done
[ ! -d "$3" ] || stat -c 'render %a %U %G %n' "$3"/renderD* 2>/dev/null
[ ! -d /lib/firmware ] || echo firmware /lib/firmware/i915/*guc* /lib/firmware/xe/*guc*
store=/nix; [ -d /nix ] || store=/
stat -f -c 'free %a %S %n' /var/lib "$store"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo "cgroup unified"
elif [ -d /sys/fs/cgroup/unified ]; then echo "cgroup hybrid"
elif [ -d /sys/fs/cgroup/memory ]; then echo "cgroup legacy"; fi
if [ -e /run/systemd/container ]; then echo "clock container"
elif [ -e /run/systemd/timesync/synchronized ]; then echo "clock synchronized"
elif [ -e /run/chrony/chronyd.pid ] || [ -e /run/ntpd.pid ]; then echo "clock kept"
else echo "clock adrift"; fi
[ ! -r /etc/ssh/ssh_host_ed25519_key.pub ] || echo "hostkey $(cat /etc/ssh/ssh_host_ed25519_key.pub)"
[ -z "$4" ] || ip -o address show to "$4" | sed -n '1s/.*/floating held/p'
shift 4
grep -o '"[^" #]*narHash=[^"#]*' /var/lib/ipex/current/manifest.json 2>/dev/null | sort -u | sed 's/^"/flake /'
dpkg-query -W -f 'package ${db:Status-Status} ${Package}\n' "$@" 2>/dev/null
[ ! -e /var/lib/ipex/lock ] || flock -n -s /var/lib/ipex/lock true || echo "busy with a change"
[ ! -e /run/ipex-gateway/state.json ] || echo "gateway $(tr -d '\n' < /run/ipex-gateway/state.json)"
[ ! -x /usr/local/bin/ipex-node ] || sh /run/ipex-seal 2>/dev/null || /usr/local/bin/ipex-node status
connection=${SSH_CONNECTION:-} process=$PPID
while [ -z "$connection" ] && [ "${process:-1}" -gt 1 ] && [ -r "/proc/$process/environ" ]; do
  connection=$(tr '\0' '\n' < "/proc/$process/environ" | sed -n 's/^SSH_CONNECTION=//p')
  process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
done
[ -z "$connection" ] || echo "asked $connection"
true
"""


class NodeState(FactBase[Observed]):
    """What the node is, what is installed on it, and what its own status says."""

    default = Observed

    def command(
        self, sysfs: str, procfs: str, render_nodes: str, packages: tuple[str, ...], floating: str = ""
    ) -> StringCommand:
        """Ask everything in one command, so that a run that changes nothing asks once."""
        arguments = [QuoteString(argument) for argument in (sysfs, procfs, render_nodes, floating, *packages)]
        return StringCommand("sh", "-c", QuoteString(_QUESTION), "ipex-question", *arguments)

    def process(self, output: list[str]) -> Observed:
        """Read the lines of the answer; a line that makes no sense says nothing."""
        answers: dict[str, list[str]] = {}
        for line in output:
            kind, _, rest = line.partition(" ")
            answers.setdefault(kind, []).append(rest)
        rotation = _object(answers.get("gateway", ["{}"])[0]).get("rotation")
        return Observed(
            machine=_machine(answers),
            packages=frozenset(
                name
                for state, _, name in (line.partition(" ") for line in answers.get("package", []))
                if state == "installed"
            ),
            flakes=tuple(unquote(flake) for flake in answers.get("flake", [])),
            is_busy="busy" in answers,
            holds_floating="floating" in answers,
            status=_object(next((line for line in output if line.startswith("{")), "{}")),
            asked_from=_asked_from(answers.get("asked", [""])[0]),
            host_key=" ".join(answers.get("hostkey", [""])[0].split()[:2]),
            rotation_seen=rotation if isinstance(rotation, dict) else {},
        )


def _machine(answers: dict[str, list[str]]) -> Machine:
    def first(kind: str) -> str:
        return answers.get(kind, [""])[0].strip()

    firmware = answers.get("firmware")
    return Machine(
        distribution=first("distribution"),
        kernel=first("kernel"),
        memory_bytes=_number(first("memory")) * 1024,
        cards=tuple(_card(line) for line in answers.get("gpu", [])),
        render_nodes=dict(filter(None, map(_render_node, answers.get("render", [])))),
        firmware=_firmware(" ".join(firmware)) if firmware is not None else None,
        free_bytes=dict(filter(None, map(_free, answers.get("free", [])))),
        cgroup=first("cgroup"),
        clock=first("clock"),
    )


def _asked_from(line: str) -> tuple[str, int] | None:
    """Read sshd's word for a connection: the client's address and port, the server's address and port."""
    words = line.split()
    return (words[0], _number(words[3])) if len(words) == 4 else None


def _card(line: str) -> Card:
    slot, device, driver, render = f"{line}   ".split(" ")[:4]
    return Card(slot, f"8086:{device}", driver, render)


def _render_node(line: str) -> tuple[str, RenderNode] | None:
    mode, owner, group, path = (line.split(" ", 3) + [""] * 4)[:4]
    if not path or set(mode) - set("01234567") or not mode:
        return None
    return path.rpartition("/")[2], RenderNode(path, int(mode, 8), owner, group)


def _firmware(paths: str) -> frozenset[str]:
    # A pattern that matches nothing stays a pattern.
    found = (path.removeprefix("/lib/firmware/") for path in paths.split() if "*" not in path)
    return frozenset(name.removesuffix(".zst").removesuffix(".xz") for name in found)


def _free(line: str) -> tuple[str, int] | None:
    blocks, size, path = (line.split(" ", 2) + [""] * 3)[:3]
    return ("/nix" if path == "/" else path, _number(blocks) * _number(size)) if path else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _object(line: str) -> dict[str, Any]:
    """Read a JSON object; a node whose program was cut off in the middle of its answer has said nothing."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
