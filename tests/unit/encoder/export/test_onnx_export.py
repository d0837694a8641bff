from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from labse.encoder.export.model import export_model
from labse.encoder.export.quality import QualityBounds
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.model_folder.folder import ModelFolder, write_model_folder

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture
def source(tmp_path: Path, build_model: Callable[..., ModelFolder], vocab_folder: Path) -> Path:
    model = build_model(0, pooling="mean")
    write_model_folder(tmp_path / "source", model, vocab_folder=vocab_folder, manifest={})
    return tmp_path / "source"


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_the_file_and_its_tokenizer_are_enough(source: Path, tmp_path: Path, storage: str) -> None:
    report = export_model(source, tmp_path / "m.onnx", storage=storage)  # type: ignore[arg-type]

    tokenizer = Tokenizer.from_file(str(tmp_path / "m.tokenizer.json"))
    ids = np.array([tokenizer.encode("free and equal").ids])
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (vectors,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    expected = SentenceEncoder.from_pretrained(source).encode(["free and equal"])
    np.testing.assert_allclose(vectors, expected, atol=1e-6 if storage == "float32" else 0.02)
    assert report.num_bytes_after == (tmp_path / "m.onnx").stat().st_size


def test_the_gate_and_float16_refuse_before_anything_is_written(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(LabseError, match="as ONNX in int8 loses too much"):
        export_model(source, tmp_path / "m.onnx", storage="int8", bounds=QualityBounds(0.9999999))
    with pytest.raises(UsageError, match="float32 or int8"):
        export_model(source, tmp_path / "m.onnx", storage="float16")
    assert not list(tmp_path.glob("m.*"))
