"""The seal: a shell script that repeats the last status for as long as nothing it depended on has changed.

Every run asks every node for its status, and most find it unchanged. Starting Python for that costs a node about
60 ms of processor time; comparing digests with sha256sum, stat and systemctl costs about 10.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

from ipex_node import files, firewall, store
from ipex_node.status import status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipex_node.manifest import Manifest
    from ipex_node.paths import Paths
    from ipex_node.world import World

_UNIT_PLACES = (
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/run/systemd/system.control",
)
"""Where an administrator, `systemctl` and this program put units, links to them and drop-ins (systemd.unit(5))."""

_SCRIPT = """# Written by `ipex-node status`: repeats its answer while nothing it depended on has changed.
state() {{
{state}
}}
[ "$(state 2>&1 | sha256sum)" = '{digest}  -' ] || exit 1
cat <<'END_OF_ANSWER'
{answer}
END_OF_ANSWER
"""


def sealed_status(world: World) -> dict[str, Any]:
    """Return the node's status, and seal it if nothing differs from what should be.

    Only root seals: others do not see everything, and may not write where root runs a script from.
    """
    if os.geteuid() != 0:
        return status(world)
    before = _state(world)
    answer = status(world)
    current = answer["generation"]
    if current and not answer["drift"] and before == (state := _state(world)) and state is not None:
        script = _SCRIPT.format(
            state=_question(world.paths, store.manifest(world.paths, current)),
            digest=hashlib.sha256(state.encode()).hexdigest(),
            answer=json.dumps(answer),
        )
        files.write(world.paths.seal, script.encode(), mode=0o600)
    else:
        world.paths.seal.unlink(missing_ok=True)
    return answer


def _state(world: World) -> str | None:
    """Return all that the status depends on, as one text; none before there is a generation."""
    current = store.linked(world.paths.current)
    if current is None:
        return None
    done = world.run(["sh", "-c", f"{{\n{_question(world.paths, store.manifest(world.paths, current))}\n}} 2>&1"])
    return done.stdout


def _question(paths: Paths, manifest: Manifest) -> str:
    """Write the commands that print the state: contents, modes, owners, profiles, units, and this program's own files.

    ls -lA --full-time shows every change of the small files below /var/lib/ipex by size and time.
    """
    rules = [shlex.join(firewall.LISTED)] if firewall.RULES in manifest.files else []
    contents = _words(paths, manifest.files)
    profiles = _words(paths, manifest.closures)
    own = shlex.join(str(place) for place in (paths.state, paths.generations, paths.run))
    verdict = shlex.quote(str(paths.verdict))
    # An unprivileged user's: as border.py reads it, no link is followed, no pipe waited for, no end awaited.
    told = f"dd if={verdict} iflag=nofollow,nonblock bs=64K count=16 status=none 2>/dev/null"
    reboot = shlex.join(str(place) for place in (paths.reboot_required, paths.boot))
    # A directory's time changes with every kernel that comes or goes.
    lines = [f"ls -lA --full-time -- {own}", f"ls -ld --full-time -- {reboot}", told, *rules]
    if contents:
        lines += [f"sha256sum -- {contents}", f"stat -c '%f %U:%G %n' -- {contents}"]
    if profiles:
        lines.append(f"readlink -f -- {profiles}")
    if manifest.units:
        # Links, masks, drop-ins and changed unit files are all in the listing: `systemctl show` costs as much as all
        # the rest together.
        units = shlex.join(str(paths.on_node(place)) for place in _UNIT_PLACES)
        lines += [f"systemctl is-active -- {shlex.join(manifest.units)}", f"ls -lAR --full-time -- {units}"]
    return "\n".join(lines)


def _words(paths: Paths, names: Iterable[str]) -> str:
    return shlex.join(str(paths.on_node(name)) for name in names)
