"""Whether a machine is fit for what it is declared to do. One judgement, the deploy's and the doctor's.

Pure. What is seen of the machine comes from facts/node_state.py or inspection.py; what is needed of it is declared
data, on the box in /etc/ipex/node.json. Reading RULES at the end is reading the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipex_node.fitness import gpu
from ipex_node.fitness.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipex_node.fitness.machine import Machine
    from ipex_node.fitness.needs import Needs

GB = 10**9
GIB = 2**30

STATE = "/var/lib"
STORE = "/nix"

# A machine sold with 16 GB reports less: firmware, the kernel and the GPU's stolen memory are gone from MemTotal.
_RESERVED_SHARE = 0.07


def judge(machine: Machine, needs: Needs) -> tuple[Finding, ...]:
    """Say everything that is found of a machine, each thing once, in the order of the rules."""
    return tuple(dict.fromkeys(finding for rule in RULES for finding in rule(machine, needs)))


def memory(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Warn of little memory: the brief's own check, by memory as it is sold."""
    wanted = needs.memory_gb * GB if needs.services else 0
    if 0 < machine.memory_bytes < wanted * (1 - _RESERVED_SHARE):
        yield Finding(
            Level.WARN,
            "memory",
            f"has {machine.memory_bytes / GB:.1f} GB of memory, less than {needs.memory_gb:g} GB",
            "Performance may be limited; fit more memory or lower services' memory_max.",
        )


def _distribution(machine: Machine, needs: Needs) -> Iterator[Finding]:
    if needs.distributions and machine.distribution not in needs.distributions:
        yield Finding(
            Level.REFUSE,
            "distribution",
            f"runs {machine.distribution or 'an unnamed distribution'}",
            f"Use one of {', '.join(needs.distributions)}, or add it to requirements.distributions once it is tested.",
        )


def _limits(machine: Machine, needs: Needs) -> Iterator[Finding]:
    total = sum(service.memory_max_bytes for service in needs.services)
    # Compared as sizes are sold: 8G and 16G of limits fit a machine sold with 24 GiB.
    if machine.memory_bytes and total * (1 - _RESERVED_SHARE) > machine.memory_bytes:
        parts = " + ".join(f"{service.name} {service.memory_max_bytes / GIB:.0f}" for service in needs.services)
        yield Finding(
            Level.REFUSE,
            "memory",
            f"services may use {total / GIB:.0f} GiB ({parts}), the node has {machine.memory_bytes / GIB:.1f} GiB",
            "Lower memory_max in node_overrides or service_overrides, or take a service away.",
        )


def _disk(machine: Machine, needs: Needs) -> Iterator[Finding]:
    wanted, free = sum(service.disk_gb for service in needs.services), machine.free_bytes.get(STATE)
    if free is not None and free < wanted * GB:
        yield Finding(
            Level.WARN,
            STATE,
            f"has {free / GB:.1f} GB free for {STATE}, its services want {wanted:g} GB for models and outputs",
            "Free some space (ipex-node cleanup --dry), add a disk, or lower the services' disk_gb.",
        )


def _store(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """Warn where the next closures would not fit beside the ones there are.

    What the closures take now says better what the next ones will than the estimate in the data.
    """
    declared, free = sum(service.closure_gb for service in needs.services), machine.free_bytes.get(STORE)
    wanted = machine.closure_bytes / GB or declared
    if free is not None and free < wanted * GB:
        yield Finding(
            Level.WARN,
            STORE,
            f"has {free / GB:.1f} GB free for {STORE}, new closures of its services take up to {wanted:.1f} GB",
            "Free some space (ipex-node cleanup --dry), or give /nix a disk of its own.",
        )


def _cgroup(machine: Machine, needs: Needs) -> Iterator[Finding]:  # noqa: ARG001 - every unit has limits
    """Judge the control groups by what of the units' limits they keep (systemd.resource-control(5))."""
    cure = "Boot with systemd.unified_cgroup_hierarchy=1, the default of every supported distribution."
    if machine.cgroup == "hybrid":
        why = "has control groups of both versions: MemorySwapMax= does not hold, all other limits do"
        yield Finding(Level.WARN, "cgroup", why, cure)
    elif machine.cgroup == "legacy":
        why = "has control groups of version 1 only: units' IPAddressDeny= and SocketBindDeny= do not hold"
        yield Finding(Level.REFUSE, "cgroup", why, cure)


def _clock(machine: Machine, needs: Needs) -> Iterator[Finding]:  # noqa: ARG001 - every node keeps time
    if machine.clock == "adrift":
        yield Finding(
            Level.WARN,
            "clock",
            "has a clock that nothing keeps in time: TLS, the rollout lock and metrics rest on it",
            "Install systemd-timesyncd or chrony, or let it reach its time server.",
        )


RULES: tuple[Callable[[Machine, Needs], Iterator[Finding]], ...] = (
    _distribution,
    gpu.services,
    gpu.unknown,
    gpu.kernel,
    gpu.firmware,
    _limits,
    memory,
    _disk,
    _store,
    _cgroup,
    _clock,
)
