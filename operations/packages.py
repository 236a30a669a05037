"""Debian packages."""

from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.operations import apt

from fleet.generation import File
from fleet.plan import Work


def present(work: Work) -> None:
    """Install what the node's generation needs and its question found missing."""
    if work.missing:
        # An empty file masks a unit that a package brings, and that nobody wants there.
        masked = tuple(file.path.rpartition("/")[2] for file in work.generation.files if _masks(file))
        daemons = (*(unit.name for unit in work.generation.units), *masked)
        _installed(name="Install Debian packages", packages=work.missing, daemons=daemons)


def _masks(file: File) -> bool:
    return file.path.startswith("/etc/systemd/system/") and not file.content


@operation()
def _installed(packages: tuple[str, ...], daemons: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    # Debian starts a daemon as soon as it is unpacked, with a configuration that is not ours and on ports that
    # may be taken. Masked meanwhile, it stays down until its activation.
    yield StringCommand("systemctl", "mask", "--runtime", "--quiet", *daemons)
    yield from apt.packages._inner(packages=list(packages), update=True, no_recommends=True)  # noqa: SLF001 - how an operation runs inside another
    yield StringCommand("systemctl", "unmask", "--runtime", "--quiet", *daemons)
