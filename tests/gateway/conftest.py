"""A gateway that the tests of a session share."""

from collections.abc import Iterator

import pytest

from fleet.model import Fleet
from lab import machine
from tests.gateway import site
from tests.gateway.site import Site


@pytest.fixture(scope="session")
def nginx(lab_machine: None) -> None:  # noqa: ARG001 - asked first
    """This machine can run the reference system's nginx."""
    machine.install_packages()


@pytest.fixture(scope="session")
def gateway(example: Fleet, nginx: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:  # noqa: ARG001
    """A gateway before all engines of the example fleet, with the example's limits."""
    with site.running(example, tmp_path_factory.mktemp("gateway")) as found:
        yield found
