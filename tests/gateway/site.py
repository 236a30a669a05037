"""A gateway in front of engines on this machine's loopback addresses: real nginx, the project's own configuration.

nginx is the reference system's, run from a layer over the lab's tree in a mount namespace of its own, as its unit runs
it: as www-data. The engines are the lab's, and write down what reaches them.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet import desired
from fleet.desired import program
from fleet.model import Fleet, Gateway, Node
from ipex_node.gateway import upstreams
from lab import mirror, tree
from tests.gateway import arrivals, local_fleet, proofs
from tests.gateway.arrivals import Arrival
from tests.gateway.proofs import Proofs

NAME = "ai-services.local"
ADDRESS = "127.0.0.1"
OUTSIDE = "127.0.0.99"
"""Where clients come from: not the address that the gateway takes for itself."""
LOG = "var/log/nginx/access.log"
ERRORS = "var/log/nginx/error.log"

_PROGRAM = Path(__file__).with_name("recording_engine.py")
_WWW_DATA = 33
_RUN = r"""
set -eu
lower=$1 home=$2
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$home/upper,workdir=$home/work" "$home/root"
mount --rbind /dev "$home/root/dev"
exec chroot --userspec=33:33 "$home/root" nginx -g "daemon off; pid /run/nginx/nginx.pid;"
"""


@dataclass
class Site:
    """A running gateway and its engines."""

    fleet: Fleet
    directory: Path
    proofs: Proofs
    nginx: subprocess.Popen[bytes]
    engines: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Where it listens without TLS."""
        return _gateway(self.fleet).port

    @property
    def tls_port(self) -> int:
        """Where it listens for TLS."""
        return _gateway(self.fleet).tls.port

    @property
    def origin(self) -> str:
        """Its own pages' Origin."""
        return _gateway(self.fleet).address

    def arrived(self) -> list[Arrival]:
        """Everything that has reached an engine or a monitor since `forget`, engine by engine."""
        return [one for record in sorted(self.directory.glob("records/*.json")) for one in arrivals.read(record)]

    def forget(self) -> None:
        """Begin the record anew; connections must be closed by then, for half of a request is none."""
        for record in self.directory.glob("records/*.json"):
            os.truncate(record, 0)

    def logged(self) -> str:
        """What has been logged of requests since the last call.

        nginx keeps lines for a second, so the log is taken from it as logrotate does it: it writes what it has, and
        lets go of the old file.
        """
        log = self.file(LOG)
        taken = log.with_suffix(".taken")
        log.rename(taken)
        log.touch()
        os.chown(log, _WWW_DATA, _WWW_DATA)
        inode = taken.stat().st_ino
        self.nginx.send_signal(signal.SIGUSR1)
        until(lambda: not any(_holds(pid, inode) for pid in (self.nginx.pid, *self.workers())), "nginx keeps its log")
        return taken.read_text()

    def await_logged(self, count: int) -> str:
        """The log's next lines, when there are so many."""
        lines: list[str] = []

        def come() -> bool:
            lines.extend(self.logged().splitlines())
            return len(lines) >= count

        until(come, "not all is logged")
        assert len(lines) == count, lines
        return "\n".join(lines)

    def file(self, path: str) -> Path:
        """A file as nginx sees it."""
        return Path(f"/proc/{self.nginx.pid}/root") / path

    def treat(self, **treatments: str) -> None:
        """Have nodes drained or taken out, as `ipex-node gateway` does it; names with _ for their dashes.

        Args:
            **treatments: node to `draining` or `out`; those that are not named are in.
        """
        files = {file.path: file.content for file in desired.generation(_gateway_node(self.fleet), self.fleet).files}
        wanted = {name.replace("_", "-"): treatment for name, treatment in treatments.items()}
        text = upstreams.live(
            files["/etc/nginx/ipex/upstreams.conf"].decode(),
            {service.name: wanted for service in self.fleet.services()},  # type: ignore[misc]
        )
        self.file("var/lib/ipex-gateway/upstreams.conf").write_text(text)
        self.reload(upstreams.version(text))

    def deploy(self, fleet: Fleet) -> None:
        """Bring another fleet's data to the gateway, as a deploy does: files, then a reload."""
        self.fleet = fleet
        _write(Path(f"/proc/{self.nginx.pid}/root"), fleet)
        self._reload(lambda: True)

    def reload(self, version: str) -> None:
        """Reload, and wait until new workers answer with these upstreams."""
        self._reload(lambda: self._version() == version)

    def workers(self) -> set[int]:
        """The pids of nginx' workers."""
        children = Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    def kill(self, engine: str) -> None:
        """End an engine as a power cut would."""
        self.engines[engine].kill()
        self.engines[engine].wait()

    def start(self, engine: str) -> None:
        """Start an engine, and wait until it listens."""
        name, _, service = engine.partition(".")
        node = self.fleet[name]
        self.engines[engine] = _engine(self.directory, node, service)

    def stop(self) -> None:
        """End the engines."""
        for process in self.engines.values():
            _end(process)

    def _version(self) -> str:
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, self.port), 2) as line:
            line.sendall(f"GET /ipex-upstreams HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: line.recv(4096), b"")).rpartition(b"\r\n\r\n")[2].decode()
        return ""

    def _reload(self, answers: Callable[[], object]) -> None:
        """Until the old workers take no connection any more: one that they still took could be closed unanswered."""
        before = self.workers()
        self.nginx.send_signal(signal.SIGHUP)
        until(lambda: self._shutting_down(before) and answers(), "nginx does not reload")

    def _shutting_down(self, pids: set[int]) -> bool:
        """Whether every one of these workers takes no more connections."""
        with contextlib.suppress(OSError):
            return all(b"shutting down" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids & self.workers())
        return False


@contextlib.contextmanager
def running(example: Fleet, directory: Path, **limits: Any) -> Iterator[Site]:
    """Run a gateway and its engines until the end of the block.

    Args:
        example: the fleet whose data are taken.
        directory: where its files and records are kept.
        **limits: fields of Limits that are to be others.
    """
    held = proofs.made(NAME, directory)
    fleet = local_fleet.placed(example, held, limits)
    for name in ("upper", "work", "root", "records"):
        (directory / name).mkdir()
    _write(directory / "upper", fleet)
    with contextlib.ExitStack() as stack:
        command = ["unshare", "-m", "sh", "-c", _RUN, "sh", _lower(), str(directory)]
        with (directory / "nginx.txt").open("wb") as said:
            nginx = subprocess.Popen(command, stdout=said, stderr=said)
        stack.callback(_end, nginx)
        site = Site(fleet, directory, held, nginx)
        stack.callback(site.stop)
        for node in fleet.nodes:
            for service in (*(one.name for one in node.services), *_monitors(node)):
                site.start(f"{node.name}.{service}")
        until(lambda: site._version() == upstreams.DECLARED, (directory / "nginx.txt").read_text)
        yield site


def until(condition: Callable[[], object], complaint: str | Callable[[], str], seconds: float = 20.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint if isinstance(complaint, str) else complaint()
        time.sleep(0.01)


def _holds(pid: int, inode: int) -> bool:
    """Whether a process has a file open; one that is gone has none."""
    with contextlib.suppress(OSError):
        return any(file.stat().st_ino == inode for file in Path(f"/proc/{pid}/fd").iterdir() if file.exists())
    return False


def _lower() -> str:
    base = tree.build()
    return f"{mirror.install(base) / 'upper'}:{base}"


def _gateway_node(fleet: Fleet) -> Node:
    return fleet.with_role("gateways")[0]


def _gateway(fleet: Fleet) -> Gateway:
    found = _gateway_node(fleet).gateway
    assert found
    return found


def _monitors(node: Node) -> tuple[str, ...]:
    return ("prometheus", "grafana") if node.prometheus else ()


def _write(root: Path, fleet: Fleet) -> None:
    """What nginx needs of the gateway's generation, with the owners it declares."""
    for file in desired.generation(_gateway_node(fleet), fleet).files:
        if file.path == program.PATH:
            continue
        path = root / file.path[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(int(file.mode, 8))
        os.chown(path, _id(file.owner), _id(file.group))
    for name in ("run/nginx", "var/lib/nginx", "var/log/nginx", "var/lib/ipex-gateway", "run/ipex-gateway"):
        (root / name).mkdir(parents=True, exist_ok=True)
        os.chown(root / name, _WWW_DATA, _WWW_DATA)
    (root / "run/ipex-gateway/fleet.json").write_text('{"fleet": "live"}')


def _id(name: str) -> int:
    return _WWW_DATA if name == "www-data" else 0


def _engine(directory: Path, node: Node, service: str) -> subprocess.Popen[bytes]:
    home = directory / f"{node.name}.{service}"
    home.mkdir(exist_ok=True)
    found = node.service(service)
    port = found.port if found else getattr(node, service).port
    arguments = {
        "ollama": ["ollama", "serve"],
        "comfyui": [
            *("comfyui", "--listen", node.address, "--port", str(port)),
            *("--base-directory", str(home), "--max-upload-size", "101"),
        ],
    }.get(service, ["monitor", node.at(port)])
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "IPEX_LAB_FAULTS": str(home),
        "OLLAMA_HOST": node.at(port),
        "OLLAMA_LAB_LOAD_SECONDS": "0",
        "OLLAMA_LAB_TOKEN_SECONDS": "0.01",
        "OLLAMA_NUM_PARALLEL": "200",
    }
    record = directory / "records" / f"{node.name}.{service}.json"
    command = [sys.executable, "-IB", str(_PROGRAM), str(record), *arguments]
    with (home / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    until(lambda: process.poll() is not None or _listens(node.address, port), f"{home.name} does not listen")
    assert process.poll() is None, (home / "said.txt").read_text()
    return process


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
