"""What a judgement says: one thing, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What becomes of a machine of which this is found."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was found of a machine.

    Attributes:
        level: Whether it is refused, let through with a warning, or only worth knowing.
        what: What it concerns: memory, a GPU's slot, a unit.
        why: What was seen, with the numbers; a sentence whose subject is the node.
        cure: What to do about it, as an imperative sentence.
    """

    level: Level
    what: str
    why: str
    cure: str

    def as_json(self) -> dict[str, str]:
        """Return it as it stands in a command's answer."""
        return {"what": self.what, "why": self.why, "cure": self.cure}
