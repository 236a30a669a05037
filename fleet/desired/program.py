"""The program that runs on the box, as one executable file."""

import io
import zipfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "ipex_node"
PATH = "/usr/local/bin/ipex-node"

_SHEBANG = b"#!/usr/bin/python3 -I\n"
_MAIN = "import sys\n\nfrom ipex_node.__main__ import main\n\nsys.exit(main(sys.argv[1:]))\n"


@cache
def ipex_node() -> bytes:
    """The zipapp of ipex_node/, the same bytes on every controller.

    Stored and not compressed: zlib's output differs between versions, and a generation is named by its bytes.
    """
    buffer = io.BytesIO(_SHEBANG)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), _MAIN)
        for source in sorted(path for kind in ("*.py", "*.toml") for path in SOURCE.rglob(kind)):
            name = str(Path("ipex_node") / source.relative_to(SOURCE))
            archive.writestr(zipfile.ZipInfo(name), source.read_bytes())
    return buffer.getvalue()
