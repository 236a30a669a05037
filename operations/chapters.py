"""Chapters: headings of a run that no node passes before all have arrived."""

from collections.abc import Generator

from pyinfra import state
from pyinfra.api.operation import operation
from pyinfra.api.state import BaseStateCallback, State

from fleet.load import RefusedError, node_name

_TITLES: set[str] = set()


class _StopAtFailure(BaseStateCallback):
    """Ends the run before the next chapter once a node has failed."""

    @staticmethod
    def operation_start(state: State, op_hash: str) -> None:
        name = min(state.get_op_meta(op_hash).names)
        if name in _TITLES and state.failed_hosts:
            failed = ", ".join(sorted(node_name(host) for host in state.failed_hosts))
            raise RefusedError(
                f"Stopped before {name!r}: {failed} failed (the reason stands above). Nodes that finished keep "
                "serving their new generation, the failed ones their old one. Mend the cause and run the same "
                "command again, or leave a node out with --exclude."
            )


@operation()
def _heading() -> Generator[str, None, None]:
    """Do nothing, on every node: what comes behind it waits for what came before it, everywhere."""
    yield from ()


def chapter(title: str) -> None:
    """Begin a chapter; every node must call it. It costs no command."""
    _TITLES.add(title)
    if not any(isinstance(handler, _StopAtFailure) for handler in state.callback_handlers):
        state.add_callback_handler(_StopAtFailure())
    _heading(name=title)
