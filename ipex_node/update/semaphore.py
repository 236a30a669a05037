"""`ipex-node turns`: on the first monitor, let nodes change one after the other. The protocol is FleetLock.

Source: https://coreos.github.io/zincati/development/fleetlock/protocol/. `client_params` has three keys more than the
protocol's: `serial` (which publication is meant), `word` and `record` (with which words a turn is given back).
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from ipex_node import border, lock, loopback, record, settings
from ipex_node.agent import IDLE_SECONDS, Server
from ipex_node.failure import FailedError, failed
from ipex_node.update import ledger, offer
from ipex_node.update.settings import Turns
from ipex_node.update.turns import GOOD, Refusal, floor_refusal, refusal
from ipex_node.world import end_at_sigterm, progress

if TYPE_CHECKING:
    from ipex_node.paths import Paths
    from ipex_node.update.publication import Member, Publication
    from ipex_node.world import World

HEADER = "fleet-lock-protocol"
ASK, RETURN = "/v1/pre-reboot", "/v1/steady-state"
_LIMIT = 65536
"""Longest question, in bytes."""
_READY_SECONDS = 2.0
_ASKED_AT_ONCE = 16


def serve(world: World) -> dict[str, Any]:
    """Answer until SIGTERM.

    Raises:
        FailedError: This node does not give turns, or its port is taken.
    """
    node = settings.load(world.paths.settings)
    if node.turns is None:
        raise failed(str(world.paths.settings), "this node gives no turns", "ask the first monitor")
    turns = Turns(**node.turns)
    try:
        server = _TurnServer(("", turns.port), Semaphore(world, node.environment, turns))
    except OSError as error:
        raise failed(f"port {turns.port}", f"cannot be listened on: {error.strerror}") from error
    end_at_sigterm()
    progress(f"turns on port {server.server_port}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass  # the way it is meant to end
    finally:
        server.server_close()
    return {"ok": True, "failures": []}


class Semaphore:
    """Knows whose turn it is.

    Args:
        world: The monitor.
        environment: Whose publications it follows.
        turns: Its settings.
    """

    def __init__(self, world: World, environment: str, turns: Turns) -> None:
        self._world = world
        self._environment = environment
        self._turns = turns

    def answer(self, path: str, address: str, question: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 - JSON
        """Return status and JSON.

        Args:
            path: What is asked.
            address: Where it is asked from: a node speaks for itself alone.
            question: The JSON it sent.
        """
        params = question.get("client_params") if isinstance(question, dict) else None
        name = params.get("id") if isinstance(params, dict) else None
        if not isinstance(params, dict) or not isinstance(name, str):
            return 400, _said(Refusal("malformed", "client_params.id is missing"))
        if self._turns.nodes.get(name) != address:
            return 403, _said(Refusal("stranger", f"{border.words(address)} may not speak for {border.words(name)}"))
        if path == ASK:
            refused = self._ask(name, params)
        elif path == RETURN:
            refused = self._return(name, params)
        else:
            return 404, _said(Refusal("unknown", f"there are {ASK} and {RETURN}"))
        if refused:
            progress(f"{name}: not its turn: {refused.why}")
        return (409, _said(refused)) if refused else (200, {"kind": "ok", "value": "granted"})

    def _ask(self, name: str, params: dict[str, Any]) -> Refusal | None:
        publication = offer.current(self._world, self._environment, time.time())
        if publication is None or params.get("serial") != publication.serial:
            there = publication.serial if publication else 0
            return Refusal("serial", f"{there} is published, {border.words(str(params.get('serial')))} asked for")
        ready = self._ready(publication)
        with lock.alone(self._world.paths):
            now = time.time()
            known = ledger.load(self._world.paths).at(publication.serial, now)
            refused = _rolls(self._world.paths) or refusal(publication, known, name, now)
            refused = refused or floor_refusal(publication, known, name, ready)
            ledger.save(self._world.paths, known if refused else known.granted(name, now, self._turns.lease_seconds))
        if not refused:
            progress(f"{name}: its turn, until {self._turns.lease_seconds:.0f} s from now at the latest")
        return refused

    def _return(self, name: str, params: dict[str, Any]) -> Refusal | None:
        word = params.get("word", "current")
        if word not in {*GOOD, "failed"}:
            return Refusal("malformed", "client_params.word is none of current, done, failed")
        serial = params.get("serial")
        if not isinstance(serial, int):
            return Refusal("malformed", "client_params.serial is missing")
        record_of = params.get("record")
        told = record_of if isinstance(record_of, dict) else {}
        why = border.words(str(told.get("why", "")))
        with lock.alone(self._world.paths):
            known, now = ledger.load(self._world.paths), time.time()
            # A word about a later publication than any that a turn was asked for: nothing had to be changed for it.
            newest = max(serial, known.serial)
            if newest > known.serial and not self._is_published(newest, now):
                return Refusal("serial", f"{newest} is not what is published")
            known = known.at(newest, now)
            about_this = serial == known.serial
            known = known.returned(name, word, now, why) if about_this else known.left(name, serial)
            ledger.save(self._world.paths, known)
        if word != "current":
            progress(f"{name}: {word} {why}")
            self._keep(name, word, told)
        return None

    def _is_published(self, serial: int, now: float) -> bool:
        publication = offer.current(self._world, self._environment, now)
        return publication is not None and publication.serial == serial

    def _keep(self, name: str, word: str, told: dict[str, Any]) -> None:
        """Add a line to the record of rollouts, as a deploy's."""
        line = {
            "environment": self._environment,
            "who": f"ipex-update@{name}",
            "reason": f"publication {told.get('serial')}",
            "began": told.get("began"),
            "seconds": told.get("seconds"),
            "result": "done" if word in GOOD else "stopped",
            "nodes": {name: {key: told.get(key) for key in ("from", "to", "ending", "why", "steps")}},
        }
        record.append(self._world.paths.state / record.FILE, json.dumps(line))

    def _ready(self, publication: Publication) -> set[str]:
        """Ask the agents of all nodes that run a service."""
        names = sorted({name for service in publication.services.values() for name in service.nodes})
        known = [name for name in names if name in publication.members]
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            answers = pool.map(_is_ready, (publication.members[name] for name in known))
        return {name for name, ready in zip(known, answers, strict=True) if ready}


def _rolls(paths: Paths) -> Refusal | None:
    """Say who rolls by hand: then nobody changes by itself."""
    held = lock.show(paths)["lock"]
    return Refusal("rollout", f"{held['owner']} rolls ({held['reason']})") if held else None


def _is_ready(member: Member) -> bool:
    connection = loopback.Connection(member.address, member.agent_port, time.monotonic() + _READY_SECONDS)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _said(refused: Refusal) -> dict[str, str]:
    return {"kind": refused.kind, "value": refused.why}


class _TurnServer(Server):
    def __init__(self, address: tuple[str, int], semaphore: Semaphore) -> None:
        super().__init__(address, semaphore, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _TurnServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1

    def do_GET(self) -> None:
        """Say that it lives; nothing else is to be had this way."""
        alive = self.path == "/healthz"
        self._send(*((200, {"ok": True}) if alive else (404, _said(Refusal("unknown", f"POST {ASK} or {RETURN}")))))

    def do_POST(self) -> None:
        """Answer; without the protocol's header it is nobody who means it (a browser, a scanner)."""
        try:
            status, answer = self._answered()
        except FailedError as error:
            status, answer = 503, {"kind": "unable", "value": str(error)}
        self._send(status, answer)

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _answered(self) -> tuple[int, dict[str, Any]]:
        length = self.headers.get("Content-Length", "")
        if self.headers.get(HEADER) != "true" or not length.isdecimal() or int(length) > _LIMIT:
            return 400, _said(Refusal("malformed", f"a FleetLock question has {HEADER}: true and a short body"))
        try:
            question = border.parse(self.rfile.read(int(length)))
        except ValueError:
            return 400, _said(Refusal("malformed", "the body is no JSON"))
        return self.server.agent.answer(self.path, self.client_address[0], question)  # type: ignore[no-any-return]

    def version_string(self) -> str:
        """Name the program, not Python's version."""
        return "ipex-node"

    def log_message(self, *_words: object) -> None:
        """Log nothing: what matters is told where it is decided."""
