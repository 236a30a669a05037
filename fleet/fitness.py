"""Whether a machine is fit for what it is declared to do: what is refused, what is only warned about."""

from collections.abc import Iterator

from fleet import gpus
from fleet.checks import bytes_of
from fleet.model import Node
from fleet.observed import Observed
from fleet.problems import Problem

GIB = 2**30

# A machine sold with 16 GB reports less: firmware, the kernel and the GPU's stolen memory are gone from MemTotal.
_RESERVED_SHARE = 0.07


def problems(node: Node, observed: Observed) -> Iterator[Problem]:
    """What keeps this machine from being a node of the fleet."""
    if not observed.distribution:
        yield Problem(
            node.name,
            "did not answer the question every node is asked",
            "The reason stands above; a user who is not root needs `_sudo` and a sudo that asks for no password.",
        )
        return
    supported = node.requirements.distributions
    if observed.distribution not in supported:
        yield Problem(
            node.name,
            f"runs {observed.distribution}",
            f"Use one of {', '.join(supported)}, or add it to requirements.distributions once it is tested.",
        )
    if node.is_gpu:
        yield from _gpu_problems(node, observed)
        yield from _memory_problems(node, observed)


def warnings(node: Node, observed: Observed) -> Iterator[Problem]:
    """What its operator should know of this machine."""
    if not node.is_gpu:
        return
    wanted = node.requirements.memory_gb * 10**9
    if 0 < observed.memory_bytes < wanted * (1 - _RESERVED_SHARE):
        yield Problem(
            node.name,
            f"has {observed.memory_bytes / 10**9:.1f} GB of memory, less than {node.requirements.memory_gb} GB",
            "Performance may be limited; fit more memory or lower services' memory_max.",
        )
    for found in observed.gpus:
        gpu = gpus.lookup(found.pci_id)
        if gpu.generation_class in node.requirements.gpu_classes_warned:
            yield Problem(
                node.name, f"{gpu.name} ({found.pci_id}) is {gpu.generation_class}", "An Arc GPU is recommended."
            )
        if gpu.generation_class == "unknown":
            yield Problem(
                node.name,
                f"Intel GPU {found.pci_id} is not in fleet/gpus.toml",
                "It is let through; add its id with its class.",
            )


def _gpu_problems(node: Node, observed: Observed) -> Iterator[Problem]:
    if not observed.gpus:
        yield Problem(node.name, "has no Intel GPU", "Fit one, or take the node out of gpu_nodes.")
        return
    accepted = {*node.requirements.gpu_classes, "unknown"}
    known = [(found, gpus.lookup(found.pci_id)) for found in observed.gpus]
    fit = [(found, gpu) for found, gpu in known if gpu.generation_class in accepted]
    if not fit:
        named = ", ".join(f"{gpu.name} ({found.pci_id}, {gpu.generation_class})" for found, gpu in known)
        yield Problem(
            node.name,
            f"has no GPU of class {' or '.join(node.requirements.gpu_classes)}: {named}",
            "Fit an Arc GPU, or take the node out of gpu_nodes.",
        )
    for found, gpu in fit:
        if not found.driver:
            yield Problem(
                node.name,
                f"no kernel driver is bound to {gpu.name} at {found.slot}",
                "Install a kernel with i915 or xe for it and the firmware-intel-graphics package, then reboot.",
            )


def _memory_problems(node: Node, observed: Observed) -> Iterator[Problem]:
    limits = {service.name: bytes_of(service.memory_max) or 0 for service in node.services}
    total = sum(limits.values())
    # Compared as sizes are sold: 8G and 16G of limits fit a machine sold with 24 GiB.
    if observed.memory_bytes and total * (1 - _RESERVED_SHARE) > observed.memory_bytes:
        parts = " + ".join(f"{name} {limit / GIB:.0f}" for name, limit in limits.items())
        yield Problem(
            node.name,
            f"services may use {total / GIB:.0f} GiB ({parts}), the node has {observed.memory_bytes / GIB:.1f} GiB",
            "Lower memory_max in node_overrides or service_overrides, or take a service away.",
        )
