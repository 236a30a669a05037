# ruff: noqa: INP001 -- a script beside the Nix files that run it, imported by nothing but its test
"""Pins the PyTorch XPU wheels: asks pip what it would install, writes names, URLs and hashes.

pip resolves, because the XPU torch names about twenty Intel runtime wheels by exact version.
The index is an argument: this repository names no package registry.
"""

import argparse
import base64
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Wheel = dict[str, str]
"""One pinned wheel: name, version, file (its name), url, hash (SRI, as Nix's fetchurl takes it)."""


class PinError(Exception):
    """The wheels cannot be pinned; the message says what is wrong and what to do."""


def pip_command(index_url: str, extra_index_urls: Sequence[str], torch: str) -> list[str]:
    """Return the pip command that resolves and prints an installation report.

    The report's format is pip's "Installation Report", version 1 (pip's documentation,
    Reference Guide). --ignore-installed: what happens to be installed must not be left out.
    """
    indexes = [f"--extra-index-url={url}" for url in extra_index_urls]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
        *("--only-binary=:all:", "--report=-", f"--index-url={index_url}", *indexes),
        *(f"torch=={torch}" if torch else "torch", "torchvision", "torchaudio"),
    ]


def normalized(name: str) -> str:
    """Return a distribution's name as PyPA's name normalization compares it."""
    return name.lower().replace("_", "-").replace(".", "-")


def wheel_of(item: dict[str, Any]) -> Wheel:
    """Return the pin of one item of the report's "install" list.

    Raises:
        PinError: the URL carries a password, or the index gives no SHA-256.
    """
    name, version = normalized(item["metadata"]["name"]), item["metadata"]["version"]
    url = item["download_info"]["url"]
    if "@" in urlsplit(url).netloc:
        raise PinError(
            f"{name}: the index URL carries a user or password, which would be written into the pins "
            "and copied to every node. Give it without, and put the login into the machine's netrc file."
        )
    sha256 = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
    if not sha256:
        raise PinError(f"{name} {version}: pip reports no SHA-256. Use an index that gives one for each wheel.")
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    file = unquote(Path(urlsplit(url).path).name)
    return {"name": name, "version": version, "file": file, "url": url, "hash": f"sha256-{digest}"}


def pins(report: dict[str, Any], from_nixpkgs: Sequence[str]) -> list[Wheel]:
    """Return the wheels to pin, in order of name, without those that nixpkgs builds itself.

    Raises:
        PinError: torch is not an XPU build (its local version label is not "xpu"), or as wheel_of.
    """
    wheels = sorted(map(wheel_of, report["install"]), key=lambda wheel: wheel["name"])
    torch = next((wheel["version"] for wheel in wheels if wheel["name"] == "torch"), "none")
    if not torch.endswith("+xpu"):
        raise PinError(
            f"the index gives torch {torch}, which is not an XPU build (those end in +xpu). Give PyTorch's "
            "index for XPU as --index-url; where another index has a higher version, add --torch VERSION+xpu."
        )
    return [wheel for wheel in wheels if wheel["name"] not in from_nixpkgs]


def resolve(command: Sequence[str]) -> dict[str, Any]:
    """Run pip and return its installation report.

    Raises:
        PinError: pip failed; its own words are part of the message.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PinError(f"pip could not resolve the wheels (exit {done.returncode}):\n{done.stderr.strip()}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def python_version() -> str:
    """Return this Python's major and minor version, as Nix's pythonVersion writes it."""
    return ".".join(platform.python_version_tuple()[:2])


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="pin-torch-xpu", description="Pin the PyTorch XPU wheels for comfyui-ipex.")
    parser.add_argument("--index-url", required=True, help="PyTorch's wheel index for XPU, or your mirror of it")
    parser.add_argument("--extra-index-url", action="append", default=[], help="where Intel's runtime wheels are")
    parser.add_argument("--torch", default="", help="torch's version, e.g. one ending in +xpu [the newest]")
    parser.add_argument("--output", type=Path, default=Path("nix/torch-xpu-wheels.json"), help="[%(default)s]")
    parser.add_argument("--from-nixpkgs", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Write the pins; return 0, or 1 with the reason on standard error and the old pins untouched."""
    options = arguments(argv)
    try:
        report = resolve(pip_command(options.index_url, options.extra_index_url, options.torch))
        wheels = pins(report, json.loads(options.from_nixpkgs.read_text()))
        pinned = {"python": python_version(), "wheels": wheels}
        options.output.write_text(json.dumps(pinned, indent=2) + "\n")
    except (PinError, OSError) as error:
        sys.stderr.write(f"pin-torch-xpu: {error}\n")
        return 1
    sys.stdout.write(f"{options.output}: {len(wheels)} wheels for Python {pinned['python']}. Commit it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
