"""`python -m lab`: the lab's command line."""

import argparse
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from lab import keys, load, machine, nodes
from lab.state import CACHE, LabError, NodeRecord


def main(arguments: list[str] | None = None) -> int:
    """Run one command, and return the exit status: 0 done, 1 not, 2 wrong arguments."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `lab nodes | head` ends quietly
    os.umask(0o022)  # nodes' files must be readable in the node whatever the caller's habit is
    try:
        return int(options.command(options))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="A fleet of real nodes on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="boot every node of an inventory that does not run yet")
    up.add_argument("--inventory", type=Path, default=Path("inventory/lab.py"), help="default: %(default)s")
    up.set_defaults(command=_up)
    down = commands.add_parser("down", help="stop all nodes and remove every trace, except downloads")
    down.add_argument("nodes", nargs="*", metavar="NODE", help="take only these down, with their disks")
    down.add_argument("--cache", action="store_true", help=f"remove the downloads in {CACHE} too")
    down.set_defaults(command=_down)
    listing = commands.add_parser("nodes", help="list the nodes and how to reach them")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(command=_nodes)
    ssh = commands.add_parser("ssh", help="log in to a node as root, or run a command there")
    ssh.add_argument("node")
    ssh.add_argument("remote", nargs=argparse.REMAINDER, metavar="COMMAND")
    ssh.set_defaults(command=_ssh)
    load.options(commands.add_parser("load", help="send a crowd of users through a gateway, and count what they lose"))
    check = commands.add_parser("check", help="say whether this machine can run the lab")
    check.set_defaults(command=_check)
    return parser


def _up(options: argparse.Namespace) -> int:
    begun = time.monotonic()

    def announce(line: str) -> None:
        print(f"[{time.monotonic() - begun:6.1f} s] {line}", flush=True)

    fleet = nodes.up(options.inventory, announce)
    announce(f"the lab is up: {len(fleet)} nodes")
    return 0


def _down(options: argparse.Namespace) -> int:
    _need_root()
    if options.nodes:
        nodes.remove(options.nodes)
        print(f"Gone: {', '.join(options.nodes)}.")
        return 0
    nodes.down(cache=options.cache)
    if CACHE.exists():
        print(f"The lab is gone; downloads stay in {CACHE} (`python -m lab down --cache` removes them).")
    else:
        print("The lab is gone, and nothing of it stays.")
    return 0


def _nodes(options: argparse.Namespace) -> int:
    rows = [_row(name, record) for name, record in nodes.recorded().items()]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    for name, record in nodes.recorded().items():
        condition = "running" if record.running() else "off"
        print(f"{name:<12} {record.address:<14} {condition:<8} {' '.join(record.roles)}")
    if not rows:
        print("The lab has no nodes; boot them with `python -m lab up`.")
    return 0


def _row(name: str, record: NodeRecord) -> dict[str, object]:
    return {
        "name": name,
        "address": record.address,
        "roles": record.roles,
        "running": record.running(),
        "pid": record.process.pid if record.process is not None and record.running() else None,
        "deploy_user": record.ssh_user,
        "ssh": {
            "user": "root",
            "port": 22,
            "key": str(keys.KEY),
            "known_hosts": str(keys.KNOWN_HOSTS),
            "command": shlex.join(keys.ssh_command(record.address)),
        },
    }


def _ssh(options: argparse.Namespace) -> int:
    command = [*keys.ssh_command(nodes.find(options.node).address), *options.remote]
    os.execvp(command[0], command)  # noqa: S606  # becomes ssh: signals and the terminal are its own


def _check(_options: argparse.Namespace) -> int:
    if obstacle := machine.obstacle():
        print(f"This machine cannot run the lab: {obstacle}; `make show` prints what would land on each node.")
        return 1
    print("This machine can run the lab.")
    return 0


def _need_root() -> None:
    if os.geteuid() != 0:
        raise LabError("this needs root (try sudo)")


if __name__ == "__main__":
    sys.exit(main())
