"""The names of a transaction's steps, from the one list of them."""

from unittest.mock import Mock

from ipex_node import steps

_WORLD, _FOUND, _CHANGES = Mock(), Mock(), Mock()

STEPS = [
    step.name
    for part in (
        steps.looks(_WORLD, _FOUND),
        steps.changes_of(_WORLD, _FOUND, _CHANGES, None),
        steps.after_commit(_WORLD, _FOUND, _CHANGES),
    )
    for step in part
]
