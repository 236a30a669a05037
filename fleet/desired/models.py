"""What lets GPU nodes copy models from each other: a read-only nginx on each, and what fetches."""

from fleet.desired import probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Node
from fleet.model_store import ModelStore

UNIT = "ipex-models.service"
_CONFIGURATION = "/etc/ipex-models/nginx.conf"
_RUN = "/run/ipex-models"
_HEALTHY = "/healthz"
# What of an engine's directory others may have: never the manifests, which the controller knows.
_FILES = {
    "ollama": r"blobs/sha256-[0-9a-f]{64}",
    "comfyui": r"(?:[A-Za-z0-9_][A-Za-z0-9._@+-]*/)+[A-Za-z0-9_][A-Za-z0-9._@+-]*",
}
# Debian's own unit of nginx, masked by an empty file (systemd.unit(5)) where nothing of ours has its name or does so.
_MASKED = File("/etc/systemd/system/nginx.service", b"")
_DIRECTORY = File("/etc/tmpfiles.d/ipex-models.conf", b"d /var/lib/ipex-models 0755 root root -\n")


def part(node: Node, store: ModelStore, fleet: Fleet) -> Part:
    """What serves a node's models to the other GPU nodes."""
    services = [service for service in node.services if service.engine in _FILES]
    configuration = File(
        _CONFIGURATION,
        render("models/nginx.conf.j2", port=store.port, services=services, files=_FILES, healthy=_HEALTHY),
    )
    mates = [address for address in fleet.addresses("gpu_nodes") if address != node.address]
    unit = File(
        f"/etc/systemd/system/{UNIT}",
        render(f"units/{UNIT}.j2", port=store.port, addresses=mates, configuration=_CONFIGURATION, run=_RUN),
    )
    masked = () if node.gateway or node.serves_depot else (_MASKED,)
    return Part(
        packages=("curl", "nginx"),
        files=(_DIRECTORY, configuration, unit, *masked),
        units=(Unit(UNIT, inputs=(_DIRECTORY.path, configuration.path, unit.path)),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),
            (
                "nginx",
                "-t",
                "-q",
                "-e",
                "stderr",
                "-c",
                f"{{root}}{configuration.path}",
                "-g",
                "pid /run/ipex-models-check.pid;",
            ),
        ),
        probes=(probes.answers(UNIT, store.port, _HEALTHY),),
    )
