"""The life of one run: its lock before the first change, its stop after a failure, its record and its last lines."""

from collections.abc import Callable
from time import monotonic, time
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State

from fleet import outcome, waves
from fleet.load import RefusedError, node_name
from fleet.outcome import Ending, Outcome
from fleet.problems import report
from operations import capacity, command_line, endings, record
from operations.lock import RolloutLock
from operations.survey import Survey

_rollouts: "WeakKeyDictionary[State, Rollout]" = WeakKeyDictionary()
_afterwards: "WeakKeyDictionary[State, Callable[[], None]]" = WeakKeyDictionary()


class Rollout:
    """One run that may change the fleet.

    Attributes:
        state: pyinfra's.
        survey: what it found and will do.
        chapters: each chapter's heading and, where it is one, its wave, in order.
        begun: the operations each node has begun, by node name, in order.
    """

    def __init__(self, state: State, survey: Survey) -> None:
        self.state = state
        self.survey = survey
        self.chapters: dict[str, waves.Wave | None] = {}
        self.begun: dict[str, list[str]] = {}
        self._lock = RolloutLock(state, survey.answers)
        self._since: tuple[float, float] | None = None
        self._stopped = ("", "")

    def before(self, heading: str) -> None:
        """Take the lock before the first chapter; end the run before any other once a node has failed.

        Raises:
            RefusedError: the run ends here.
        """
        if not self.survey.activates:
            return
        if self._since is None:
            self._lock.acquire()
            self._since = (time(), monotonic())
        if why := self._obstacle(heading):
            self._stopped = (heading, why)
            raise RefusedError(f"Stopped before {heading!r}: {why}")

    def _obstacle(self, heading: str) -> str:
        """Say why a chapter must not begin; nothing where it may."""
        if self._lock.lost:
            return self._lock.lost
        if not waves.may_begin(self.failed()):
            return f"{', '.join(self.failed())} failed"
        wave = self.chapters[heading]
        if wave in self.survey.gpu_waves:
            try:
                capacity.await_room(self.state, self.survey.answers, wave)
            except waves.FloorError as error:
                why = report(self.survey.fleet.environment, error.problems)
                return f"it has become too much since the plan was made\n{why}"
        return ""

    def failed(self) -> list[str]:
        """The nodes that have failed in this run; one that was down before it is none of them."""
        names = {node_name(host) for host in self.state.failed_hosts}
        return sorted(names - set(self.survey.answers.unreached))

    def end(self) -> None:
        """Record the run, give the lock back, and say how it ended.

        Raises:
            RefusedError: with the last lines, where not all is done.
        """
        if self._since is None:
            return
        ends = endings.of(self)
        complete = not any(one.failed or one.ending is Ending.UNTOUCHED for one in ends)
        record.keep(self, ends, self._since, "done" if complete else "stopped")
        self._lock.release()
        if complete and not self.survey.answers.unreached:
            changed = sum(one.ending in {Ending.NEW, Ending.DONE} for one in ends)
            logger.info("--> Done: %s nodes changed in %.0f s", changed, monotonic() - self._since[1])
            return
        raise RefusedError(outcome.closing(ends, self._stopped, self._commands(ends)))

    def _commands(self, ends: list[Outcome]) -> list[str]:
        again = command_line.current()
        failed = [one.node for one in ends if one.failed]
        if not failed:
            return ["To go on:", f"  {again.again()}"]
        lines = ["To go on, once the cause is mended:", f"  {again.again()}"]
        if len(failed) < len(ends):
            without = [word for name in failed for word in ("--exclude", name)]
            lines += ["or without what failed:", f"  {again.again(*without)}"]
        if any(one.ending is Ending.OLD for one in ends):
            lines.append("A generation that has failed on a node is tried there again only with --data force=true.")
        return lines


def of(state: State, survey: Survey) -> Rollout:
    """The rollout of this run; watched from its first operation on."""
    if state not in _rollouts:
        _rollouts[state] = Rollout(state, survey)
        state.add_callback_handler(_Watch())
    return _rollouts[state]


def afterwards(state: State, act: Callable[[], None]) -> None:
    """Let something be done once this run has ended, however it went, and its lock is given back."""
    _afterwards[state] = act


def end() -> None:
    """End whatever rollout is under way: called when the command line is done, however it went.

    Raises:
        RefusedError: with the last lines, where not all is done.
    """
    for state in list(_rollouts):
        try:
            _rollouts.pop(state).end()
        finally:
            _afterwards.pop(state, lambda: None)()


class _Watch(BaseStateCallback):
    """Sees every operation begin."""

    @staticmethod
    def operation_start(state: State, op_hash: str) -> None:
        name = min(state.get_op_meta(op_hash).names)
        if name in _rollouts[state].chapters:
            _rollouts[state].before(name)

    @staticmethod
    def operation_host_start(state: State, host: Host, op_hash: str) -> None:
        name = min(state.get_op_meta(op_hash).names)
        if op_hash in state.ops[host] and name not in _rollouts[state].chapters:
            _rollouts[state].begun.setdefault(node_name(host), []).append(name)
