"""How the data of GPU nodes are kept, where to, and when it is proved that they can be given back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["local", "sftp", "rest", "s3"]

_CALENDAR = r"[A-Za-z0-9 ,*:/.~-]+"
_PATH = r"(/[A-Za-z0-9_.-]+)+"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+"
_NEEDS: dict[Kind, tuple[str, ...]] = {
    "local": ("path",),
    "sftp": ("host", "user", "path"),
    "rest": ("url",),
    "s3": ("url",),
}
_FORMS = {
    "path": (_PATH, "/srv/backup"),
    "host": (_HOST, "backup.example.com"),
    "user": (r"[a-z_][a-z0-9_-]*", "ipex-backup"),
    "url": (r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_./-]*)?", "https://backup.example.com/ipex"),
}


@dataclass(frozen=True)
class Keep:
    """How many snapshots stay: the newest of so many days, weeks and months."""

    daily: int
    weekly: int
    monthly: int


@dataclass(frozen=True)
class Backup:
    """How a GPU node's data are kept; times in systemd's own spelling.

    Attributes:
        calendar: when a backup is made (systemd.time(7), OnCalendar=).
        verify_calendar: when a part of what is kept is read again.
        restore_test_calendar: when a restore is tried.
        spread: how far the nodes are spread behind each (RandomizedDelaySec=).
        keep: how many stay.
        verify_days: within so many nights each kept byte is read again.
        wait_seconds: longest wait for a change of the node that goes on.
        free_share: share of the disk that a backup leaves free.
        test_port: where the throw-away engine of a restore test listens, on loopback.
        test_seconds: how long it has for a token: without the GPU.
    """

    calendar: str
    verify_calendar: str
    restore_test_calendar: str
    spread: str
    keep: Keep
    verify_days: int
    wait_seconds: int
    free_share: float
    test_port: int
    test_seconds: int


@dataclass(frozen=True)
class BackupRepository:
    """Where restic keeps what cannot be downloaded again; passwords and keys are secrets (docs/operate/backups.md).

    Attributes:
        kind: how it is reached.
        path: the directory, of kinds local and sftp; each node has one of its own below it.
        host, user, port: the machine, of kind sftp.
        url: restic's REST server, or an S3 bucket.
    """

    kind: Kind
    path: str = ""
    host: str = ""
    user: str = ""
    port: int = 22
    url: str = ""

    @property
    def location(self) -> str:
        """Restic's name of it (its manual, "Preparing a new repository")."""
        if self.kind == "local":
            return self.path
        if self.kind == "sftp":
            host = f"[{self.host}]" if ":" in self.host else self.host
            return f"sftp://{self.user}@{host}:{self.port}/{self.path}"
        return f"{self.kind}:{self.url}"

    @property
    def is_remote(self) -> bool:
        """Whether a network leads there."""
        return self.kind != "local"


def nonsense(backup: Backup) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    keep = backup.keep
    for fits, name, cure in (
        (re.fullmatch(_CALENDAR, backup.calendar), "calendar", "Write it like 02:00."),
        (re.fullmatch(_CALENDAR, backup.verify_calendar), "verify_calendar", "Write it like 04:30."),
        (re.fullmatch(_CALENDAR, backup.restore_test_calendar), "restore_test_calendar", "Write it like *-*-01 05:00."),
        (re.fullmatch(r"[0-9]+(s|min|h|d)", backup.spread), "spread", "Write it like 1h."),
        (min(keep.daily, keep.weekly, keep.monthly) >= 0, "keep", "Write 0 or more of each."),
        (keep.daily >= 1, "keep", "Keep at least 1 of the last days."),
        (1 <= backup.verify_days <= 90, "verify_days", "Write 1 to 90: rot is found within so many days."),
        (backup.wait_seconds >= 0, "wait_seconds", "Write 0 or more."),
        (0 <= backup.free_share < 1, "free_share", "Write a share from 0 up to 1, like 0.1."),
        (backup.test_seconds >= 1, "test_seconds", "Write 1 or more."),
    ):
        if not fits:
            yield f"backup.{name} is {getattr(backup, name)!r}", cure


def repository_nonsense(repository: BackupRepository) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for name, (form, example) in _FORMS.items():
        where, value = f"backup_repository.{name}", str(getattr(repository, name))
        if name not in _NEEDS[repository.kind]:
            if value:
                yield f"{where} is {value!r}", f"Leave it out: kind {repository.kind} has none."
        elif not re.fullmatch(form, value):
            yield f"{where} is {value!r}", f"Write it like {example}."
    if not 0 < repository.port < 65536:
        yield f"backup_repository.port is {repository.port}", "Write a number from 1 to 65535."


def items_nonsense(items: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What of the paths in a service's state directory cannot be meant."""
    for item in items:
        parts = item.split("/")
        if not item or any(part in {"", ".", ".."} for part in parts):
            yield f"backup holds {item!r}", "Write a path below the state directory, like models/loras."
        beside = [other for other in items if item.startswith(f"{other}/") or items.count(item) > 1]
        if beside:
            yield f"backup holds {item!r}, which {beside[0]!r} holds already", "Name each once."
