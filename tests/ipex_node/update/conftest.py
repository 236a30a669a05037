"""A depot's node."""

from pathlib import Path

import pytest

from tests.ipex_node.update.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A depot in which nothing is published yet."""
    return Shop(tmp_path)
