"""What nginx writes of its users' requests, who may read it, and until when."""

from fleet.access import OWN
from fleet.desired.render import render
from fleet.generation import File
from fleet.model import Fleet, Gateway

DIRECTORY = "/var/log/nginx"
ACCESS = f"{DIRECTORY}/access.log"
ERRORS = f"{DIRECTORY}/error.log"
# Calls that the log names, behind the route's path. Sources: Ollama's server/routes.go, ComfyUI's server.py.
_CALLS = {
    "ollama": (
        *(f"api/{call}" for call in ("generate", "chat", "embed", "embeddings", "tags", "show", "ps", "version")),
        *(f"v1/{call}" for call in ("chat/completions", "completions", "embeddings", "models")),
    ),
    "comfyui": ("prompt", "queue", "history", "ws", "view", "upload/image", "upload/mask", "object_info"),
}


def log_format(gateway: Gateway, fleet: Fleet) -> File:
    """What is written of a request."""
    content = render(
        "nginx/log.conf.j2",
        services=fleet.services(),
        calls={service.engine: _CALLS.get(service.engine, ()) for service in fleet.services()},
        own_client=OWN,
        log=gateway.log,
        access_log=ACCESS,
    )
    return File("/etc/nginx/ipex/log.conf", content)


def keeping(gateway: Gateway, unit: str) -> tuple[File, ...]:
    """Who may read the logs, and until when.

    Args:
        gateway: how many days.
        unit: nginx', which is told to open them anew.
    """
    kept = {ACCESS: gateway.log.days, ERRORS: gateway.log.error_days}
    # As Debian's package has them: nginx writes into both, and makes no other file beside them.
    owned = [f"d {DIRECTORY} 0755 root adm -", *(f"f {path} 0640 www-data adm -" for path in kept)]
    return (
        File("/etc/tmpfiles.d/ipex-gateway-log.conf", ("\n".join(owned) + "\n").encode()),
        File("/etc/logrotate.d/nginx", render("logrotate/nginx.j2", kept=kept, unit=unit)),
    )


def fleets_own(fleet: Fleet) -> tuple[str, ...]:
    """Where the fleet's own client asks from: the error log of nginx knows an address and no client."""
    return ("127.0.0.1", "::1", *fleet.addresses("monitors"))
