"""pyinfra's settings, and the flags this deploy refuses before any node is contacted."""

import logging

import click
from pyinfra import config, logger
from pyinfra import state as pyinfra_state

from fleet.load import RefusedError
from operations import command_line, rollout

config.REQUIRE_PYINFRA_VERSION = "~=3.10"

_REFUSED = {
    "serial": "--serial takes the nodes in random order and knows no chapters",
    "no_wait": "--no-wait hides failures: the run would end with exit status 0",
}

_context = click.get_current_context(silent=True)
_flags = _context.params if _context else {}
for _flag, _reason in _REFUSED.items():
    if _flags.get(_flag):
        raise RefusedError(f"{_reason}. Leave it out; --limit NODE touches one node.")


def _names_a_node() -> None:
    """Refuse a --limit that fits no node: pyinfra would do nothing, and call that done."""
    if pyinfra_state.initialised and not any(pyinfra_state.is_host_in_limit(host) for host in pyinfra_state.inventory):
        known = ", ".join(host.name for host in pyinfra_state.inventory)
        raise RefusedError(f"--limit {' '.join(_flags['limit'])} names no node. Nodes: {known}.")


command_line.read(_flags)
if _context and _flags.get("limit"):
    _context.call_on_close(_names_a_node)
if _context:
    # However the run ends: its record is kept, its lock given back, its last lines are said.
    _context.call_on_close(rollout.end)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line says more than that a node had nothing to do in a chapter."""
    return (
        not click.unstyle(record.getMessage()).rstrip().endswith(("] No changes", "] Skipped", "No changes", "Skipped"))
    )


if not _flags.get("verbosity"):
    logger.addFilter(_is_news)
