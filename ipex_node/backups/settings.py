"""What the program must know to make backups, written by the deploy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Repository:
    """Where restic keeps what it is given; each node has a repository of its own below it.

    Attributes:
        url: restic's name of the place, without the node.
        options: restic's own options, such as how sftp is begun.
        environment: Variable to the file with its value, for what no command line may show.
        password_file: The file with the password of the repositories.
    """

    url: str
    options: tuple[str, ...]
    environment: Mapping[str, str]
    password_file: str

    def of(self, node: str) -> str:
        """Return restic's name of a node's own repository."""
        return f"{self.url.rstrip('/')}/{node}"


@dataclass(frozen=True)
class Kept:
    """What is kept of one service.

    Attributes:
        name: The service.
        unit: Its systemd unit.
        items: Paths in its state directory that cannot be downloaded again.
        models: The directory of its model store below its state directory; empty where it has none of Ollama's form.
        created: Models that no registry has, as data write them.
        declared: Models that a registry has.
        drain_seconds: Longest wait for what is in flight.
    """

    name: str
    unit: str
    items: tuple[str, ...]
    models: str
    created: tuple[str, ...]
    declared: tuple[str, ...]
    drain_seconds: float


@dataclass(frozen=True)
class Trial:
    """The throw-away engine of a restore test.

    Attributes:
        service: Whose data it is given.
        unit: Its systemd unit, which nothing starts but the test.
        state: Its state directory, below that of all such units.
        port: Where it listens on loopback.
        model: What it generates with.
        seconds: Longest wait for its token.
    """

    service: str
    unit: str
    state: str
    port: int
    model: str
    seconds: float


@dataclass(frozen=True)
class Backup:
    """How a node is kept.

    Attributes:
        node: The node.
        place: Where snapshots of models lie, and what is on its way to the repository.
        repository: Where irreplaceable data go; none where nothing leaves the node.
        keep: `daily`, `weekly` and `monthly`: how many of each stay.
        verify_days: Within so many days each kept byte is read again and compared.
        wait_seconds: Longest wait for somebody else who changes the node.
        free_share: Share of the disk that must stay free.
        services: What is kept of each.
        trial: The throw-away engine; none where no engine of the node can be tried.
    """

    node: str
    place: Path
    repository: Repository | None
    keep: Mapping[str, int]
    verify_days: int
    wait_seconds: float
    free_share: float
    services: tuple[Kept, ...]
    trial: Trial | None

    def service(self, name: str) -> Kept | None:
        """Return what is kept of a service."""
        return next((one for one in self.services if one.name == name), None)


def read(raw: dict[str, Any]) -> Backup:
    """Return the settings that the deploy has written.

    Raises:
        KeyError, TypeError, ValueError: They are not of its making.
    """
    return Backup(
        node=raw["node"],
        place=Path(raw["place"]),
        repository=_repository(raw["repository"]) if raw["repository"] else None,
        keep={name: int(number) for name, number in raw["keep"].items()},
        verify_days=int(raw["verify_days"]),
        wait_seconds=float(raw["wait_seconds"]),
        free_share=float(raw["free_share"]),
        services=tuple(map(_kept, raw["services"])),
        trial=Trial(**raw["trial"]) if raw["trial"] else None,
    )


def _repository(raw: dict[str, Any]) -> Repository:
    return Repository(raw["url"], tuple(raw["options"]), dict(raw["environment"]), raw["password_file"])


def _kept(raw: dict[str, Any]) -> Kept:
    lists = {name: tuple(raw[name]) for name in ("items", "created", "declared")}
    return Kept(raw["name"], raw["unit"], models=raw["models"], drain_seconds=float(raw["drain_seconds"]), **lists)
