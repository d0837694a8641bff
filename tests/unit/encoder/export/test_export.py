import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from labse.encoder.export.model import count_bytes, export_model
from labse.encoder.export.quality import QualityBounds
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder

BuildModel = Callable[..., ModelFolder]
SETTINGS = [{"layers": 0, "pooling": "mean"}, {"layers": 1}]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    ("storage", "least"), [("float32", 0.999999), ("float16", 0.99999), ("int8", 0.999)]
)
def test_an_export_is_near_its_source_and_checks_itself(
    tmp_path: Path,
    build_model: BuildModel,
    vocab_folder: Path,
    sentences: list[str],
    settings: dict[str, object],
    storage: str,
    least: float,
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    model = build_model(**settings)
    write_model_folder(source, model, vocab_folder=vocab_folder, manifest={})

    report = export_model(source, out, storage=storage)  # type: ignore[arg-type]

    before, after = (SentenceEncoder.from_pretrained(folder) for folder in (source, out))
    cosines = np.sum(before.encode(sentences) * after.encode(sentences), axis=1)
    assert cosines.min() >= least
    assert report.loss.mean_cosine >= least
    assert report.num_bytes_after == count_bytes(out)
    assert after.num_truncated == before.num_truncated  # The check's sentences do not count.


def test_the_lineage_is_kept_and_the_storage_told(source: Path, tmp_path: Path) -> None:
    export_model(source, tmp_path / "out", storage="int8")

    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["seed"], manifest["kind"], manifest["storage"]) == (7, "model", "int8")
    assert "golden.safetensors" in manifest["files"]
    assert (tmp_path / "out/model.int8.safetensors").is_file()
    assert not (tmp_path / "out/model.safetensors").is_file()


def test_int8_rows_stay_int8_until_they_are_used(source: Path, tmp_path: Path) -> None:
    export_model(source, tmp_path / "out", storage="int8")
    export_model(tmp_path / "out", tmp_path / "again", storage="int8")

    once, twice = (read_model_folder(tmp_path / name).weights for name in ("out", "again"))
    for name in once:
        np.testing.assert_allclose(once[name], twice[name], rtol=1e-6)


def test_an_export_over_its_source_replaces_it(source: Path) -> None:
    before = SentenceEncoder.from_pretrained(source).encode(["free"])
    report = export_model(source, source)
    assert report.num_bytes_after > report.num_bytes_before  # By the golden vectors.
    np.testing.assert_allclose(SentenceEncoder.from_pretrained(source).encode(["free"]), before)


def test_past_the_bounds_nothing_is_written(source: Path, tmp_path: Path) -> None:
    bounds = QualityBounds(min_cosine=0.9999999)
    with pytest.raises(LabseError, match=r"source in int8 loses too much.*--force"):
        export_model(source, tmp_path / "out", storage="int8", bounds=bounds)
    assert not (tmp_path / "out").exists()


def test_another_tokenizer_is_found_by_the_golden_vectors(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_model(source, out)
    (out / "manifest.json").unlink()  # With it the hash of the file tells.
    state = json.loads((out / "tokenizer.json").read_text())
    vocab = state["model"]["vocab"]
    vocab["e"], vocab["a"] = vocab["a"], vocab["e"]
    (out / "tokenizer.json").write_text(json.dumps(state))

    with pytest.raises(LabseError, match="does not compute what it did when it was written"):
        SentenceEncoder.from_pretrained(out)


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_an_onnx_file_and_its_tokenizer_are_enough(
    source: Path, tmp_path: Path, storage: str
) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    report = export_model(source, tmp_path / "m.onnx", storage=storage)  # type: ignore[arg-type]

    tokenizer = Tokenizer.from_file(str(tmp_path / "m.tokenizer.json"))
    ids = np.array([tokenizer.encode("free and equal").ids])
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (vectors,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    expected = SentenceEncoder.from_pretrained(source).encode(["free and equal"])
    np.testing.assert_allclose(vectors, expected, atol=1e-6 if storage == "float32" else 0.02)
    assert report.num_bytes_after == (tmp_path / "m.onnx").stat().st_size


def test_the_bounds_and_float16_refuse_onnx_before_anything_is_written(
    source: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(LabseError, match="as ONNX in int8 loses too much"):
        export_model(source, tmp_path / "m.onnx", storage="int8", bounds=QualityBounds(0.9999999))
    with pytest.raises(UsageError, match="float32 or int8"):
        export_model(source, tmp_path / "m.onnx", storage="float16")
    assert not list(tmp_path.glob("m.*"))
