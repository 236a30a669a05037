"""GPU nodes asked about their models, and told to fetch: all at once, each by its own ipex-node."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import gevent
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fleet import model_plan
from fleet.desired.program import PATH
from fleet.load import RefusedError, node_name
from fleet.model import Fleet
from fleet.model_plan import Stock
from operations import connection
from operations.node_command import Answer, failure_lines, last_object

_SHOW_SECONDS = 3600
"""Every file is read where that is asked for."""
_FETCH_SECONDS = 7 * 86400
"""A large model over a slow line; a line on which nothing comes is given up by the node itself."""


def stocks(state: State, fleet: Fleet, *, verify: bool) -> dict[str, Stock]:
    """What each GPU node of this run has.

    Raises:
        RefusedError: a node answers, but not this question.
    """
    names = [node.name for node in fleet.with_role("gpu_nodes")]
    words = ("models", "show", *(["--verify"] if verify else []))
    answers = _all(state, names, dict.fromkeys(names, (words, "")), _SHOW_SECONDS)
    for name, answer in answers.items():
        if not answer["ok"]:
            raise RefusedError(f"{name} does not say which models it has:\n  " + "\n  ".join(failure_lines(answer)))
    return {name: model_plan.stock(answer) for name, answer in answers.items()}


def fetched(state: State, orders: Mapping[str, dict[str, Any]]) -> dict[str, Answer]:
    """Give each node its order, and wait for all of them."""
    questions = {name: (("models", "fetch"), json.dumps(order)) for name, order in orders.items()}
    return _all(state, list(orders), questions, _FETCH_SECONDS)


def pruned(state: State, fleet: Fleet, there: Mapping[str, Stock], names: Iterable[str]) -> dict[str, Answer]:
    """Let each node that has some of these models, and declares none of them, remove them."""
    doomed = model_plan.removable(fleet, there, names)
    questions = {name: (("cleanup", "--json", "--models", *models), "") for name, models in doomed.items() if models}
    return _all(state, list(questions), questions, _SHOW_SECONDS)


def _all(
    state: State, names: list[str], questions: Mapping[str, tuple[tuple[str, ...], str]], seconds: int
) -> dict[str, Answer]:
    hosts = {node_name(host): host for host in state.inventory if state.is_host_in_limit(host) and host.connected}
    asked = {name: gevent.spawn(_ask, state, hosts[name], *questions[name], seconds) for name in names if name in hosts}
    return {name: question.get() for name, question in asked.items()}


def _ask(state: State, host: Host, words: tuple[str, ...], stdin: str, seconds: int) -> Answer:
    """Run a command of ipex-node with text on its standard input; one that ends without an answer has failed."""
    given = {"_timeout": seconds, **({"_stdin": stdin} if stdin else {})}
    arguments, _ = pop_global_arguments(state, host, dict(given))
    own = {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}
    try:
        _, output = host.run_shell_command(StringCommand(PATH, *map(QuoteString, words)), **own)
    except connection.LOST as error:
        return _lost(str(error))
    answer = last_object(output.stdout_lines)
    return answer if answer is not None else _lost(" ".join(output.stderr_lines[-2:]) or "no answer")


def _lost(why: str) -> Answer:
    cure = "look at the node, then run the same command again: what was fetched is not lost"
    return {"ok": False, "failures": [{"what": "the node", "why": why, "cure": cure}]}
