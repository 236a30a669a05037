"""What asks for a reboot is found in plain files, and nothing that is as it should be is."""

from pathlib import Path

import pytest

from ipex_node import marker
from ipex_node.patching.needs import reboot_reasons
from ipex_node.paths import Paths


def _boots(root: Path, running: str, *installed: str) -> Paths:
    paths = Paths(root)
    paths.kernel_release.parent.mkdir(parents=True)
    paths.kernel_release.write_text(f"{running}\n")
    paths.boot.mkdir()
    for release in installed:
        (paths.boot / f"vmlinuz-{release}").touch()
    return paths


@pytest.mark.parametrize(
    ("running", "installed", "needed"),
    [
        ("6.12.9+deb13-amd64", ["6.12.9+deb13-amd64"], False),
        ("6.12.9+deb13-amd64", ["6.12.9+deb13-amd64", "6.12.10+deb13-amd64"], True),
        ("6.12.10+deb13-amd64", ["6.12.9+deb13-amd64"], False),
        ("6.8.0-60-generic", ["6.8.0-60-generic", "6.8.0-100-generic"], True),
        ("6.12.9+deb13-amd64", ["6.12.10+deb13-cloud", "6.12.10+deb13-rt"], False),
        ("6.12.9+deb13-amd64", [], False),
    ],
)
def test_a_newer_kernel_of_the_same_flavour_asks_for_a_reboot(
    tmp_path: Path, running: str, installed: list[str], needed: bool
) -> None:
    """Numbers are compared as numbers; a node without kernels of its own needs none."""
    assert bool(reboot_reasons(_boots(tmp_path, running, *installed))) is needed


def test_packages_that_ask_for_a_reboot_are_named_once(tmp_path: Path) -> None:
    """Debian adds a package's name each time it is upgraded."""
    paths = _boots(tmp_path, "6.12.9+deb13-amd64")
    paths.reboot_required.parent.mkdir(exist_ok=True)
    paths.reboot_required.touch()
    assert reboot_reasons(paths) == ["a package asks for it"]
    paths.reboot_required.with_name("reboot-required.pkgs").write_text("linux-base\ndbus\nlinux-base\n")
    assert reboot_reasons(paths) == ["packages ask for it: dbus, linux-base"]


def test_a_reboots_wish_survives_it_and_no_transaction_takes_it_back(tmp_path: Path) -> None:
    """After the boot the node is out of rotation until its services are proved; an operator's wish stays for good."""
    paths = Paths(tmp_path)
    marker.put_drain(paths, "new kernel", marker.REBOOT)
    paths.drain.unlink()  # the boot
    marker.remember_drain(paths)
    marker.put_drain(paths, "generation", marker.by_activation("0123456789abcdef"))
    assert not marker.clear_transactions(paths)
    left = marker.drain(paths)
    assert left is not None
    assert left.by == marker.REBOOT
    marker.put_drain(paths, "new fan", marker.OPERATOR)
    marker.put_drain(paths, "new kernel", marker.REBOOT)
    kept = marker.drain(paths)
    assert kept is not None
    assert kept.by == marker.OPERATOR
