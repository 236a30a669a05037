"""The gateway's bench, on a gateway node: `unshare --mount --net python3 bench_gateway_node.py` in its folder.

In network and mount namespaces of its own stand three servers and a crowd: an engine that answers at once (nginx with
fixed words, at the addresses of the fleet's nodes), nginx with a bare `proxy_pass`, and nginx with the fleet's own
configuration, unchanged. What is deployed on the node goes on beside them and is not touched. Prints a row of JSON for
each time that wrk has run. Standard library only.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NGINX = Path("/etc/nginx")
TICK = os.sysconf("SC_CLK_TCK")
BARE = {"bare": 8441, "bare, connections kept": 8442}
"""Each opponent's port."""

_WORDS = 32
_SESSION = "0f8fad5b-d9cb-469f-a165-70867728950e"
_ENGINE = """worker_processes 1;
error_log {home}/engine.err;
pid {home}/engine.pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    server {{
        {listen}
        {locations}
    }}
}}
"""
_BARE = """worker_processes auto;
error_log {home}/{port}.err;
pid {home}/{port}.pid;
events {{ worker_connections 4096; }}
http {{
    access_log /var/log/nginx/{port}.log;
    include ipex/tls.conf;
    upstream ollama {{ {ollama} {kept} }}
    upstream comfyui {{ {comfyui} {kept} }}
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name {name};
        {reuse}
        location /ollama/ {{ proxy_pass http://ollama/; }}
        location /comfyui/ {{ proxy_pass http://comfyui/; }}
    }}
}}
"""


def main() -> int:
    """Set all up, measure, print."""
    settings = json.loads((HERE / "settings.json").read_text())
    home = Path("/run/ipex-bench")
    home.mkdir(exist_ok=True)
    _network(settings)
    _folders(home)
    with ExitStack() as running:
        running.enter_context(_nginx(home / "engine.conf", _engine(home, settings), home / "engine.pid"))
        for kind, port in BARE.items():
            conf = NGINX / f"{port}.conf"
            running.enter_context(_nginx(conf, _bare(home, settings, port, kept="kept" in kind), home / f"{port}.pid"))
        _users(home, settings)
        _throughput(home, settings)
    return 0


def _users(home: Path, settings: dict[str, Any]) -> None:
    """Let users wait between their requests, under the limits that the fleet declares."""
    with _gateway(home, settings["limits"]["declared"]):
        for users in settings["users"]:
            for _ in range(settings["rounds"]):
                for kind, url in _targets(settings).items():
                    if kind in settings["asked_by_users"]:
                        _wrk(home, kind, url, users, settings["seconds"], settings["think_ms"])


def _throughput(home: Path, settings: dict[str, Any]) -> None:
    """Ask as fast as answers come, under limits that nobody reaches: they are counted all the same."""
    with _gateway(home, settings["limits"]["open"]):
        for _ in range(settings["rounds"]):
            for kind, url in _targets(settings).items():
                _wrk(home, kind, url, settings["connections"], settings["seconds"] / 2, 0)


def _targets(settings: dict[str, Any]) -> dict[str, str]:
    engine = f"http://{next(iter(settings['nodes']))}:{settings['ports']['ollama']}"
    bare = {kind: f"https://{settings['name']}:{port}" for kind, port in BARE.items()}
    return {"engine": engine, **bare, "gateway": f"https://{settings['name']}:{settings['port']}"}


def _wrk(  # noqa: PLR0913, PLR0917 - one line of wrk
    home: Path, kind: str, url: str, connections: int, seconds: float, think_ms: int
) -> None:
    """Run it once, and print a row."""
    pids = {"engine": home / "engine.pid", "gateway": home / "gateway.pid"}
    server = pids.get(kind) or home / f"{BARE[kind]}.pid"
    routed = "0" if kind == "engine" else "1"
    command = [
        *("wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "10s"),
        *("-s", str(HERE / "bench_gateway.lua"), url, "--", str(home / "keys"), routed, str(think_ms)),
    ]
    before = _processor_seconds(server)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = _processor_seconds(server) - before
    row = json.loads(said.partition("REPORT ")[2].partition("\n")[0])
    row["cpu_us"] = round(spent * 1e6 / max(1, row["requests"]), 1)
    wanted = {"kind": kind, "connections": connections, "think_ms": think_ms}
    print(json.dumps({**wanted, **row, "example": said.partition("EXAMPLE ")[2].strip()}), flush=True)


def _processor_seconds(pid_file: Path) -> float:
    """Processor time of an nginx, its workers and its master together."""
    master, ticks = pid_file.read_text().strip(), 0
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except (OSError, NotADirectoryError):
            continue
        if master in {folder.name, fields[1]}:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def _network(settings: dict[str, Any]) -> None:
    """Let this network be as a gateway's, for all opponents alike: its kernel's settings, its nodes' addresses."""
    _run("mount", "--bind", "/proc/sys/net", "/proc/sys/net")
    _run("mount", "-o", "remount,rw,bind", "/proc/sys/net")
    _run("/usr/lib/systemd/systemd-sysctl", str(HERE / settings["kernel"]))
    _run("ip", "link", "set", "lo", "up")
    for address in settings["nodes"]:
        _run("ip", "address", "add", f"{address}/32", "dev", "lo")


def _folders(home: Path) -> None:
    """Lay the bench's own folders over those that the configurations name."""
    hosts = home / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {json.loads((HERE / 'settings.json').read_text())['name']}\n")
    _run("mount", "--bind", str(hosts), "/etc/hosts")
    own = home / "nginx"
    shutil.copytree(NGINX, own, dirs_exist_ok=True)
    _run("mount", "--bind", str(own), str(NGINX))
    for folder in ("/var/log/nginx", "/var/lib/ipex-gateway"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", folder)
    shutil.copy(HERE / "keys", home / "keys")


@contextmanager
def _gateway(home: Path, tree: str) -> Iterator[None]:
    """The fleet's configuration, as it was rendered."""
    shutil.copytree(HERE / tree, "/", dirs_exist_ok=True)
    with _nginx(NGINX / "nginx.conf", None, home / "gateway.pid", f"pid {home / 'gateway.pid'};"):
        yield


@contextmanager
def _nginx(configuration: Path, text: str | None, pid_file: Path, more: str = "") -> Iterator[None]:
    if text is not None:
        configuration.write_text(text)
    _run("nginx", "-q", "-c", str(configuration), "-g", f"user www-data; {more}")
    try:
        yield
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        while pid_file.exists():
            time.sleep(0.02)


def _engine(home: Path, settings: dict[str, Any]) -> str:
    listen = " ".join(
        f"listen {address}:{port};" for address in settings["nodes"] for port in settings["ports"].values()
    )
    locations = "\n        ".join(
        f"location = {path} {{ default_type {kind}; return 200 '{body}'; }}" for path, kind, body in _answers()
    )
    return _ENGINE.format(home=home, listen=listen, locations=locations)


def _answers() -> Iterator[tuple[str, str, str]]:
    """Path, media type and body, of the length that engines' answers have."""
    token = {"model": "tinyllama", "created_at": "2026-01-01T00:00:00Z", "response": "word ", "done": False}
    delta = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "w"}}],
    }
    line, event = _text(token) + "\n", f"data: {_text(delta)}\n\n"
    models = [{"name": f"model{number}", "size": 1, "digest": "a" * 64} for number in range(8)]
    yield "/api/generate", "application/json", _text({"response": "word " * _WORDS, "done": True, "end": True})
    yield "/api/chat", "application/x-ndjson", line * _WORDS + _text({"done": True, "end": True}) + "\n"
    yield "/v1/chat/completions", "text/event-stream", event * _WORDS + "data: [DONE]\n\n"
    yield "/api/tags", "application/json", _text({"models": models, "end": True})
    yield "/api/prompt", "application/json", _text({"prompt_id": _SESSION, "number": 1, "node_errors": {}, "end": True})
    yield f"/api/history/{_SESSION}", "application/json", _text({_SESSION: {"prompt": "x" * 900}, "end": True})


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _bare(home: Path, settings: dict[str, Any], port: int, *, kept: bool) -> str:
    ports = settings["ports"]
    servers = {
        name: " ".join(f"server {address}:{ports[name]};" for address in settings["nodes"])
        for name in ("ollama", "comfyui")
    }
    reuse = 'proxy_http_version 1.1; proxy_set_header Connection "";' if kept else ""
    return _BARE.format(
        home=home, port=port, name=settings["name"], kept="keepalive 64;" if kept else "", reuse=reuse, **servers
    )


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
