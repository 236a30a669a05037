"""The repository's own flake, evaluated and checked by real Nix against the stub of nixpkgs."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

pytestmark = pytest.mark.lab

REPOSITORY = Path(__file__).parents[2]
REMOTE = "/tmp/ipex-flake-check"  # noqa: S108 -- on a lab node, which has no other user
STUB = "tests/nix/nixpkgs-stub"
WHEELS = "nix/torch-xpu-wheels.json"


class NixNode(Protocol):
    """A machine with real Nix: a lab node, or the developer's own."""

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command and return its status and output."""
        ...

    def push(self, local_dir: Path, remote_dir: str) -> None:
        """Copy a directory there."""
        ...


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the flake's files and its stub, to be changed by a test."""
    root = tmp_path / "flake"
    for name in ("nix", STUB):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("flake.nix", "flake.lock"):
        shutil.copy2(REPOSITORY / name, root / name)
    return root


def replace(file: Path, old: str, new: str) -> None:
    """Replace text that must be in the file."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def pin_wheels(checkout: Path, python: str = "3.13") -> None:
    """Write pins as pin-torch-xpu does; the stub does not download what they name."""
    names = ("torch", "torchvision", "torchaudio", "intel-sycl-rt")
    wheels = [
        {"name": name, "version": "2.9.0+xpu", "file": f"{name}-2.9.0+xpu-py3-none-any.whl"}
        | {"url": f"https://wheels.example/{name}.whl", "hash": f"sha256-{'A' * 43}="}
        for name in names
    ]
    (checkout / WHEELS).write_text(json.dumps({"python": python, "wheels": wheels}))


def nix(node: NixNode, checkout: Path, verb: str, output: str = "") -> subprocess.CompletedProcess[str]:
    """Copy the checkout to the node and run one of Nix's flake commands on it, without a network."""
    node.run(f"rm -rf {REMOTE}")
    node.push(checkout, REMOTE)
    stub = f"--override-input nixpkgs path:{REMOTE}/{STUB}"
    return node.run(
        # A node takes what the depot's has built, and builds nothing by itself; here it is to build.
        "nix --extra-experimental-features 'nix-command flakes' --option substituters '' --option max-jobs auto "
        f"{verb} --offline --print-build-logs {stub} path:{REMOTE}{output}"
    )


def test_the_flake_passes_its_checks_as_it_is_committed(nix_node: NixNode, checkout: Path) -> None:
    """Every output evaluates and every check builds, before any wheel is pinned."""
    done = nix(nix_node, checkout, "flake check")
    assert done.returncode == 0, done.stderr


def test_comfyui_without_pinned_wheels_says_what_to_do(nix_node: NixNode, checkout: Path) -> None:
    """The build fails with the command that pins, and never becomes a ComfyUI on the processor."""
    done = nix(nix_node, checkout, "build --no-link", "#comfyui-ipex")
    assert done.returncode != 0
    assert "nix run .#pin-torch-xpu" in done.stderr


def test_wheels_for_another_python_are_refused(nix_node: NixNode, checkout: Path) -> None:
    """After a nixpkgs update with a newer Python the message names both versions."""
    pin_wheels(checkout, python="3.12")
    done = nix(nix_node, checkout, "build --no-link", "#comfyui-ipex")
    assert done.returncode != 0
    assert "pins wheels for Python 3.12, this nixpkgs has Python 3.13" in done.stderr


def test_pinned_wheels_reach_comfyui(nix_node: NixNode, checkout: Path) -> None:
    """The XPU torch survives the overrides that nixpkgs' comfyui makes itself."""
    pin_wheels(checkout)
    done = nix(nix_node, checkout, "build --no-link", "#checks.x86_64-linux.contract-comfyui-ipex")
    assert done.returncode == 0, done.stderr


def test_a_comfyui_without_the_xpu_torch_fails_the_checks(nix_node: NixNode, checkout: Path) -> None:
    """The contract's check sees a ComfyUI that would compute on the processor."""
    pin_wheels(checkout)
    replace(checkout / "nix/comfyui-ipex.nix", "{ python3 = pythonWithXpu; }", "{ inherit python3; }")
    done = nix(nix_node, checkout, "flake check")
    assert done.returncode != 0
    assert "does not use the torch-xpu" in done.stderr


def test_drivers_without_level_zero_fail_the_checks(nix_node: NixNode, checkout: Path) -> None:
    """The contract's check names the file that PyTorch would miss."""
    replace(checkout / "nix/gpu-drivers.nix", "    intel-compute-runtime.drivers", "    # without")
    done = nix(nix_node, checkout, "flake check")
    assert done.returncode != 0
    assert "gpu-drivers has no lib/libze_intel_gpu.so.1" in done.stderr


def test_a_script_that_the_shell_cannot_parse_fails_the_checks(nix_node: NixNode, checkout: Path) -> None:
    """The stub does not run wrapProgram, but a broken wrapper script does not pass it."""
    replace(checkout / "nix/ollama-ipex.nix", "    wrapProgram", "    if wrapProgram")
    done = nix(nix_node, checkout, "flake check")
    assert done.returncode != 0
    assert "syntax error" in done.stderr
