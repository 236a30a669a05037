"""What the table of precisions says of quantising, asked of llama.cpp's own quantiser on a small real model.

Ollama's quantiser is llama.cpp's. Where `llama-quantize` is not in PATH (Debian has no package of it), Ollama's
documented API is asked instead, of the lab's engine (test_create.py).
"""

import shutil
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest

from fleet import precision
from fleet.precision import Can

pytestmark = pytest.mark.skipif(not shutil.which("llama-quantize"), reason="llama-quantize is not in PATH")

WIDTH = 256
"""The block of llama.cpp's K-quants."""
TYPES = sorted({one.quantize for one in precision.TABLE.values() if isinstance(one, Can) and one.quantize})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one layer in F16, with weights of a fixed seed."""
    path = tmp_path_factory.mktemp("gguf") / "small-f16.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    random = np.random.default_rng(1)
    square = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    for name in ("token_embd", "output", *(f"blk.0.{one}" for one in square)):
        writer.add_tensor(f"{name}.weight", random.normal(size=(WIDTH, WIDTH)).astype(np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _quantize(source: Path, target: Path, kind: str) -> "subprocess.CompletedProcess[str]":
    command = ["llama-quantize", str(source), str(target), kind.upper()]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("kind", TYPES)
def test_an_unquantised_model_is_quantised_and_a_quantised_one_refused(model: Path, kind: str, tmp_path: Path) -> None:
    """It is of that type, smaller, and near to what it was; doing it twice is what the quantiser refuses."""
    target = tmp_path / "small.gguf"
    done = _quantize(model, target, kind)
    assert done.returncode == 0, done.stderr

    small = gguf.GGUFReader(target)
    said = small.get_field("general.file_type")
    assert said
    assert said.contents() == gguf.LlamaFileType[f"MOSTLY_{kind.upper()}"]
    assert target.stat().st_size < 0.7 * model.stat().st_size
    whole, part = (
        next(one for one in reader.tensors if one.name == "blk.0.ffn_up.weight")
        for reader in (gguf.GGUFReader(model), small)
    )
    weights = gguf.quants.dequantize(part.data, part.tensor_type)
    assert np.abs(weights - whole.data.astype(np.float32)).mean() < 0.1

    again = _quantize(target, tmp_path / "again.gguf", "Q4_K_M" if kind.upper() == "Q8_0" else "Q8_0")
    assert again.returncode != 0
    assert "requantizing from type" in again.stderr
