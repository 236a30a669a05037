"""Whether a machine's GPUs can do what its engines need of them: class, driver, render node, kernel, firmware."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ipex_node.fitness.findings import Finding, Level
from ipex_node.fitness.gpus import DRIVERS, GenerationClass
from ipex_node.fitness.machine import Access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.fitness.machine import Card, Machine
    from ipex_node.fitness.needs import Needs, ServiceNeeds

ENGINE_ACCESS = Access(groups=("render", "video"))
"""What an engine's unit may open, where systemd does not know the unit yet: templates/units/engine.service.j2."""

# Linux in which xe shows a discrete GPU's sensors: Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon.
_XE_SENSORS = {"temperature": "6.15", "fan": "6.16"}
_FIRMWARE = "firmware-intel-graphics (Debian, component non-free-firmware) or linux-firmware (Ubuntu)"


def services(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Judge each engine: it has a GPU of a class it runs on, and can open it."""
    if needs.services and not machine.cards:
        yield Finding(Level.REFUSE, "GPU", "has no Intel GPU", "Fit one, or take the node out of gpu_nodes.")
        return
    for service in needs.services:
        accepted = {*service.gpu_classes, GenerationClass.UNKNOWN}
        fit = [card for card in machine.cards if card.model.generation_class in accepted]
        if not fit:
            yield _no_gpu(service, machine)
            continue
        yield from _warned(service, fit)
        yield from _unused(service, fit)
        yield from _obstacles(service, fit, machine, needs)


def unknown(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Name each GPU the table does not have: it is let through, but never silently."""
    for card in machine.cards if needs.services else ():
        if card.model.generation_class == GenerationClass.UNKNOWN:
            yield Finding(
                Level.WARN,
                card.slot,
                f"Intel GPU {card.pci_id} at {card.slot} is not in the table of GPUs",
                "It is let through; add its id with its class to ipex_node/fitness/gpus.toml.",
            )


def kernel(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Judge the kernel by what each GPU that has its driver asks of it."""
    running = _version(machine.kernel)
    for card in machine.cards if needs.services and running != (0, 0) else ():
        floor = card.model.kernel.get(card.driver)
        if floor and running < _version(floor):
            yield Finding(
                Level.WARN,
                card.slot,
                f"runs Linux {machine.kernel}; {card} needs {floor} or newer with {card.driver}",
                "Install a newer kernel (backports, HWE), then reboot.",
            )
        missing = [f"{sensor} ({since})" for sensor, since in _XE_SENSORS.items() if running < _version(since)]
        if card.driver == "xe" and card.model.discrete and missing:
            yield Finding(
                Level.NOTE,
                card.slot,
                f"runs Linux {machine.kernel}; newer ones show more of {card}: {', '.join(missing)}",
                "Install a newer kernel (backports, HWE) where these metrics are wanted.",
            )


def firmware(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Judge the firmware: without its GuC file a GPU's driver runs no work."""
    for card in machine.cards if needs.services and machine.firmware is not None else ():
        wanted = card.model.firmware
        if wanted and wanted not in (machine.firmware or ()):
            yield Finding(
                Level.WARN,
                card.slot,
                f"has no /lib/firmware/{wanted}, which {card} needs",
                f"Install {_FIRMWARE} in a version that has it, then reboot.",
            )


def _no_gpu(service: ServiceNeeds, machine: Machine) -> Finding:
    named = ", ".join(f"{card.model.name} ({card.pci_id}, {card.model.generation_class})" for card in machine.cards)
    return Finding(
        Level.REFUSE,
        service.name,
        f"has no GPU of class {' or '.join(service.gpu_classes)} for {service.name}: {named}",
        f"Fit an Arc GPU, or leave {service.name} out of this node's services.",
    )


def _warned(service: ServiceNeeds, fit: list[Card]) -> Iterator[Finding]:
    """Warn of slow GPUs, unless there is a better one beside them."""
    if all(card.model.generation_class in service.gpu_classes_warned for card in fit):
        for card in fit:
            yield Finding(
                Level.WARN,
                card.slot,
                f"{card} is {card.model.generation_class}, on which {service.name} is slow",
                "An Arc GPU is recommended.",
            )


def _unused(service: ServiceNeeds, fit: list[Card]) -> Iterator[Finding]:
    """Warn where an engine would compute on the processor, without a word of its own.

    Source: Ollama 0.30 and later, discover/runner.go, filterIntegratedGPUs.
    """
    if service.discrete_only and all(card.model.discrete is False for card in fit):
        named = ", ".join(map(str, fit))
        yield Finding(
            Level.WARN,
            service.name,
            f"has integrated GPUs only ({named}), which {service.name} leaves unused: it would use the processor",
            f"Copy the environment of {service.name} into this node's node_overrides, with OLLAMA_IGPU_ENABLE=1.",
        )


def _obstacles(service: ServiceNeeds, fit: list[Card], machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Refuse where every GPU has something in its way, warn where only some have."""
    found = [(card, _obstacle(card, service, machine, needs)) for card in fit]
    level = Level.REFUSE if all(obstacle for _, obstacle in found) else Level.WARN
    for card, obstacle in found:
        if obstacle:
            yield Finding(level, card.slot, *obstacle)


def _obstacle(card: Card, service: ServiceNeeds, machine: Machine, needs: Needs) -> tuple[str, str] | None:
    """Say what keeps a service from a GPU, and the cure; None where nothing does."""
    if not card.driver:
        return f"no kernel driver is bound to {card.model.name} at {card.slot}", _driver_cure(card)
    if card.driver not in DRIVERS:
        return (
            f"{card.model.name} at {card.slot} is bound to {card.driver}, no driver for its engines",
            "Unbind it (driverctl, or the kernel's command line), so that i915 or xe takes it.",
        )
    if not needs.render_nodes:
        return None
    if not card.render:
        return (
            f"{card.driver} shows no render node for {card.model.name} at {card.slot}",
            "Look for why it gave the GPU up: journalctl -k -g 'i915|xe'.",
        )
    node = machine.render_nodes.get(card.render)
    if node is None:
        return (
            f"{needs.render_nodes}/{card.render} of {card.model.name} is not there, though sysfs shows it",
            "Start systemd-udevd; in a container, pass the device in.",
        )
    access = machine.access.get(service.unit, ENGINE_ACCESS)
    return None if access.may_open(node) else (_closed(service, access, str(node)), _closed_cure(access, node.path))


def _driver_cure(card: Card) -> str:
    floors = " or ".join(f"Linux {since} with {driver}" for driver, since in card.model.kernel.items())
    wanted = f"{floors} or newer" if floors else "a kernel with i915 or xe for it"
    return f"Install {wanted} and {_FIRMWARE}, then reboot."


def _closed(service: ServiceNeeds, access: Access, node: str) -> str:
    if not access.devices:
        return f"{service.name}'s unit may not open {node}: PrivateDevices=, DevicePolicy= and DeviceAllow= forbid it"
    who = f"user {access.user}" if access.user else "a dynamic user"
    return f"{service.name} cannot open {node}: it runs as {who} in {', '.join(access.groups) or 'no further group'}"


def _closed_cure(access: Access, path: str) -> str:
    if not access.devices:
        return "Deploy again: the unit's own file allows char-drm rw; a drop-in may take it away."
    return (
        f"Give {path} to the group render with mode 0660 (udev's 50-udev-default.rules does; create the group, then "
        "udevadm trigger --subsystem-match=drm)."
    )


def _version(release: str) -> tuple[int, int]:
    """Return the first two numbers of a kernel's release; zeros for none."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
