"""One engine of each kind, that the tests of a file share."""

from collections.abc import Iterator

import pytest

from tests.lab_engines.engine_process import Engine, comfyui_arguments, ollama_environment, running


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Ollama that many tests share."""
    directory = tmp_path_factory.mktemp("ollama")
    more = {"OLLAMA_NUM_PARALLEL": "200"}
    with running("ollama", ["serve"], directory, **ollama_environment(directory, **more)) as engine:
        yield engine


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A ComfyUI that many tests share."""
    directory = tmp_path_factory.mktemp("comfyui")
    with running("comfyui", comfyui_arguments(directory), directory) as engine:
        yield engine
