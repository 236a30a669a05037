"""Where things are on the node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    def boot_id(self) -> Path:
        """The kernel's name of this boot."""
        return self.on_node("/proc/sys/kernel/random/boot_id")

    @property
    def connections(self) -> Path:
        """The kernel's tables of connections, tcp and tcp6; below /proc/self, a sandbox shows them too."""
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

    @property
    def kept_drain(self) -> Path:
        """A copy of an operator's drain that survives a reboot."""
        return self.state / "drain"

    @property
    def activating(self) -> Path:
        """Present while serving units change."""
        return self.run / "activating"

    @property
    def drain(self) -> Path:
        """Present while the node is kept out of rotation on purpose."""
        return self.run / "drain"
