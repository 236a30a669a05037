"""The depot on the node that serves it, and what every node must know to take from it."""

import json

from fleet import depot as model
from fleet.depot import UNIT, Depot
from fleet.desired import probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import ROLES, Fleet, Node
from ipex_node.signature import CLOSURES, FLEET, SIGNERS

SETTINGS = "/etc/ipex/depot.json"
HEALTH = "/healthz"

_UNIT_FILE = f"/etc/systemd/system/{UNIT}"
_CONFIGURATION = "/etc/ipex/depot/nginx.conf"
_DIRECTORIES = "/etc/tmpfiles.d/ipex-depot.conf"
# Debian's own unit of nginx: an empty file masks it (systemd.unit(5)), where no gateway has another there.
_DEBIAN_UNIT = "/etc/systemd/system/nginx.service"
_BELOW = ("cache", "closures", "generations")


def part(node: Node, fleet: Fleet) -> Part:
    """What every node knows of the depot, and on its own node what serves it."""
    depot, server = node.depot, fleet.depot_node
    if not depot or not server:
        return Part()
    # Its own node takes from the directory itself, also while nothing serves it.
    source = f"file://{model.DIRECTORY}" if server.name == node.name else f"http://{server.at(depot.port)}"
    settings = {
        "source": source,
        "directory": model.DIRECTORY if server.name == node.name else None,
        "cache_gb": depot.cache_gb,
        "free_gb": depot.free_gb,
    }
    known = Part(
        packages=("openssh-client",),
        files=(
            File(SETTINGS, (json.dumps(settings, indent=2, sort_keys=True) + "\n").encode()),
            File(SIGNERS, _signers(fleet)),
        ),
    )
    return _with(known, _served(node, depot, fleet)) if server.name == node.name else known


def _signers(fleet: Fleet) -> bytes:
    """Who may sign what (ssh-keygen(1), ALLOWED SIGNERS)."""
    lines = [
        f'{name} namespaces="{name}" {model.ssh_public(fleet.secrets.get(key))}'
        for name, key in ((FLEET, model.FLEET_KEY), (CLOSURES, model.CLOSURE_KEY))
    ]
    return ("\n".join(lines) + "\n").encode()


def _served(node: Node, depot: Depot, fleet: Fleet) -> Part:
    addresses = fleet.addresses(*ROLES)
    unit = File(_UNIT_FILE, render(f"units/{UNIT}.j2", depot=depot, addresses=addresses, path=_CONFIGURATION))
    configuration = File(
        _CONFIGURATION,
        render("depot/nginx.conf.j2", depot=depot, directory=model.DIRECTORY, below=_BELOW, health=HEALTH),
    )
    made = (model.DIRECTORY, *(f"{model.DIRECTORY}/{name}" for name in _BELOW))
    directories = File(_DIRECTORIES, "".join(f"d {path} 0755 root root -\n" for path in made).encode())
    # Debian's nginx would serve its own page on port 80.
    masked = () if node.gateway else (File(_DEBIAN_UNIT, b""),)
    return Part(
        packages=("nginx",),
        files=(unit, configuration, directories, *masked),
        units=(Unit(UNIT, inputs=(unit.path, configuration.path, directories.path)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),),
        probes=(probes.answers(UNIT, depot.port, HEALTH),),
    )


def _with(first: Part, second: Part) -> Part:
    return Part(
        packages=(*first.packages, *second.packages),
        files=(*first.files, *second.files),
        units=second.units,
        validators=second.validators,
        probes=second.probes,
    )
