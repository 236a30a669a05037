"""The lab's nodes come from a pyinfra inventory file."""

from pathlib import Path

import pytest

from fleet import load as fleet_load
from lab.roster import FLOATING_ADDRESS, Node, load
from lab.state import LabError


def inventory(folder: Path, text: str) -> Path:
    """Write an inventory file."""
    path = folder / "inventory.py"
    path.write_text(text)
    return path


def test_a_node_in_two_groups_has_both_roles(tmp_path: Path) -> None:
    """One machine may be gateway and monitor at once."""
    entry = '[("both", {"ssh_hostname": "198.18.0.9", "ssh_user": "operator"})]'
    path = inventory(tmp_path, f"gateways = {entry}\nmonitors = {entry}\n")
    assert load(path) == (Node("both", "198.18.0.9", ("gateways", "monitors"), "operator"),)


@pytest.mark.parametrize("address", ["", "gpu-01", "192.0.2.7", "198.18.0.1"])
def test_an_address_outside_the_lab_is_refused(tmp_path: Path, address: str) -> None:
    """The lab must never give a node an address of somebody's real network, nor its own."""
    path = inventory(tmp_path, f'gpu_nodes = [("gpu-01", {{"ssh_hostname": "{address}"}})]')
    with pytest.raises(LabError, match=r"gpu-01 has ssh_hostname .*198\.18\.0\.0/24"):
        load(path)


def test_two_nodes_with_one_address_are_refused(tmp_path: Path) -> None:
    """The second of them would answer for the first."""
    data = '{"ssh_hostname": "198.18.0.9"}'
    path = inventory(tmp_path, f'gpu_nodes = [("a", {data}), ("b", {data})]')
    with pytest.raises(LabError, match=r"a and b both have 198\.18\.0\.9"):
        load(path)


def test_a_missing_inventory_is_named(tmp_path: Path) -> None:
    """The person must learn which file is missing."""
    with pytest.raises(LabError, match=r"absent\.py is no file"):
        load(tmp_path / "absent.py")


def test_the_certificate_names_the_address_that_data_let_float() -> None:
    """The lab makes its certificate before anybody has read the fleet's data."""
    fleet = fleet_load.from_file("inventory/lab.py")

    assert {node.floating.address for node in fleet.nodes if node.floating} == {FLOATING_ADDRESS}
