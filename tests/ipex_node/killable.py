"""A node in a directory whose processes are killed: what they leave behind is all that the next one finds."""

import gc
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from ipex_node import activation, recovery, rotation, transaction
from ipex_node.changes import Changes
from ipex_node.failure import failed
from ipex_node.manifest import Probe
from ipex_node.world import Completed
from tests.ipex_node.fake_node import OLLAMA, FakeNode, FakeUnit

ROOT = Path(__file__).parents[2]
Act = Callable[[FakeNode], object]
Count = Callable[[FrameType, str, object], None]

_STEP: CodeType = transaction._do.__code__
_WAY_BACK: dict[CodeType, str] = {
    transaction.undo.__code__: "undo",
    Changes.restore_data.__code__: "undo: snapshot the data",
    Changes.restore_units.__code__: "undo: retire units",
}


def activate(node: FakeNode, identity: str) -> None:
    """Activate a generation."""
    activation.activate(node.world, identity, node.check)


def activate_sick(node: FakeNode, identity: str) -> None:
    """Activate a generation whose second version of Ollama hangs."""

    def check(probe: Probe, _deadline: float) -> None:
        if "ollama 2" in node.on(f"/etc/systemd/system/{OLLAMA}").read_text():
            raise failed(probe.unit, "hangs")

    activation.activate(node.world, identity, check)


def recover(node: FakeNode) -> dict[str, Any]:
    """Recover, and return the answer."""
    return recovery.recover(node.world, node.check)[1]


class _Durable(FakeNode):
    """Keeps its units in a file: systemd outlives whoever asks it."""

    def __init__(self, root: Path) -> None:
        self._file = root / "units.json"
        known = json.loads(self._file.read_text()) if self._file.exists() else {}
        super().__init__(root, {name: FakeUnit(*it) for name, it in known.items()})

    def run(self, command: Sequence[str], *, show: bool = False) -> Completed:
        """Do as told, and keep what has become of the units."""
        done = super().run(command, show=show)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({name: (it.active, it.file) for name, it in self.units.items()}))
        fresh.rename(self._file)
        return done


class Mortals:
    """Processes that do something to a node, and can be killed at any call of any function on the way.

    They are forked from a small process: a fork of pytest with all it has loaded costs ten times as much.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def calls(self, act: Act, root: Path) -> dict[str, int]:
        """Do something to its end; return at which call each step or way back began, and (as `""`) the last one."""
        found: dict[str, int] = self._ask("calls", act, root, 0)
        return found

    def killed(self, act: Act, root: Path, call: int) -> None:
        """Do something, and be killed at one of its calls."""
        status = self._ask("killed", act, root, call)
        assert os.WIFSIGNALED(status), "it came to its end before it was killed"

    def _ask(self, *question: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump(question, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)  # noqa: S301 - from this very program


@contextmanager
def mortals() -> Iterator[Mortals]:
    """Start the process they are forked from."""
    code = "from tests.ipex_node.killable import _serve; _serve()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield Mortals(process)
        assert process.stdin
        process.stdin.close()


def _serve() -> None:
    # A test's node need not survive a power cut.
    os.fsync = lambda fd: None  # noqa: ARG005 - as the real one calls it
    rotation.PAUSE_SECONDS = 0.001
    answers = sys.stdout.buffer
    # The collector would write to every page it shares with the parent.
    gc.disable()
    while True:
        try:
            kind, act, root, call = pickle.load(sys.stdin.buffer)  # noqa: S301 - as above
        except EOFError:
            return
        pickle.dump(_calls(act, root) if kind == "calls" else _killed(act, root, call), answers)
        answers.flush()


def _counted(act: Act, root: Path, count: Count) -> None:
    sys.setprofile(count)
    try:
        act(_Durable(root))
    finally:
        sys.setprofile(None)


def _calls(act: Act, root: Path) -> dict[str, int]:
    begun: dict[str, int] = {}
    calls = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        if event in {"call", "c_call"}:
            calls += 1
            if frame.f_code is _STEP and event == "call":
                begun[frame.f_locals["step"].name] = calls
            elif frame.f_code in _WAY_BACK and event == "call":
                begun[_WAY_BACK[frame.f_code]] = calls

    _counted(act, root, count)
    return {**begun, "": calls}


def _killed(act: Act, root: Path, call: int) -> int:
    child = os.fork()
    if child == 0:
        left = call

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal left
            if event in {"call", "c_call"}:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        _counted(act, root, count)
        os._exit(3)
    return os.waitpid(child, 0)[1]


@dataclass
class Killable:
    """A node that can be put back to one state.

    Attributes:
        saved: The node as it was; never touched.
        root: Where a copy of it lives.
        mortals: Do something to it.
    """

    saved: Path
    root: Path
    mortals: Mortals

    @property
    def node(self) -> FakeNode:
        """The node, as a process that starts now finds it."""
        return _Durable(self.root)

    def save(self) -> None:
        """Keep this state."""
        shutil.rmtree(self.saved, ignore_errors=True)
        shutil.copytree(self.root, self.saved, symlinks=True)

    def again(self) -> None:
        """Go back to the kept state."""
        shutil.rmtree(self.root)
        shutil.copytree(self.saved, self.root, symlinks=True)

    def calls(self, act: Act) -> dict[str, int]:
        """See `Mortals`; the node is put back before."""
        self.again()
        return self.mortals.calls(act, self.root)

    def killed(self, act: Act, call: int) -> None:
        """See `Mortals`; the node is put back before."""
        self.again()
        self.mortals.killed(act, self.root, call)

    def state(self) -> dict[str, Any]:
        """Return all of the node that a transaction may touch, but for the files' times."""
        taken = self.node.snapshot()
        return {name: seen[:-1] if len(seen or ()) == 5 else seen for name, seen in taken.items()}


def activating(identity: str) -> Act:
    """Return what activates a generation."""
    return partial(activate, identity=identity)
