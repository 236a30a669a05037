"""nginx in front of the GPU nodes."""

from fleet.desired import probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Gateway

UNIT = "nginx.service"


def part(gateway: Gateway, fleet: Fleet) -> Part:
    """What makes a node a gateway."""
    services = fleet.services()
    unit = File(f"/etc/systemd/system/{UNIT}", render("units/nginx.service.j2", gateway=gateway))
    configuration = (
        File("/etc/nginx/nginx.conf", render("nginx/nginx.conf.j2", gateway=gateway)),
        File(
            "/etc/nginx/ipex/upstreams.conf",
            render(
                "nginx/upstreams.conf.j2",
                nodes=fleet.with_role("gpu_nodes"),
                services=[(service, fleet.backends(service.name)) for service in services],
            ),
        ),
        File(
            "/etc/nginx/ipex/server.conf",
            render("nginx/server.conf.j2", gateway=gateway, services=services, environment=fleet.environment),
        ),
    )
    return Part(
        packages=("nginx",),
        files=(unit, *configuration),
        units=(Unit(UNIT, inputs=(unit.path, *(file.path for file in configuration)), on_change="reload"),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),
            # Asked as root, nginx hands its temporary directories to the user it is told here.
            ("nginx", "-t", "-q", "-g", "user www-data;", "-c", "{root}/etc/nginx/nginx.conf"),
        ),
        probes=(probes.answers(UNIT, gateway.port, "/"),),
    )
