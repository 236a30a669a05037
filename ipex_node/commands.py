"""The commands of `ipex-node` and their words. Each imports what it needs, and nothing of the others."""

# ruff: noqa: PLC0415 - lazily, see above

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node.depot import words as depot
from ipex_node.models import words as models
from ipex_node.optimizer import words as optimizer
from ipex_node.patching import words as patching
from ipex_node.update import words as update

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipex_node.world import World

    Answer = tuple[int, dict[str, Any]]
    Command = Callable[[World, argparse.Namespace], Answer]
    Add = Callable[[str, Command, str], argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line; its answer's `run` is the command."""
    words = argparse.ArgumentParser(
        prog="ipex-node",
        description="Brings this node to a generation and answers for it. Prints one JSON object with `ok` and "
        "`failures`; exit status 0 done, 1 failed or rolled back, 2 could not roll back.",
    )
    commands = words.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Command, about: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=about)
        one.set_defaults(run=run)
        return one

    from ipex_node.backups import words as backups

    _changing(command)
    _answering(command)
    backups.add(command)
    _rollout_words(command)
    patching.add(command)
    optimizer.add(command)
    models.add(command)
    depot.add(command)
    update.add(command)
    return words


def _judged(answer: dict[str, Any]) -> Answer:
    return (0 if answer["ok"] else 1), answer


def _status(world: World, options: argparse.Namespace) -> Answer:
    if options.leave:
        from ipex_node.node_state import leave

        return _judged(leave(world))
    from ipex_node.seal import sealed_status

    return _judged(sealed_status(world))


def _stage(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.staging import stage

    return _judged(stage(world, options.directory))


def _activate(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.activation import activate

    return activate(world, options.id, force=options.force)


def _rollback(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.activation import rollback

    return rollback(world, options.id, force=options.force)


def _recover(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.backups import restore
    from ipex_node.marker import remember_drain
    from ipex_node.recovery import recover

    if options.boot:
        remember_drain(world.paths)
    if restore.journal(world.paths).exists():
        restore.put_back(world, wait=not options.boot)
    return recover(world, at_boot=options.boot)


def _drain(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.rotation import drain

    return _judged(drain(world, options.reason, wait=options.wait == "yes", force=options.force))


def _undrain(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.rotation import undrain

    return _judged(undrain(world))


def _agent(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.agent import serve

    return _judged(serve(world))


def _gpu(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.gpu.sampler import serve

    return _judged(serve(world))


def _traffic(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.traffic.run import serve

    return _judged(serve(world))


def _firewall(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node import firewall

    if options.action == "confirm":
        return _judged(firewall.confirm(world))
    return _judged(firewall.attempt(world, options.id, options.seconds or firewall.SECONDS))


def _gateway(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.gateway.follow import serve

    return _judged(serve(world))


def _health(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.health.run import check

    return _judged(check(world))


def _doctor(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.fitness.doctor import doctor

    return _judged(doctor(world, table=not options.json))


def _memory_check(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.fitness.doctor import memory_check

    return _judged(memory_check(world))


def _probe(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.probing import probe

    return _judged(probe(world))


def _verify(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.verification import verify

    return _judged(verify(world, options.record))


def _cleanup(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.cleanup.run import cleanup

    how = {"dry": options.dry, "unattended": options.unattended, "shown": not options.json}
    return _judged(cleanup(world, options.models, **how))


def _pin(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node import store

    (store.pin if options.command == "pin" else store.unpin)(world.paths, options.id)
    return 0, {"ok": True, "failures": [], "pinned": store.pinned(world.paths)}


def _lock(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node import lock

    if options.action == "show":
        return _judged(lock.show(world.paths))
    if options.action == "release":
        return _judged(lock.release(world.paths, options.token))
    words = {key: getattr(options, key) for key in ("owner", "reason", "token", "seconds", "surveyed", "force")}
    return _judged(lock.acquire(world.paths, **words))


def _record(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node import record

    path = options.file or world.paths.state / record.FILE
    if options.action == "append":
        return _judged(record.append(path, sys.stdin.read()))
    return _judged(record.verify(path))


def _backup_done(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node import backup

    if options.forget:
        return _judged(backup.forget(world.paths, options.name))
    return _judged(backup.done(world.paths, options.name, options.failed or ""))


def _rollout_words(command: Add) -> None:
    """Add what a monitor keeps for the whole fleet."""
    one = command("lock", _lock, "on the first monitor: let one rollout at a time change the fleet")
    one.add_argument("action", choices=("acquire", "release", "show"))
    one.add_argument("--owner", default="", help="person and machine")
    one.add_argument("--reason", default="", help="what the rollout is for")
    one.add_argument("--token", default="", help="the same for all of one run")
    one.add_argument("--seconds", type=int, default=900, help="after how long it ends by itself; default: %(default)s")
    one.add_argument("--surveyed", type=float, default=0.0, metavar="SECONDS", help="how long ago the fleet was asked")
    one.add_argument("--force", action="store_true", help="take it from whoever holds it")
    one = command("record", _record, "on a monitor: the history of rollouts, each line bound to the one before")
    one.add_argument("action", choices=("append", "verify"), help="append reads one JSON object from standard input")
    one.add_argument("--file", type=Path, help="a history elsewhere than in /var/lib/ipex")


def _changing(command: Add) -> None:
    """Add what changes the node."""
    one = command("stage", _stage, "take in a bundle and realise its closures; no service is touched")
    one.add_argument("directory", type=Path, help="unpacked bundle: manifest.json and root/")
    one = command("activate", _activate, "make a staged generation current, or leave the node as it was")
    one.add_argument("id", help="the generation; the current one mends what has drifted")
    one.add_argument("--force", action="store_true", help="even if it has failed on this node before")
    one = command("rollback", _rollback, "go back to the previous generation, or to a named one")
    one.add_argument("id", nargs="?", help="a staged generation; the previous one without it")
    one.add_argument("--force", action="store_true", help="even if it has failed on this node before")
    one = command("firewall", _firewall, "try a generation's rules; confirm them from a new SSH connection")
    one.add_argument("action", choices=("try", "confirm"), help="what nobody confirms is taken back by itself")
    one.add_argument("id", nargs="?", default="", help="try: a staged generation")
    one.add_argument("--seconds", type=int, help="try: how long there is to confirm")
    one = command("recover", _recover, "end an activation that was cut off; nothing where there is none")
    one.add_argument("--boot", action="store_true", help="services are about to start: wait for none")
    one = command("drain", _drain, "leave the gateways' rotation and wait for what is in flight")
    one.add_argument("--reason", default="", metavar="TEXT", help="shown to whoever asks why")
    one.add_argument("--wait", choices=("yes", "no"), default="yes", help="default: %(default)s")
    one.add_argument("--force", action="store_true", help="even if no other gateway can take the floating address")
    command("undrain", _undrain, "return to the gateways' rotation")
    one = command("cleanup", _cleanup, "free what nobody needs; see it first with --dry")
    one.add_argument("--dry", action="store_true", help="only say what would go")
    one.add_argument("--models", nargs="+", default=(), metavar="NAME", help="models that go; never a declared one")
    one.add_argument("--unattended", action="store_true", help="ask no engine; do nothing shortly after the last run")
    one.add_argument("--json", action="store_true", help="the answer alone, without the plan for a person")
    one = command("backup-done", _backup_done, "tell monitors what has become of a backup of this node")
    one.add_argument("name", help="what is kept, such as models")
    result = one.add_mutually_exclusive_group(required=True)
    result.add_argument("--ok", action="store_true", help="it was made just now")
    result.add_argument("--failed", metavar="WHY", help="it was tried, and failed")
    result.add_argument("--forget", action="store_true", help="it is made no more: nobody waits for it")
    for name, words in (("pin", "never let this generation be cleaned up"), ("unpin", "let it be cleaned up again")):
        command(name, _pin, words).add_argument("id", help="a staged generation")


def _answering(command: Add) -> None:
    """Add what asks the node, and what answers for it."""
    one = command("status", _status, "what the node has, and where it differs from what it should have")
    one.add_argument("--leave", action="store_true", help="say nothing, leave it as numbers for the agent")
    command("agent", _agent, "serve /metrics, /ready and /healthz until stopped")
    command("gpu", _gpu, "measure the GPUs for the agent until stopped")
    command("traffic", _traffic, "measure what the engines do for their users, until stopped")
    command("gateway", _gateway, "keep nginx' upstreams as the GPU nodes want them, until stopped")
    command("health", _health, "ask every level of health once, and repair what may be repaired")
    one = command("doctor", _doctor, "is this machine fit for its services? by the same rules as a deploy's")
    one.add_argument("--json", action="store_true", help="the answer alone, without the table on standard error")
    command("memory-check", _memory_check, "warn where there is less memory than the engines want")
    command("probe", _probe, "let every service of the current generation do its smallest work")
    one = command("verify", _verify, "use every route of the gateway as a user would")
    one.add_argument("--record", metavar="TEXT", help="text to keep in /var/lib/ipex/verified on full success")
