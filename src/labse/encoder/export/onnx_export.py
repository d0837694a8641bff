"""A model as one ONNX file, checked with onnxruntime before it is written.

Takes: a model folder. Gives: `FILE.onnx` and, beside it, `FILE.tokenizer.json`.
Source: labse.encoder.export.onnx_graph.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labse.encoder.check.sample import sample_sentences
from labse.encoder.export.folder import ExportReport, count_bytes
from labse.encoder.export.onnx_graph import build_onnx
from labse.encoder.export.quality import MeasureScore, QualityBounds, check_loss, measure_loss
from labse.encoder.runtimes.onnx_runtime import OnnxRuntime
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.files.atomic import check_writable, write_atomic
from labse.model_folder.folder import read_model_folder
from labse.model_folder.hub import locate_model
from labse.model_folder.int8 import Storage, narrow_weights

__all__ = ["export_onnx"]

_MAX_DIFFERENCE = 1e-4  # Of a value of a unit vector; sums in another order.
_MAX_BYTES = (1 << 31) - 1  # Of a protocol buffer.


def export_onnx(
    source: str | Path,
    out: str | Path,
    *,
    storage: Storage = "float32",
    sample: Sequence[str] | None = None,
    measure: MeasureScore | None = None,
    bounds: QualityBounds | None = None,
) -> ExportReport:
    """Writes the graph (opset 20, any batch and length) and the tokenizer beside it.

    The file is run by onnxruntime on real sentences first: each value of each vector must be
    within 1e-4 of the one that labse computes from the same weights.

    Args:
        source: any model that `read_model_folder` reads.
        out: the file to make.
        storage: "float32", or "int8" for matrices of a quarter of the size.
        sample: see `export_folder`.
        measure: see `export_folder`.
        bounds: see `export_folder`.

    Raises:
        LabseError: the model cannot be read, onnxruntime gives other vectors, more is lost than
            `bounds` allow, or the graph is over 2 GiB.
        UsageError: `storage` is float16.
        ResourceError: onnx or onnxruntime is not installed, or `out` cannot be written.
    """
    if storage == "float16":
        raise UsageError("ONNX is written in float32 or int8; choose one of them as the storage")
    source, out = locate_model(source), Path(out)
    tokenizer_path = out.with_suffix(".tokenizer.json")
    check_writable(out)
    model = read_model_folder(source)
    narrow = replace(model, weights=narrow_weights(model.weights, storage))
    graph = build_onnx(narrow)
    if graph.ByteSize() > _MAX_BYTES:
        raise LabseError(f"{source}: the graph is over 2 GiB in {storage}; export it as int8")

    content = graph.SerializeToString()
    runtime = OnnxRuntime(content, pad_token_id=model.config.bert.pad_token_id)
    length = model.config.max_seq_length
    exported = SentenceEncoder(runtime, model.tokenizer, max_seq_length=length)
    _check_same(SentenceEncoder.from_model(narrow), exported)
    before = SentenceEncoder.from_model(model)
    loss = measure_loss(before, exported, sample=sample, measure=measure)
    if bounds is not None:
        check_loss(loss, bounds, what=f"{source} as ONNX in {storage}")

    with write_atomic(out) as stream:
        stream.write(content)
    with write_atomic(tokenizer_path) as stream:
        stream.write(model.tokenizer.to_str().encode())
    return ExportReport(out, count_bytes(source), count_bytes(out), loss)


def _check_same(ours: SentenceEncoder, exported: SentenceEncoder) -> None:
    sentences = sample_sentences(50)
    difference = float(np.abs(ours.encode(sentences) - exported.encode(sentences)).max())
    if not difference <= _MAX_DIFFERENCE:
        raise LabseError(
            f"onnxruntime gives vectors that differ by {difference:.1e} from those of labse, more "
            f"than {_MAX_DIFFERENCE}; nothing is written"
        )
