"""`ipex-node restore`: give a service its data back, or those of another node; all of it, or everything stays."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node import engines, files, marker, probing, rotation, settings, store
from ipex_node.backups import capture, fetch, state
from ipex_node.backups.exchange import Exchange, Move
from ipex_node.backups.run import state_of, wanted
from ipex_node.failure import FailedError, Failure, StoppedError, failed
from ipex_node.systemd import Systemd
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.backups.fetch import Plan
    from ipex_node.backups.settings import Kept
    from ipex_node.paths import Paths
    from ipex_node.settings import Settings
    from ipex_node.world import World

    Answer = dict[str, Any]

_ENDED = {"inactive", "failed"}


def journal(paths: Paths) -> Path:
    """Return what is there while data are exchanged."""
    return paths.on_node(state.PLACE) / "restore.json"


def restore(  # noqa: PLR0913 - what a person may say
    world: World, service: str, *, origin: str = "", at: str = "", dry: bool = False, sure: bool = False
) -> tuple[int, Answer]:
    """Give a service back what backups have of it.

    Args:
        world: The node.
        service: Which.
        origin: The node whose data they are; this one without it.
        at: Nothing younger than this moment (2026-11-26T02-00-00Z); the last without it.
        dry: Only say what would happen.
        sure: Overwrite what is there without asking.

    Returns:
        0 done, 1 not done and all as before, 2 the service could not be put back.

    Raises:
        FailedError: Nothing was changed.
    """
    how = wanted(world)
    kept = how.service(service)
    if kept is None:
        known = ", ".join(one.name for one in how.services)
        raise failed(service, "is no service of this node of which anything is kept", f"name one of: {known}")
    place = world.paths.on_node(str(how.place))
    with state.alone(place, how.wait_seconds):
        put_back(world)
        plan = fetch.planned(world, how, kept, origin or how.node, at)
        _show(plan)
        if dry:
            return 0, {"ok": True, "failures": [], "dry": True, **plan.as_json()}
        if plan.overwrites and not sure:
            _ask(plan)
        restoration = _Restoration(world, kept, plan)
        try:
            restoration.fetch(fetch.Fetch(world, how, kept, plan))
            return restoration.carry_out()
        except OSError as error:
            raise FailedError(*capture.failures_of(error, plan.work)) from error
        finally:
            if not journal(world.paths).exists():
                files.remove_tree(plan.work)


def put_back(world: World, *, wait: bool = True) -> bool:
    """End a restore that was cut off: what was there before is put back, and its service started.

    Returns:
        Whether there was one.
    """
    path = journal(world.paths)
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    systemd = Systemd(world.run, wait=wait)
    if systemd.states([record["unit"]])[record["unit"]].active not in _ENDED:
        # Waited for, even at boot: a process must not see its files exchanged.
        Systemd(world.run).do("stop", [record["unit"]])
    exchange = Exchange(Path(record["state"]), Path(record["work"]), path)
    exchange.undo([Move(**one) for one in record["moves"]])
    exchange.forget()
    systemd.do("start", [record["unit"]])
    marker.clear_transactions(world.paths)
    progress(f"a restore of {record['unit']} was cut off: its data are as before")
    return True


class _Restoration:
    """One restore, from leaving rotation to coming back."""

    def __init__(self, world: World, kept: Kept, plan: Plan) -> None:
        self._world, self._kept, self._plan = world, kept, plan
        self._node: Settings = settings.load_leniently(world.paths.settings)
        self._state = state_of(world.paths, kept.name)
        self._systemd = Systemd(world.run)
        self._exchange = Exchange(self._state, plan.work, journal(world.paths))
        self._steps: list[dict[str, Any]] = []
        self._moves: list[Move] = []

    def fetch(self, source: fetch.Fetch) -> None:
        """Bring everything and see that it is whole, while the service goes on."""
        self._moves = self._step("fetch", source.bring)

    def carry_out(self) -> tuple[int, Answer]:
        """Exchange the data; where that fails, the old ones come back."""
        with store.locked(self._world.paths, f"restore {self._kept.name}"):
            marker.put_drain(self._world.paths, f"data of {self._kept.name} are restored", "restore")
            try:
                self._step("leave rotation", self._leave)
                self._step("stop", lambda: self._systemd.do("stop", [self._kept.unit]))
                self._step("exchange", lambda: self._exchange.do(self._moves, self._kept.unit))
                self._step("start and prove", self._start)
            except (FailedError, OSError, StoppedError, KeyboardInterrupt) as error:
                return self._undone(error)
            self._exchange.forget()
            self._return()
        return 0, self._answer([], restored=True)

    def _leave(self) -> None:
        services = [one for one in self._node.services if one.name == self._kept.name]
        rotation.await_idle(self._world.paths, self._node, services)

    def _start(self) -> None:
        self._systemd.do("start", [self._kept.unit])
        manifest = store.manifest(self._world.paths, store.linked(self._world.paths.current))
        probing.await_healthy(self._world, manifest, [self._kept.unit], engines.check)

    def _undone(self, error: BaseException) -> tuple[int, Answer]:
        failures = (
            list(error.failures) if isinstance(error, FailedError) else [Failure("restore", str(error) or "stopped")]
        )
        progress(f"restore: {failures[0]}; what was there comes back")
        try:
            self._systemd.do("stop", [self._kept.unit])
            if journal(self._world.paths).exists():
                self._exchange.undo(self._moves)
                self._exchange.forget()
            self._start()
        except (FailedError, OSError) as worse:
            cure = f"what was there lies in {self._plan.work}/old; ipex-node restore ends this when it is run again"
            return 2, self._answer([*failures, Failure(self._kept.unit, f"could not be put back: {worse}", cure)])
        self._return()
        return 1, self._answer(failures)

    def _return(self) -> None:
        marker.clear_transactions(self._world.paths)
        if self._node.gateways:
            rotation.await_gateways(self._node, "in", rotation.RETURN_SECONDS)

    def _step(self, name: str, work: Any) -> Any:  # noqa: ANN401 - what the step gives
        progress(f"restore {self._kept.name}: {name}")
        begun = time.monotonic()
        result = work()
        step = {"name": name, "detail": self._kept.name, "seconds": round(time.monotonic() - begun, 3)}
        self._steps.append(step)
        return result

    def _answer(self, failures: list[Failure], *, restored: bool = False) -> Answer:
        answer = {"ok": not failures, "failures": [one.as_json() for one in failures], "dry": False}
        return {**answer, "restored": restored, "steps": self._steps, **self._plan.as_json()}


def _show(plan: Plan) -> None:
    for item in plan.brings:
        progress(f"brings back {item['what']}: {item['bytes'] / 2**20:.1f} MiB of {item['made']}")
    for path in plan.overwrites:
        progress(f"overwrites {path}")


def _ask(plan: Plan) -> None:
    """Ask whoever sits there.

    Raises:
        FailedError: He does not want it, or nobody is there.
    """
    there = f"{len(plan.overwrites)} things are there already: {', '.join(plan.overwrites)}"
    if not sys.stdin.isatty():
        raise failed("restore", f"nothing was changed: {there}", "look at them, then add --yes")
    print("Overwrite them? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise failed("restore", f"nothing was changed: {there}", "say yes, or leave it")
