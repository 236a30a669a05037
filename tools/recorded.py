"""Rewrite tests/recorded, the metrics page of every kind of hardware: `python -m tools.recorded`."""

import shutil
import sys
import tempfile
from pathlib import Path

from fleet.metrics import METRICS
from ipex_node import exposition
from ipex_node.gpu.sampler import Sampler
from ipex_node.samples import Sample
from lab import hardware
from lab.hardware_drm import Kernel

RECORDED = Path(__file__).parents[1] / "tests" / "recorded"
ROWS = {metric.name: {"kind": metric.kind, "help": metric.help} for metric in METRICS}
SECONDS = 15
"""Between the two looks of a page."""


def samples(kind: str, root: Path) -> list[Sample]:
    """Look twice at a machine whose engines work meanwhile, and return what the second look finds."""
    hardware.write(root, kind)
    kernel = Kernel(kind)
    devices = root / "dri"
    devices.mkdir()
    for name in kernel.render_nodes:
        (devices / name).touch()
    times = iter((0.0, 1.0, 1.0 + SECONDS))
    sampler = Sampler(root / "sysfs", root / "proc", devices, lambda: next(times), kernel.ioctl)
    sampler.sample()
    hardware.write(root, kind, SECONDS)
    return sampler.sample()


def page(kind: str, accept: str = "") -> str:
    """Return the metrics page of one kind of hardware."""
    with tempfile.TemporaryDirectory() as root:
        return exposition.text(samples(kind, Path(root)), ROWS, exposition.content_type(accept))


def main() -> int:
    """Write the folder anew."""
    shutil.rmtree(RECORDED, ignore_errors=True)
    RECORDED.mkdir()
    for kind in hardware.KINDS:
        (RECORDED / f"{kind}.prom").write_text(page(kind))
    print(f"Wrote {RECORDED}: read the diff, it is what the metrics say of each machine.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
