"""A model written anew: narrower weights, or ONNX, checked for what it loses before it is written.

Takes: a model folder. Gives: a model folder with golden vectors, or `FILE.onnx` with
    `FILE.tokenizer.json` beside it; and what was lost on real text.
Source: docs/export.md; labse.encoder.export.onnx_graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labse.encoder.check.sample import sample_sentences
from labse.encoder.export.onnx_graph import build_onnx
from labse.encoder.export.quality import (
    MeasureScore,
    QualityBounds,
    QualityLoss,
    check_loss,
    measure_loss,
)
from labse.encoder.runtimes.onnx_runtime import OnnxRuntime
from labse.encoder.save import write_folder
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.files.atomic import check_writable, write_atomic
from labse.model_folder.folder import ModelFolder, check_model_place, read_model_folder
from labse.model_folder.hub import locate_model
from labse.model_folder.int8 import Storage, narrow_weights
from labse.runtime import OnProgress

__all__ = ["ExportReport", "count_bytes", "export_model"]

_NUM_STEPS = 3
_MAX_DIFFERENCE = 1e-4  # Of a value of a unit vector; sums in another order.
_MAX_ONNX_BYTES = (1 << 31) - 1  # Of a protocol buffer.


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and what was lost."""

    path: Path
    num_bytes_before: int
    num_bytes_after: int
    loss: QualityLoss


def export_model(
    source: str | Path,
    out: str | Path,
    *,
    storage: Storage = "float32",
    sample: Sequence[str] | None = None,
    measure: MeasureScore | None = None,
    bounds: QualityBounds | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> ExportReport:
    """Writes a model folder with weights of another storage, or an ONNX file.

    ONNX is of opset 20, for any batch and length. onnxruntime runs the file on real sentences
    first: each value of each vector must be within 1e-4 of what labse computes from the same
    weights.

    Args:
        source: any model that `read_model_folder` reads.
        out: a folder to make, or a file that ends in .onnx.
        storage: sentence-transformers reads "float32" and "float16", narrower rows only labse does;
            ONNX has "float32" and "int8".
        sample: sentences to compare by cosine; None takes those that come with labse.
        measure: gives a retrieval score, 0 to 1; None takes P@1 on the sentences that come with
            labse, all languages against English.
        bounds: nothing is written if more than this is lost; None writes whatever is lost.
        on_progress: called with the steps done and their number: made, measured, written.

    Raises:
        LabseError: the model cannot be read, more is lost than `bounds` allow, or onnxruntime gives
            other vectors, or the graph is over 2 GiB.
        UsageError: `storage` is one that ONNX does not have.
        ResourceError: onnx or onnxruntime is not installed, or `out` cannot be written.
    """
    source, out = locate_model(source), Path(out)
    is_onnx = out.suffix == ".onnx"
    if is_onnx and storage not in ("float32", "int8"):
        raise UsageError(f"--storage {storage}: ONNX is written in float32 or int8")
    if is_onnx:
        check_writable(out)
    else:
        check_model_place(out)
    on_progress(0, _NUM_STEPS)

    # Make the new model, and an encoder of it.
    model = read_model_folder(source)
    narrow = replace(model, weights=narrow_weights(model.weights, storage))
    encoder = after = SentenceEncoder.from_model(narrow)
    content = b""
    if is_onnx:
        content = _build_onnx(narrow, what=f"{source}: the graph is over 2 GiB in {storage}")
        after = _load_onnx(content, model)
        _check_same(encoder, after)
    on_progress(1, _NUM_STEPS)

    # Measure what it loses.
    loss = measure_loss(SentenceEncoder.from_model(model), after, sample=sample, measure=measure)
    if bounds is not None:
        check_loss(loss, bounds, what=f"{source}{' as ONNX' if is_onnx else ''} in {storage}")
    on_progress(2, _NUM_STEPS)

    # Write it; `out` may be `source`.
    num_bytes = count_bytes(source)
    if is_onnx:
        with write_atomic(out) as stream:
            stream.write(content)
        with write_atomic(out.with_suffix(".tokenizer.json")) as stream:
            stream.write(model.tokenizer.to_str().encode())
    else:
        write_folder(out, narrow, source=source, storage=storage, encoder=encoder)
    on_progress(_NUM_STEPS, _NUM_STEPS)
    return ExportReport(out, num_bytes, count_bytes(out), loss)


def count_bytes(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _build_onnx(model: ModelFolder, *, what: str) -> bytes:
    graph = build_onnx(model)
    if graph.ByteSize() > _MAX_ONNX_BYTES:
        raise LabseError(f"{what}; export it as int8")
    content: bytes = graph.SerializeToString()
    return content


def _load_onnx(content: bytes, model: ModelFolder) -> SentenceEncoder:
    runtime = OnnxRuntime(content, pad_token_id=model.config.bert.pad_token_id)
    length = model.config.max_seq_length
    return SentenceEncoder.from_runtime(
        runtime, model.tokenizer, max_seq_length=length, prompts=model.prompts
    )


def _check_same(ours: SentenceEncoder, exported: SentenceEncoder) -> None:
    sentences = sample_sentences(50)
    difference = float(np.abs(ours.encode(sentences) - exported.encode(sentences)).max())
    if not difference <= _MAX_DIFFERENCE:
        raise LabseError(
            f"onnxruntime gives vectors that differ by {difference:.1e} from those of labse, more "
            f"than {_MAX_DIFFERENCE}; nothing is written"
        )
