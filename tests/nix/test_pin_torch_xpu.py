import base64
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nix import pin_torch_xpu

INDEX = "https://wheels.example/xpu"


def item(name: str, version: str, *, file: str = "", url: str = "", sha256: str = "00" * 32) -> dict[str, Any]:
    """Return one entry of "install" in pip's installation report, version 1."""
    return {
        "metadata": {"name": name, "version": version},
        "download_info": {
            "url": url or f"{INDEX}/{file or name + '.whl'}",
            "archive_info": {"hashes": {"sha256": sha256} if sha256 else {}},
        },
    }


TORCH = item("torch", "2.9.0+xpu", file="torch-2.9.0%2Bxpu-cp313-cp313-linux_x86_64.whl")


def test_a_wheel_keeps_the_file_name_that_its_url_encodes() -> None:
    """The file is named as the wheel is: an installer reads version and tags from that name."""
    assert pin_torch_xpu.wheel_of(TORCH)["file"] == "torch-2.9.0+xpu-cp313-cp313-linux_x86_64.whl"


def test_a_hash_is_written_as_nix_takes_it() -> None:
    """The hexadecimal SHA-256 of pip's report becomes the SRI form of the same bytes."""
    assert pin_torch_xpu.wheel_of(TORCH)["hash"] == f"sha256-{'A' * 43}="


def test_what_nixpkgs_builds_is_not_pinned() -> None:
    """A second numpy beside nixpkgs' own would collide in ComfyUI's environment."""
    report = {"install": [TORCH, item("numpy", "2.3"), item("intel_sycl.rt", "2025.3")]}
    pinned = pin_torch_xpu.pins(report, ["numpy"])
    assert [wheel["name"] for wheel in pinned] == ["intel-sycl-rt", "torch"]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([item("torch", "2.15.0")], "torch 2.15.0, which is not an XPU build"),
        ([item("numpy", "2.3")], "torch none, which is not an XPU build"),
        ([TORCH, item("tbb", "2022.3", sha256="")], "tbb 2022.3: pip reports no SHA-256"),
        ([TORCH, item("tbb", "2022.3", url="https://me:word@wheels.example/tbb.whl")], "user or password"),
    ],
)
def test_a_report_that_must_not_be_pinned_is_refused(items: list[dict[str, Any]], words: str) -> None:
    """A CUDA torch, a wheel without a hash and a URL with a login are named, and nothing is pinned."""
    with pytest.raises(pin_torch_xpu.PinError, match=words):
        pin_torch_xpu.pins({"install": items}, [])


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty wheel index for pip, in a directory; pip knows of no other."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "names.json").write_text('["numpy"]')
    (tmp_path / "pins.json").write_text("old")
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def publish(index: Path, name: str, version: str, requires: str = "") -> str:
    """Put a wheel with nothing but metadata into the index; return its SHA-256 in hexadecimal."""
    stem = f"{name}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    folder = index / name
    folder.mkdir()
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    link = wheel.name.replace("+", "%2B")
    (folder / "index.html").write_text(f'<a href="{link}#sha256={digest}">{wheel.name}</a>')
    return digest


def pin(index: Path) -> int:
    """Run the command on the index, with its output beside it."""
    beside = index.parent
    places = [f"--from-nixpkgs={beside / 'names.json'}", f"--output={beside / 'pins.json'}"]
    return pin_torch_xpu.main([f"--index-url={index.as_uri()}", *places])


def test_a_failed_resolution_leaves_the_old_pins(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An index without torch is an error with pip's own words; the pins stay as they were."""
    status = pin(index)
    assert (status, (index.parent / "pins.json").read_text()) == (1, "old")
    assert "No matching distribution found for torch" in capsys.readouterr().err


def test_the_pins_are_what_pip_would_install(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Real pip resolves a small index: torch and its runtime are pinned with the index's hashes."""
    digest = publish(index, "torch", "2.9.0+xpu", "tbb==2022.3")
    for name, version in (("tbb", "2022.3"), ("torchvision", "0.25.0+xpu"), ("torchaudio", "2.9.0+xpu")):
        publish(index, name, version)
    status = pin(index)
    written = json.loads((index.parent / "pins.json").read_text())
    assert (status, written["python"]) == (0, pin_torch_xpu.python_version())
    assert [wheel["name"] for wheel in written["wheels"]] == ["tbb", "torch", "torchaudio", "torchvision"]
    assert written["wheels"][1] == {
        "name": "torch",
        "version": "2.9.0+xpu",
        "file": "torch-2.9.0+xpu-py3-none-any.whl",
        "url": f"{index.as_uri()}/torch/torch-2.9.0%2Bxpu-py3-none-any.whl",
        "hash": f"sha256-{base64.b64encode(bytes.fromhex(digest)).decode()}",
    }
    assert "4 wheels for Python" in capsys.readouterr().out
