"""The program as one file that replaces itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import ipex_node

SOURCES = Path(ipex_node.__file__).parent


def test_activation_needs_no_module_it_has_not_loaded(tmp_path: Path) -> None:
    """The program replaces its own archive while it runs; what it imports later would come from the new one."""
    program = tmp_path / "ipex-node"
    with zipfile.ZipFile(program, "w") as archive:
        for source in SOURCES.rglob("*.py"):
            archive.write(source, Path("ipex_node") / source.relative_to(SOURCES))
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "import ipex_node.activation\n"
        "open(sys.argv[1], 'wb').write(b'another program')\n"
        "from ipex_node import engines; from ipex_node.client import Client\n"
        "client = Client('http://127.0.0.1:1', time.monotonic() + 1)\n"
        "for ask in (lambda: client.get('/'), lambda: client.websocket('/ws')):\n"
        "    try: ask()\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, str(program)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["FailedError", "FailedError"], done.stderr
