"""`ipex-node gateway`: asks every GPU node whether it wants requests, and keeps nginx' upstreams accordingly.

Needs no privilege but nginx' own user. If it ends, nginx goes on with the last upstreams, and its passive checks
are what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from ipex_node import files
from ipex_node.failure import FailedError
from ipex_node.gateway import question, upstreams
from ipex_node.gateway.circuit import Circuit
from ipex_node.gateway.front_page import FrontPage
from ipex_node.gateway.nginx import Nginx
from ipex_node.gateway.rotation import Gathering, Rotation, differences, gets_no, gets_nothing, is_urgent
from ipex_node.gateway.settings import load
from ipex_node.gateway.warmth import Warmth, unserved
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.gateway.rotation import Treatments
    from ipex_node.gateway.settings import GatewaySettings
    from ipex_node.gateway.warmth import Models
    from ipex_node.world import World

TOGETHER_SECONDS = 0.05
"""Answers that come within this time of each other are decided on together: all nodes are asked at once."""
RETRY_SECONDS = 5.0
"""Pause before nginx is offered again what it has refused."""


def serve(world: World) -> dict[str, Any]:
    """Follow the nodes until SIGTERM.

    Raises:
        FailedError: The settings are missing or cannot be understood.
    """
    settings = load(world.paths)
    asyncio.run(Gateway(settings, Nginx(settings, world.run)).follow())
    return {"ok": True, "failures": []}


class Gateway:
    """One gateway, from its first question to SIGTERM.

    Args:
        settings: Its settings.
        nginx: Its nginx.
    """

    def __init__(self, settings: GatewaySettings, nginx: Nginx) -> None:
        self._settings = settings
        self._nginx = nginx
        self._declared = settings.declared.read_text()
        following = settings.following
        self._before, self._waited, self._lacked = _read_state(settings)
        self._rotation = Rotation(
            settings.members(), following.rise, following.fall, following.fail_open_share, self._before
        )
        self._page = FrontPage(settings, self._rotation)
        self._circuit = Circuit(settings.members(), settings.circuit)
        self._doubted: tuple[str, ...] = ()
        self._gathering = Gathering(following.gather_seconds)
        self._warmth = Warmth(settings.models, following.warm_seconds)
        self._loaded: Treatments = {}
        self._waiting: Models = {}
        self._lacking: Models = {}
        self._unheld: list[tuple[str, str]] = []
        self._told: dict[str, tuple[str, ...]] = {}
        self._unserved: tuple[tuple[str, str], ...] = ()
        self._heard = asyncio.Event()

    async def follow(self) -> None:
        """Ask once, put nginx right, say that this gateway is ready, and go on for ever."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await self._remember()
        await asyncio.gather(*(self._ask(node) for node in self._settings.nodes))
        await self._settle()
        _notify("READY=1")
        progress(f"{self._settings.gateway} follows {', '.join(self._settings.nodes)}")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow(node)) for node in self._settings.nodes]
            tasks += [group.create_task(work) for work in (self._keep(), *self._page.tasks())]
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _remember(self) -> None:
        """Know what nginx works with, so that no node hears another word because this program was started anew."""
        text = upstreams.live(self._declared, self._before, self._waited, self._lacked)
        if self._before and self._nginx.read() == text and await self._nginx.has_loaded(text):
            self._loaded, self._waiting, self._lacking = self._before, self._waited, self._lacked

    async def _follow(self, node: str) -> None:
        """Ask one node for ever, at the same moments as all others."""
        interval = self._settings.following.interval_seconds
        while True:
            await asyncio.sleep(interval - time.monotonic() % interval)
            # A machine that has died costs the whole time of a question: the next one must not wait as well.
            while await self._ask(node) and not gets_nothing(self._rotation.treatments(), node):
                pass

    async def _ask(self, node: str) -> bool:
        backend = self._settings.nodes[node]
        out = gets_nothing(self._loaded, node)
        without = () if out else gets_no(self._loaded, node)
        heard, timed_out = await question.ask(
            backend, self._settings.gateway, out=out, without=without, circuit=self._doubted
        )
        self._rotation.hear(node, heard)
        self._page.hear(node, heard)
        self._warmth.hear(node, heard)
        if not heard.silence:
            serving = [service for service, up in heard.services.items() if up]
            self._circuit.hear(node, heard.failing, serving, time.monotonic())
        self._heard.set()
        return timed_out

    async def _keep(self) -> None:
        """Bring what was heard to nginx."""
        while True:
            # Not wait_for, which loses a cancellation that comes with the event (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._gathering.left(time.monotonic()))):
                    await self._heard.wait()
            await asyncio.sleep(TOGETHER_SECONDS)
            self._heard.clear()
            _notify("WATCHDOG=1")
            self._tell_held()
            self._doubt()
            wanted = self._rotation.treatments()
            lacking = self._warmth.lacking(wanted)
            # In no hurry: a node that lacks a model says 404, and the next one is asked.
            waiting = wanted != self._loaded or lacking != self._lacking or self._nginx.is_touched()
            urgent = is_urgent(self._loaded, wanted)
            now = time.monotonic()
            # Whom a node waits behind changes with rotation, too; alone it is never worth a reload before its time.
            warmer = self._warmth.is_due(now) and self._warmth.waiting(wanted) != self._waiting
            if self._gathering.is_due(now, waiting=waiting, urgent=urgent) or warmer:
                await self._settle()

    async def _settle(self) -> None:
        """Let nginx work with the treatments of this moment, and nothing else."""
        wanted = self._rotation.treatments()
        waiting = self._warmth.waiting(wanted)
        lacking = self._warmth.lacking(wanted)
        text = upstreams.live(self._declared, wanted, waiting, lacking)
        self._tell(wanted)
        self._tell_models(wanted, waiting)
        self._tell_lacking(lacking)
        try:
            if self._nginx.read() != text or not await self._nginx.has_loaded(text):
                await self._nginx.load(text)
                self._warmth.told(time.monotonic())
        except (FailedError, OSError) as error:
            progress(f"nginx keeps the upstreams it has: {error}")
            await asyncio.sleep(RETRY_SECONDS)
            return
        self._loaded, self._waiting, self._lacking = wanted, waiting, lacking
        self._write_state()

    def _tell(self, wanted: Treatments) -> None:
        for service, node, treatment in differences(self._loaded, wanted):
            member = self._rotation.members[service][node]
            if self._loaded or treatment != "in":
                progress(f"{service} on {node}: {treatment}{f' ({member.why})' if member.why else ''}")

    def _tell_models(self, wanted: Treatments, waiting: Models) -> None:
        """Say which models nobody is left for, and who waits behind those that have one loaded."""
        gone = list(unserved(self._settings.models, wanted))
        for service, model, nodes in gone:
            if (service, model) not in self._unserved:
                progress(f"{service}: nobody is left for {model}, which {', '.join(nodes)} declared")
        self._unserved = tuple((service, model) for service, model, _ in gone)
        for service, models in waiting.items():
            for model, nodes in models.items():
                if self._waiting.get(service, {}).get(model) != nodes:
                    progress(f"{service}: {', '.join(nodes)} wait behind those that have {model} loaded")

    def _tell_lacking(self, lacking: Models) -> None:
        """Say who gets none of a model's requests until it has it, and which models nobody has."""
        for service, models in lacking.items():
            for model, nodes in models.items():
                if self._lacking.get(service, {}).get(model) != nodes:
                    progress(f"{service}: {', '.join(nodes)} get nothing for {model} until they have it")
        unheld = self._warmth.unheld()
        for service, model in unheld:
            if (service, model) not in self._unheld:
                progress(f"{service}: nobody has {model}, so all that declare it are asked")
        self._unheld = unheld

    def _tell_held(self) -> None:
        """Say once that nodes which look down are kept, and once that this is over."""
        held = {service: nodes for service, nodes in self._rotation.held.items() if nodes}
        for service in sorted({*held, *self._told}):
            nodes = held.get(service, ())
            if nodes and not self._told.get(service):
                share = self._settings.following.fail_open_share
                progress(f"{service}: {', '.join(nodes)} look down, more than {share:.0%} at once: all stay in")
            elif not nodes:
                progress(f"{service}: fewer look down, they are judged one by one again")
        self._told = held

    def _doubt(self) -> None:
        """Follow the checks that fail on too many nodes, and say once that one does, and once that it is over."""
        doubted = self._circuit.open(time.monotonic())
        for check, nodes in doubted.items():
            if check not in self._doubted:
                progress(f"{check} fails on {', '.join(nodes)} at once: no node repairs itself for it")
        for check in self._doubted:
            if check not in doubted:
                progress(f"{check}: fails on fewer nodes, each repairs itself again")
        if tuple(doubted) != self._doubted:
            self._doubted = tuple(doubted)
            self._write_state()

    def _write_state(self) -> None:
        members = self._rotation.members
        state = {
            "gateway": self._settings.gateway,
            "rotation": self._loaded,
            "why": {
                service: {node: member.why for node, member in nodes.items() if member.why}
                for service, nodes in members.items()
            },
            "held": {service: nodes for service, nodes in self._rotation.held.items() if nodes},
            "circuit": self._doubted,
            "waiting": self._waiting,
            "lacking": self._lacking,
            "unheld": self._unheld,
            "unserved": self._unserved,
        }
        files.write(self._settings.state, (json.dumps(state, indent=2, sort_keys=True) + "\n").encode())


def _read_state(settings: GatewaySettings) -> tuple[Treatments, Models, Models]:
    """Return how nodes were treated before this program was started anew, who waited, and who lacked what."""
    try:
        known = json.loads(settings.state.read_bytes())
        return known["rotation"], _models(known.get("waiting", {})), _models(known.get("lacking", {}))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        # Nothing after a reboot.
        return {}, {}, {}


def _models(known: dict[str, dict[str, list[str]]]) -> Models:
    return {service: {model: tuple(nodes) for model, nodes in models.items()} for service, models in known.items()}


def _notify(text: str) -> None:
    """Tell systemd, where it has started this (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        connection.send(text.encode())
