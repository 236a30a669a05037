"""Work of a whole run: done by the first node that asks, awaited by all others."""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import gevent
from gevent import Greenlet
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State

Result = TypeVar("Result")

_done: "WeakKeyDictionary[State, dict[Callable[[State], Any], Greenlet[..., Any]]]" = WeakKeyDictionary()


def once(state: State, work: Callable[[State], Result]) -> Result:
    """Return what the work gave, for this run.

    Raises:
        RefusedError: the work refused the run.
    """
    begun = _done.setdefault(state, {})
    if work not in begun:
        begun[work] = gevent.spawn(_or_refused, work, state)
    result = begun[work].get()
    if isinstance(result, PyinfraError):
        raise result
    return result  # type: ignore[no-any-return]


def _or_refused(work: Callable[[State], Result], state: State) -> Result | PyinfraError:
    """Hand a refusal over as a value: gevent would print the traceback of one that is raised."""
    try:
        return work(state)
    except PyinfraError as refused:
        return refused
