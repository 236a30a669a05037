"""Whatever drivers, processes and files say: no exception, and a page that Prometheus reads."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node import exposition
from ipex_node.exposition import OPENMETRICS, TEXT
from ipex_node.gpu import memory
from ipex_node.gpu.busy import Busy
from ipex_node.gpu.clients import Client, Work, parse
from ipex_node.gpu.memory import held
from ipex_node.gpu.sampler import Sampler
from lab import hardware, hardware_clients
from lab.hardware_drm import i915_regions, xe_regions
from tests.ipex_node.test_exposition import parsed
from tools.recorded import ROWS

SEED = 4
A770, B580 = hardware.KINDS["two-gpus"]
FDINFOS = [hardware.fdinfo(hardware_clients.LLAMA, card, 0).encode() for card in (A770, B580)]
PIECES = [b"\0", b"\xff\xfe", b"-1", b"9" * 30, b" MiB", b" KiB", b"\n", b":", b"drm-engine-", b"drm-pdev:\t", b'"\\']


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Cut, repeat and replace a few pieces."""
    for _ in range(chance.randint(1, 4)):
        start, end = sorted((chance.randint(0, len(content)), chance.randint(0, len(content))))
        piece = chance.choice([b"", content[start:end], chance.choice(PIECES), chance.randbytes(3)])
        content = content[:start] + piece + content[chance.choice([start, min(len(content), start + 8), end]) :]
    return content


@pytest.mark.parametrize(
    ("parser", "originals", "rounds"),
    [
        (parse, FDINFOS, 20_000),
        (memory.read_i915, [i915_regions(A770)], 4_000),
        (memory.read_xe, [xe_regions(B580)], 4_000),
        (lambda words: exposition.content_type(words.decode("latin-1")), [OPENMETRICS.encode(), b"*/*;q=0.1"], 4_000),
    ],
)
def test_parsers_take_anything(parser: Callable[[bytes], object], originals: list[bytes], rounds: int) -> None:
    """Real content, mutated at random; the seed is fixed, so a failure repeats."""
    chance = random.Random(SEED)  # noqa: S311 - nothing is kept secret by it
    read = [parser(mutated(chance.choice(originals), chance)) for _ in range(rounds)]
    assert any(read), "mutated beyond recognition: nothing was tried"


def test_page_stays_valid_over_broken_trees(tmp_path: Path) -> None:
    """Files of sysfs and procfs with garbage, cut short or gone: two looks, a page for each format's strict parser."""
    hardware.write(tmp_path, "two-gpus")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    originals = {path: path.read_bytes() for path in files}
    chance = random.Random(SEED)  # noqa: S311 - as above
    for _ in range(60):
        sampler = Sampler(tmp_path / "sysfs", tmp_path / "proc", tmp_path / "dri")
        for _ in range(2):
            broken = chance.sample(files, 25)
            for path in broken:
                path.write_bytes(mutated(originals[path], chance))
            gone = chance.choice(files)
            gone.unlink()
            found = sampler.sample()
            for kind in (TEXT, OPENMETRICS):
                parsed(exposition.text(found, ROWS, kind), kind)
            for path in (*broken, gone):
                path.write_bytes(originals[path])


values = st.integers(0, 2**64 - 1) | st.integers(0, 1000)
clients = st.lists(
    st.builds(
        Client,
        st.sampled_from(["0000:03:00.0", "0000:07:00.0"]),
        st.integers(1, 3),
        st.dictionaries(st.sampled_from(["compute", "copy"]), st.builds(Work, values, st.none() | values)),
        st.dictionaries(st.sampled_from(["compute", "copy"]), st.integers(1, 4)),
        st.dictionaries(st.sampled_from(["vram0", "system"]), values),
        st.dictionaries(st.sampled_from(["vram0", "system"]), values),
    ),
    max_size=4,
)


@given(st.lists(st.tuples(st.floats(0, 100), clients), max_size=8))
def test_counters_never_go_back_and_never_run_ahead_of_time(looks: list[tuple[float, list[Client]]]) -> None:
    """Whatever clients say, come and go: seconds grow, by no more than passes, and a ratio is one."""
    now = 5.0
    counter = Busy(now)
    for pause, said in looks:
        before, now = dict(counter.seconds), now + pause
        counter.take(said, now)
        assert all(counter.seconds[place] >= seconds for place, seconds in before.items())
        assert all(seconds <= now - 5.0 for seconds in counter.seconds.values())
        assert all(0 <= ratio <= 1 for ratio in counter.ratios.values())


@given(clients)
def test_memory_held_is_between_the_largest_and_the_sum(said: list[Client]) -> None:
    """Counting what is shared once takes nothing from who holds most, and adds nothing to all together."""
    for slot in {client.pci_slot for client in said}:
        sizes = [client.resident.get("vram0", 0) for client in said if client.pci_slot == slot]
        assert max(sizes) <= held(said, slot).get("vram0", 0) <= sum(sizes)
