"""A smaller model for some languages: the rows that their text never needs are left out.

Takes: a model folder, languages or text. Gives: a model folder with the same vectors on text whose
pieces were kept, and the share of tokens that change on other text.
Source: Abdaoui et al., "Load What You Need", arXiv 2010.05609.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.corpus.file_formats import is_text
from labse.corpus.languages import canonical_tag
from labse.corpus.readers import read_pairs
from labse.encoder.check.sample import sample_languages
from labse.encoder.export.model import count_bytes
from labse.encoder.export.pieces import (
    changed_tokens,
    count_pieces,
    pieces_of_langs,
    shrink_tokenizer,
)
from labse.encoder.save import storage_of, write_folder
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.files.text import as_list, read_lines
from labse.model_folder.folder import ModelFolder, check_model_place, read_model_folder
from labse.model_folder.hub import locate_model
from labse.model_folder.int8 import NarrowRows, StoredWeights, stored_weight

__all__ = ["PruneReport", "prune_folder", "prune_model"]

_WORD_TABLE = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was written.

    Attributes:
        path: the folder.
        vocab_size_before: pieces of the model that was given.
        vocab_size_after: pieces that were kept.
        parameters_before: weights of the model that was given.
        parameters_after: weights that were kept.
        num_bytes_before: all files.
        num_bytes_after: all files.
        held_out_tokens: tokens of the held-out text.
        changed_tokens: those in words that the pruned model cuts otherwise.
    """

    path: Path
    vocab_size_before: int
    vocab_size_after: int
    parameters_before: int
    parameters_after: int
    num_bytes_before: int
    num_bytes_after: int
    held_out_tokens: int
    changed_tokens: int


def prune_folder(
    source: str | Path,
    out: str | Path,
    *,
    langs: str | Sequence[str] = (),
    text: str | Path | Sequence[str | Path] = (),
    min_count: int = 1,
    held_out: str | Path | None = None,
) -> PruneReport:
    """Writes a model folder of the pieces that are needed.

    Args:
        source: any model that `read_model_folder` reads.
        out: the folder to make; weights are stored as in `source`.
        langs: without `text`, all pieces in their scripts are kept: then the vectors of all text in
            these scripts stay the same. With `text`, the side of a pair that is kept.
        text: text, or pairs; a piece is kept if it is needed there `min_count` times.
        min_count: above 1, text with rarer pieces gets other vectors.
        held_out: text on which the change is counted; None takes the sentences that come with
            labse, in `langs` if it has these.

    Raises:
        LabseError: the model or the text cannot be read, or there is no text.
        UsageError: neither `langs` nor `text`, or `min_count` without text.
        ResourceError: `out` cannot be written.
    """
    langs, text = as_list(langs), as_list(text)
    if not langs and not text:
        raise UsageError("give --langs, --text or both: which text must keep its vectors?")
    if min_count > 1 and not text:
        raise UsageError(f"--min-count {min_count}: only pieces of --text are counted")
    # Which pieces does the text need?
    source, out = locate_model(source), Path(out)
    check_model_place(out)
    model = read_model_folder(source)
    if text:
        counts = count_pieces(model.tokenizer, _read_text(text, langs))
        if not counts.any():
            raise LabseError(f"{text[0]}: no text" + (f" in {', '.join(langs)}" if langs else ""))
        kept = counts >= min_count
    else:
        kept = pieces_of_langs(model.tokenizer, langs)

    # Leave out the others, and see what that changes elsewhere.
    pruned = prune_model(model, kept)
    sentences = _sample_of(langs) if held_out is None else list(read_lines(held_out))
    num_changed, num_tokens = changed_tokens(model.tokenizer, pruned.tokenizer, sentences)

    # Write it; `out` may be `source`.
    num_bytes = count_bytes(source)
    encoder = SentenceEncoder.from_model(pruned)
    write_folder(out, pruned, source=source, storage=storage_of(source), encoder=encoder)
    return PruneReport(
        path=out,
        vocab_size_before=model.config.bert.vocab_size,
        vocab_size_after=pruned.config.bert.vocab_size,
        parameters_before=_count_parameters(model),
        parameters_after=_count_parameters(pruned),
        num_bytes_before=num_bytes,
        num_bytes_after=count_bytes(out),
        held_out_tokens=num_tokens,
        changed_tokens=num_changed,
    )


def prune_model(model: ModelFolder, kept: NDArray[np.bool_]) -> ModelFolder:
    """Returns the model with the kept pieces (V,) and its special tokens, in their old order."""
    tokenizer, old_numbers = shrink_tokenizer(model.tokenizer, kept)
    rows = stored_weight(model.weights, _WORD_TABLE)
    rows = rows.select(old_numbers) if isinstance(rows, NarrowRows) else rows[old_numbers]
    pad = int(np.searchsorted(old_numbers, model.config.bert.pad_token_id))
    bert = model.config.bert.model_copy(
        update={"vocab_size": len(old_numbers), "pad_token_id": pad}
    )
    return replace(
        model,
        config=model.config.model_copy(update={"bert": bert}),
        weights=StoredWeights(
            {name: stored_weight(model.weights, name) for name in model.weights}
            | {_WORD_TABLE: rows}
        ),
        tokenizer=tokenizer,
    )


def _read_text(files: Sequence[str | Path], langs: Sequence[str]) -> Iterator[str]:
    tags = {canonical_tag(lang) for lang in langs}
    for file in files:
        if is_text(file):
            yield from read_lines(file)
            continue
        for pair in read_pairs(file):
            sides = ((pair.source_lang, pair.source), (pair.target_lang, pair.target))
            yield from (sentence for lang, sentence in sides if not tags or lang in tags)


def _sample_of(langs: Iterable[str]) -> list[str]:
    languages = sample_languages()
    known = [tag for lang in langs if (tag := canonical_tag(lang)) in languages]
    return [sentence for tag in known or languages for sentence in languages[tag]]


def _count_parameters(model: ModelFolder) -> int:
    shapes = (stored_weight(model.weights, name).shape for name in model.weights)
    return sum(math.prod(shape) for shape in shapes)
