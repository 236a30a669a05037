"""The engines of a GPU node: closures, hardened units, drivers, proofs of work."""

from collections.abc import Iterator

from fleet import engine_options
from fleet.desired import probes
from fleet.desired.render import render
from fleet.flake import profile_of
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Node, Service


def part(node: Node, fleet: Fleet) -> Part:
    """What makes a node a GPU node."""
    drivers = profile_of(node.drivers) if node.drivers else None
    closures = {service.profile: node.flake.output(service.package) for service in node.services}
    if node.drivers and drivers:
        closures[drivers] = node.flake.output(node.drivers)
    units = [_unit_file(service, node, fleet) for service in node.services]
    return Part(
        files=(*units, *_driver_files(drivers, node.paths.render_node)),
        closures=closures,
        units=tuple(
            Unit(service.unit, inputs=(file.path, service.profile, *([drivers] if drivers else [])))
            for service, file in zip(node.services, units, strict=True)
        ),
        validators=tuple(("systemd-analyze", "verify", "--man=no", f"{{root}}{file.path}") for file in units),
        probes=tuple(probes.works(service) for service in node.services),
    )


def _unit_file(service: Service, node: Node, fleet: Fleet) -> File:
    options = engine_options.of(service.name, service.engine, service.memory_max, node.optimizer)
    content = render(
        "units/engine.service.j2",
        service=service,
        command=" ".join((service.command, *options.flags)),
        environment=options.environment | dict(service.environment),
        exec_paths=(*service.exec_paths, *options.exec_paths),
        options=options,
        addresses=(*fleet.addresses("gateways", "monitors"), *service.egress),
        render_node=_device_unit(node.paths.render_node) if node.paths.render_node else None,
    )
    return File(f"/etc/systemd/system/{service.unit}", content)


def _device_unit(device: str) -> str:
    """The name of a device's unit, as systemd-escape(1) --path makes it for names without special characters."""
    return f"{device.strip('/').replace('-', chr(92) + 'x2d').replace('/', '-')}.device"


def _driver_files(drivers: str | None, render_node: str | None) -> Iterator[File]:
    if drivers:
        # Where Nix-built programs look for Vulkan and Level Zero drivers, as on NixOS.
        link = f"L+ /run/opengl-driver - - - - {drivers}\n"
        yield File("/etc/tmpfiles.d/ipex-drivers.conf", link.encode())
    if render_node:
        # Without the tag systemd has no .device unit to wait for: Debian's rules tag no DRM device.
        rule = 'SUBSYSTEM=="drm", KERNEL=="renderD*", TAG+="systemd"\n'
        yield File("/etc/udev/rules.d/70-ipex-render.rules", rule.encode())
