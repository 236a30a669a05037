"""The site that the tests of the front page share."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.model import Fleet
from tests.front_page import stories
from tests.front_page.site import Site


@pytest.fixture
def site(example: Fleet) -> Iterator[Site]:
    """The example fleet's gateway, without live data yet, its page asking every second."""
    node = example["gateway-01"]
    assert node.gateway
    page = dataclasses.replace(node.gateway.front_page, poll_seconds=1)
    eager = dataclasses.replace(node, gateway=dataclasses.replace(node.gateway, front_page=page))
    nodes = tuple(eager if one == node else one for one in example.nodes)
    with Site(dataclasses.replace(example, nodes=nodes)) as found:
        yield found


@pytest.fixture
def story(example: Fleet, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Tell one of the stories."""
    return lambda name: stories.STORIES[name](tmp_path, example)
