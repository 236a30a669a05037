"""Where things are on the node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SELDOM = {"cleanup", "optimizer"}
"""Sources of metrics that run less often than a machine may boot."""


@dataclass(frozen=True)
class Paths:
    """The node's places, under a root that a test may move.

    Attributes:
        root: The root of the node's file system.
    """

    root: Path = Path("/")

    def on_node(self, absolute: str) -> Path:
        """Return the place of an absolute path of the manifest."""
        return self.root / absolute.lstrip("/")

    @property
    def settings(self) -> Path:
        """The settings the deploy writes."""
        return self.on_node("/etc/ipex/node.json")

    @property
    def state(self) -> Path:
        """What survives a reboot."""
        return self.on_node("/var/lib/ipex")

    @property
    def generations(self) -> Path:
        """One directory per staged generation."""
        return self.state / "generations"

    @property
    def current(self) -> Path:
        """A link to the active generation."""
        return self.state / "current"

    @property
    def previous(self) -> Path:
        """A link to the generation before it."""
        return self.state / "previous"

    @property
    def verified(self) -> Path:
        """The text recorded by the last successful verify."""
        return self.state / "verified"

    @property
    def transaction(self) -> Path:
        """What a running transaction has replaced, kept for its way back."""
        return self.state / "transaction"

    @property
    def journal(self) -> Path:
        """Each step of the last transaction, one JSON object per line, written before the step."""
        return self.state / "journal.json"

    @property
    def recovery_program(self) -> Path:
        """A copy of the program that began the last transaction: the one that knows how to end it."""
        return self.state / "recovery-program"

    @property
    def quarantine(self) -> Path:
        """Generations that failed on this node, with the reason."""
        return self.state / "quarantine.json"

    @property
    def backups(self) -> Path:
        """What has become of each backup, one file each; its time is the seal's word that one of them has changed."""
        return self.state / "backups"

    @property
    def boot_id(self) -> Path:
        """The kernel's name of this boot."""
        return self.on_node("/proc/sys/kernel/random/boot_id")

    @property
    def connections(self) -> Path:
        """The kernel's tables of connections and addresses; below /proc/self, a sandbox shows them too."""
        return self.on_node("/proc/self/net")

    @property
    def lock(self) -> Path:
        """Held by whoever changes the node."""
        return self.state / "lock"

    @property
    def run(self) -> Path:
        """What does not survive a reboot."""
        return self.on_node("/run/ipex")

    @property
    def seal(self) -> Path:
        """A script that repeats the last status while nothing has changed since."""
        return self.on_node("/run/ipex-seal")

    def samples(self, source: str) -> Path:
        """What a unit that measures has left for the agent; the unit's own directory carries the source's name.

        What measures all the time does so anew after a reboot; what runs once a week leaves its numbers where they
        survive one.
        """
        return self.on_node(f"{'/var/lib' if source in SELDOM else '/run'}/ipex-{source}/samples.json")

    @property
    def pinned(self) -> Path:
        """One link per generation that an operator wants kept."""
        return self.state / "pinned"

    @property
    def profiles(self) -> Path:
        """The Nix profiles of this project, each with its numbered links."""
        return self.on_node("/nix/var/nix/profiles/ipex")

    @property
    def private(self) -> Path:
        """State directories of units with users of their own (systemd.exec(5), DynamicUser=)."""
        return self.on_node("/var/lib/private")

    @property
    def models(self) -> Path:
        """What is fetched of models before it is whole; on the disk of the engines' state directories."""
        return self.on_node("/var/lib/ipex-models")

    @property
    def locked_models(self) -> Path:
        """Which digest of each model this node is meant to have."""
        return self.models / "locked.json"

    @property
    def models_order(self) -> Path:
        """The last order of models that was given to this node: what the lock says of it."""
        return self.models / "order.json"

    @property
    def health(self) -> Path:
        """What the health monitor says and asks for."""
        return self.on_node("/run/ipex-health")

    @property
    def verdict(self) -> Path:
        """What the health monitor holds against this node."""
        return self.health / "verdict.json"

    @property
    def health_memory(self) -> Path:
        """What the health monitor remembers across reboots."""
        return self.on_node("/var/lib/ipex-health/memory.json")

    @property
    def running_units(self) -> Path:
        """One link per unit that runs, `invocation:UNIT`, with the name of this very start as its target.

        systemd keeps them for its journal (src/core/unit.c, unit_export_invocation_id; removed in unit_notify).
        """
        return self.on_node("/run/systemd/units")

    @property
    def render_nodes(self) -> Path:
        """The devices of GPUs."""
        return self.on_node("/dev/dri")

    @property
    def kept_drain(self) -> Path:
        """A copy of an operator's drain that survives a reboot."""
        return self.state / "drain"

    @property
    def reboot(self) -> Path:
        """Present from the moment a reboot is begun until the node has come back from it."""
        return self.state / "reboot.json"

    @property
    def rebooted(self) -> Path:
        """How the last reboot has ended."""
        return self.state / "rebooted.json"

    @property
    def reboot_required(self) -> Path:
        """What a package leaves that wants a reboot."""
        return self.on_node("/run/reboot-required")

    @property
    def kernel_release(self) -> Path:
        """The kernel that runs."""
        return self.on_node("/proc/sys/kernel/osrelease")

    @property
    def boot(self) -> Path:
        """The kernels that are installed."""
        return self.on_node("/boot")

    @property
    def firewall_trial(self) -> Path:
        """What is known of rules on trial, while they are."""
        return self.run / "firewall-trial.json"

    @property
    def firewall_taken_back(self) -> Path:
        """The last trial, where nobody has confirmed its rules."""
        return self.run / "firewall-taken-back.json"

    @property
    def firewall_confirmed(self) -> Path:
        """Digest of the rules that a new connection has come through since the machine booted."""
        return self.run / "firewall-confirmed"

    @property
    def update(self) -> Path:
        """What is remembered of publications, and of the last attempt to take one."""
        return self.state / "update.json"

    @property
    def turns(self) -> Path:
        """On the first monitor: who updates itself, and who has."""
        return self.state / "update-turns.json"

    @property
    def activating(self) -> Path:
        """Present while serving units change."""
        return self.run / "activating"

    @property
    def drain(self) -> Path:
        """Present while the node is kept out of rotation on purpose."""
        return self.run / "drain"
