"""A model written anew: narrower weights, checked for what it loses before it is written.

Takes: a model folder. Gives: a model folder with golden vectors, and what was lost on real text.
Source: docs/export.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labse.encoder.check.golden import GOLDEN_NAME, build_golden
from labse.encoder.export.quality import (
    MeasureScore,
    QualityBounds,
    QualityLoss,
    check_loss,
    measure_loss,
)
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.files.atomic import MANIFEST_NAME, read_json
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.model_folder.hub import locate_model
from labse.model_folder.int8 import Storage, narrow_weights

__all__ = ["ExportReport", "count_bytes", "export_folder", "write_folder"]

_REMADE = ("labse_version", "config", "storage", "files")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and what was lost."""

    path: Path
    num_bytes_before: int
    num_bytes_after: int
    loss: QualityLoss


def export_folder(
    source: str | Path,
    out: str | Path,
    *,
    storage: Storage = "float32",
    sample: Sequence[str] | None = None,
    measure: MeasureScore | None = None,
    bounds: QualityBounds | None = None,
) -> ExportReport:
    """Writes a model folder with weights of another storage, and golden vectors.

    Args:
        source: any model that `read_model_folder` reads.
        out: the folder to make.
        storage: sentence-transformers reads "float32" and "float16"; int8 rows only labse does.
        sample: sentences to compare by cosine; None takes those that come with labse.
        measure: gives a retrieval score, 0 to 1; None takes P@1 on the sentences that come with
            labse, all languages against English.
        bounds: nothing is written if more than this is lost; None writes whatever is lost.

    Raises:
        LabseError: the model cannot be read, or more is lost than `bounds` allow.
        ResourceError: `out` cannot be written.
    """
    source, out = locate_model(source), Path(out)
    model = read_model_folder(source)
    narrow = replace(model, weights=narrow_weights(model.weights, storage))
    encoder = SentenceEncoder.from_model(narrow)
    loss = measure_loss(SentenceEncoder.from_model(model), encoder, sample=sample, measure=measure)
    if bounds is not None:
        check_loss(loss, bounds, what=f"{source} in {storage}")
    num_bytes = count_bytes(source)  # Before it is written: `out` may be `source`.
    write_folder(out, narrow, source=source, storage=storage, encoder=encoder)
    return ExportReport(out, num_bytes, count_bytes(out), loss)


def write_folder(
    out: Path, model: ModelFolder, *, source: Path, storage: Storage, encoder: SentenceEncoder
) -> None:
    """Writes a model made from that in `source`, with golden vectors and its lineage.

    Args:
        out: the folder to make.
        model: with the weights that a reader of the folder will have.
        source: whose manifest, tokenizer settings and kind are kept.
        storage: of the weights.
        encoder: of `model`, in float32.
    """
    manifest: dict[str, object] = {"kind": "model"}
    if (source / MANIFEST_NAME).is_file():
        known = read_json(source / MANIFEST_NAME)
        manifest |= {key: value for key, value in known.items() if key not in _REMADE}
    write_model_folder(
        out,
        model,
        vocab_folder=source,
        manifest=manifest,
        storage=storage,
        extra_files={GOLDEN_NAME: build_golden(encoder)},
    )


def count_bytes(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
