"""What the engines do for their users, measured on the lab's engines."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fleet.metrics import METRICS
from ipex_node import files, samples
from ipex_node.engines import PROOF_SESSION
from ipex_node.failure import FailedError
from ipex_node.paths import Paths
from ipex_node.samples import Sample
from ipex_node.settings import Service, Settings
from ipex_node.traffic import comfyui, ollama, run
from ipex_node.traffic.counts import Counts, Evaluated, Finished
from ipex_node.traffic.journal import Journal
from ipex_node.traffic.run import Traffic
from tests.ipex_node import fake_node
from tests.ipex_node.fake_node import FakeNode
from tests.ipex_node.traffic.test_journal import entry
from tests.ipex_node.traffic.test_ollama import ACCESS, GENERATED
from tests.lab_engines.engine_process import SIMPLE, Engine, comfyui_arguments, ollama_environment, running, until

BUCKETS = (0.5, 2.0, 8.0)
UNIT = "ollama-ipex.service"
PROMPT = "what nobody else may read"

Key = tuple[str, ...]


def settings(*services: Service) -> Settings:
    """A node with engines."""
    return Settings("gpu-01", "lab", services=services, duration_buckets=BUCKETS)


def ollama_at(port: int) -> Service:
    """An Ollama."""
    return Service("ollama", port, "/api/tags", "ollama", UNIT)


def silent(_command: Sequence[str]) -> bytes:
    """A journal in which nothing happens."""
    return b""


def looking(service: Service, read: Callable[[Sequence[str]], bytes | None] = silent) -> Traffic:
    """What measures one service, with a journal of the test's."""
    return Traffic(settings(service), Paths(), Journal([UNIT], read))


def values(found_samples: list[Sample]) -> dict[Key, float]:
    """Return values by family with suffix, and by labels but for the service's."""
    found: dict[Key, float] = {}
    for one in found_samples:
        key = (one.family + one.suffix, *(value for name, value in one.labels.items() if name != "service"))
        assert key not in found, "two series with the same labels make a page invalid"
        found[key] = one.value
    return found


class Printed:
    """An engine's standard output as the journal would have it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = len(engine.log)

    def read(self, _command: Sequence[str]) -> bytes:
        """Return what is new."""
        lines = self._engine.log[self._read :]
        self._read += len(lines)
        return b"".join(entry(text.rstrip("\n"), f"c{place}") for place, text in enumerate(lines))


def test_every_family_has_its_row_and_its_labels() -> None:
    """What is measured is what the one table of metrics says."""
    rows = {metric.name: set(metric.labels) for metric in METRICS}
    counts = Counts("x", ("generate",), BUCKETS)
    for one in [*counts.requests(), *counts.throughput(), *_gauges()]:
        assert set(one.labels) | {"le"} == rows[one.family] | {"le"}


def _gauges() -> Iterator[Sample]:
    yield Sample("ipex_queue_length", {"service": "x"}, 1)
    yield from ollama.models("x", {"models": [{"name": "m"}]})
    yield from comfyui.devices("x", {"devices": [{"type": "xpu"}]})


def test_histogram_adds_up() -> None:
    """Buckets are cumulative, a bound belongs to its bucket, and only success is timed."""
    counts = Counts("x", ("generate",), BUCKETS)
    for seconds in (0.5, 1.0, 2.0, 100.0):
        counts.finished(Finished("generate", "success", seconds))
    counts.finished(Finished("generate", "refused", 0.001))
    counts.finished(Finished("generate", "success", None))
    counts.evaluated(Evaluated("generated", 24, 0.31))
    found = values([*counts.requests(), *counts.throughput()])
    family = "ipex_inference_duration_seconds"
    buckets = {key[2]: value for key, value in found.items() if key[0] == f"{family}_bucket"}
    assert buckets == {"0.5": 1, "2.0": 3, "8.0": 3, "+Inf": 4}
    assert found[f"{family}_sum", "generate"] == 103.5
    assert found[f"{family}_count", "generate"] == 4
    assert found["ipex_inference_requests_total", "generate", "success"] == 5
    assert found["ipex_inference_requests_total", "generate", "error"] == 0
    assert found["ipex_inference_tokens_total", "generated"] == 24
    assert found["ipex_inference_compute_seconds_total", "prompt"] == 0


def test_ollama_end_to_end(tmp_path: Path) -> None:
    """Users' generations are counted with their tokens and durations; proofs are not; no prompt is kept."""
    with running("ollama", ["serve"], tmp_path, **ollama_environment(tmp_path)) as engine:
        looks = looking(ollama_at(engine.port), Printed(engine).read)
        looks.look()
        question = {"model": "tinyllama", "prompt": PROMPT, "options": {"num_predict": 10}}
        user = "192.0.2.7, 198.51.100.1"
        assert engine.ask("POST", "/api/generate", question, X_Forwarded_For=user).status == 200
        assert engine.ask("POST", "/api/generate", question).status == 200
        assert engine.ask("POST", "/api/chat", {"model": "nobody"}, X_Forwarded_For=user).status == 404
        assert engine.logged("| 404 |")
        taken = looks.look()
    found = values(taken)
    assert found["ipex_inference_requests_total", "generate", "success"] == 1
    assert found["ipex_inference_requests_total", "generate", "refused"] == 1
    assert found["ipex_inference_duration_seconds_count", "generate"] == 1
    assert 0 < found["ipex_inference_duration_seconds_sum", "generate"] < 5
    assert found["ipex_inference_tokens_total", "generated"] == 20
    assert found["ipex_inference_tokens_total", "prompt"] == 2 * len(PROMPT.split())
    assert found["ipex_inference_compute_seconds_total", "generated"] > 0
    assert found["ipex_model_gpu_bytes", "tinyllama:latest"] == found["ipex_model_size_bytes", "tinyllama:latest"] > 0
    assert found[("ipex_queue_length",)] == 0
    assert PROMPT not in json.dumps([[one.family, one.labels] for one in taken])


def test_comfyui_end_to_end(tmp_path: Path) -> None:
    """Users' prompts are counted when they have ended; proofs are not; the devices are named."""
    with running("comfyui", comfyui_arguments(tmp_path), tmp_path) as engine:
        looks = looking(Service("comfyui", engine.port, "/system_stats", "comfyui"))
        assert engine.ask("POST", "/prompt", {"prompt": SIMPLE}).status == 200
        assert until(lambda: len(engine.ask("GET", "/history").json()) == 1)
        assert values(looks.look())["ipex_inference_requests_total", "generate", "success"] == 0
        for client in ("browser", f"{PROOF_SESSION}1"):
            engine.ask("POST", "/prompt", {"prompt": SIMPLE, "client_id": client})
        assert until(lambda: len(engine.ask("GET", "/history").json()) == 3)
        found = values(looks.look())
    assert found["ipex_inference_requests_total", "generate", "success"] == 1
    assert found["ipex_inference_duration_seconds_count", "generate"] == 1
    assert found[("ipex_queue_length",)] == 0
    assert sum(value for key, value in found.items() if key[0] == "ipex_service_devices") == 1


def test_a_prompt_that_runs_is_in_the_queue(tmp_path: Path) -> None:
    """Running and waiting, until it has ended."""
    with running("comfyui", comfyui_arguments(tmp_path), tmp_path) as engine, engine.broken(generate="hang"):
        looks = looking(Service("comfyui", engine.port, "/system_stats", "comfyui"))
        for _ in range(3):
            engine.ask("POST", "/prompt", {"prompt": SIMPLE})
        assert values(looks.look())[("ipex_queue_length",)] == 3


def test_measures_until_it_is_stopped(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first numbers are there at once, and SIGTERM ends it well."""
    files.write(
        node.world.paths.settings,
        json.dumps(fake_node.SETTINGS | {"services": [], "paths": {"sysfs": "/s", "procfs": "/p"}}).encode(),
    )
    monkeypatch.setattr("time.sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run.serve(node.world) == {"ok": True, "failures": []}
    finally:
        signal.signal(signal.SIGTERM, before)
    assert samples.read(node.world.paths.samples("traffic"), 60) == []


def test_a_machine_without_settings_is_told_to_be_deployed(node: FakeNode) -> None:
    """There is nothing to measure yet."""
    node.world.paths.settings.unlink(missing_ok=True)
    with pytest.raises(FailedError, match="deploy this node first"):
        run.serve(node.world)


def test_an_engine_that_says_no_tokens() -> None:
    """After some generations without a word of tokens they are absent with a reason, and not 0."""
    answers = [entry(ACCESS) * run.UNTIMED, entry(GENERATED)]
    looks = looking(ollama_at(1), lambda _: answers.pop(0))
    reason = "the engine's log has no timings: Ollama before 0.30?"
    found = values(looks.look())
    assert found["ipex_metrics_absent", "tokens of ollama", reason] == 1
    assert ("ipex_inference_tokens_total", "generated") not in found
    found = values(looks.look())
    assert found["ipex_inference_tokens_total", "generated"] == 24
    assert ("ipex_metrics_absent", "tokens of ollama", reason) not in found


def test_a_dead_engine_and_a_dead_journal() -> None:
    """What nobody says is absent; what was counted stays."""
    found = values(looking(ollama_at(1), lambda _: None).look())
    assert found["ipex_metrics_absent", "journal", "journalctl does not answer"] == 1
    assert found["ipex_inference_requests_total", "generate", "success"] == 0
    assert not [key for key in found if key[0].startswith("ipex_model")]
    found = values(looking(Service("comfyui", 1, "/", "comfyui")).look())
    assert ("ipex_queue_length",) not in found


def test_lines_of_an_unknown_unit_count_nowhere() -> None:
    """Only the node's own engines are counted."""
    found = values(looking(ollama_at(1), lambda _: entry(ACCESS, unit="other.service")).look())
    assert found["ipex_inference_requests_total", "generate", "success"] == 0
