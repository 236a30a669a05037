"""Grafana on the monitors: data source, dashboards, and, where data say so, Grafana itself."""

from fleet import dashboards, monitoring
from fleet.desired import probes
from fleet.desired.render import render
from fleet.flake import profile_of
from fleet.generation import File, Part, Unit, secret
from fleet.grafana import UNIT, Grafana
from fleet.machine import Prometheus
from fleet.model import Fleet, Node

DASHBOARDS = "/etc/grafana/dashboards"

_UNIT_FILE = f"/etc/systemd/system/{UNIT}"
_SETTINGS = "/etc/grafana/grafana.ini"
_SOURCE = "/etc/grafana/provisioning/datasources/ipex-fleet.yml"
_PROVIDER = "/etc/grafana/provisioning/dashboards/ipex-fleet.yml"
_ADMIN_PASSWORD = "/etc/ipex/secrets/grafana/admin_password"  # noqa: S105 - where it is


def part(node: Node, grafana: Grafana, prometheus: Prometheus, fleet: Fleet) -> Part:
    """What a monitor shows; absent, it is written all the same, and the next deploy that installs Grafana finds it."""
    provisioned = (
        File(_SETTINGS, render("grafana/grafana.ini.j2", grafana=grafana, unit=UNIT, address=_address(fleet))),
        File(_SOURCE, render("grafana/datasource.yml.j2", uid=dashboards.DATA_SOURCE, prometheus=prometheus)),
        File(_PROVIDER, render("grafana/dashboards.yml.j2", folder=DASHBOARDS)),
    )
    boards = tuple(File(f"{DASHBOARDS}/{name}", content) for name, content in dashboards.files(fleet).items())
    if not grafana.listens:
        return Part(files=(*provisioned, *boards))
    admitted = (*fleet.addresses("gateways"), *grafana.admitted)
    unit = File(
        _UNIT_FILE,
        render(
            f"units/{UNIT}.j2",
            grafana=grafana,
            admitted=admitted,
            admin_password=_ADMIN_PASSWORD,
            **_places(grafana),
        ),
    )
    # Read by root when Grafana starts. No input of the unit: Grafana takes it for its first start alone.
    password = secret(_ADMIN_PASSWORD, fleet.secrets.get("grafana.admin_password"))
    inputs = (unit.path, *(file.path for file in provisioned))
    from_flake = grafana.installed == "flake"
    profile = profile_of(grafana.package)
    return Part(
        packages=() if from_flake else ("grafana",),
        files=(unit, password, *provisioned, *boards),
        closures={profile: node.flake.output(grafana.package)} if from_flake else {},
        # Dashboards are no inputs: Grafana looks for them by itself.
        units=(Unit(UNIT, inputs=(*inputs, profile) if from_flake else inputs),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),),
        probes=(probes.answers(UNIT, grafana.port, "/api/health"),),
    )


def _address(fleet: Fleet) -> str:
    gateway = next(node.gateway for node in fleet.nodes if node.gateway)
    return gateway.address + monitoring.GRAFANA


def _places(grafana: Grafana) -> dict[str, str]:
    """Where Grafana lies: below a Nix profile as nixpkgs builds it, or as Grafana's own package puts it."""
    if grafana.installed == "flake":
        return {
            "home": profile_of(grafana.package),
            "program": "bin/grafana",
            "share": "/share/grafana",
            "exec_paths": "/nix/store",
        }
    return {"home": "/usr/share/grafana", "program": "bin/grafana", "share": "", "exec_paths": "/usr /bin /lib /lib64"}
