"""STS: do cosines order pairs of sentences as people do?

Takes: an encoder and a table of pairs with judgements. Gives: Spearman's rank correlation.
Source: Cer et al. 2017 (S17-2001), the STS benchmark; Reimers et al. 2016 (C16-1009), why
Spearman.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.errors import LabseError
from labse.evaluation.embedded import EmbeddedSentences, embed_distinct
from labse.evaluation.report import Report, Score, Table, build_signature
from labse.evaluation.significance import build_sample, spearman
from labse.files.text import read_lines

__all__ = ["StsPairs", "evaluate_sts", "read_sts"]

_BLOCK_ROWS = 4096
_COLUMNS = ("sentence1", "sentence2", "score")


@dataclass(frozen=True, slots=True)
class StsPairs:
    """Pairs of sentences and how alike people found them, higher is more alike."""

    name: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    judgements: tuple[float, ...]


def read_sts(path: str | Path) -> StsPairs:
    """Reads a TSV of two sentences and a judgement.

    A first line that names the columns `sentence1`, `sentence2` and `score` may have others and
    any order; without it there are these three.

    Raises:
        LabseError: no file, a line with other columns or no number, or fewer than two pairs.
    """
    path = Path(path)
    rows: list[tuple[str, str, float]] = []
    places, width = list(range(3)), 3
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split("\t")
        if number == 1 and set(_COLUMNS) <= set(cells):
            places, width = [cells.index(name) for name in _COLUMNS], len(cells)
            continue
        if len(cells) != width:
            raise LabseError(
                f"{path}, line {number}: {len(cells)} columns, expected {width}: two sentences "
                "and a score with tabs between, or a first line that names "
                f"{', '.join(_COLUMNS)}"
            )
        first, second, score = (cells[place] for place in places)
        rows.append((first, second, _parse_score(score, f"{path}, line {number}")))
    if len(rows) < 2:
        raise LabseError(f"{path}: {len(rows)} pairs; an order needs at least two")
    source, target, judgements = zip(*rows, strict=True)
    return StsPairs(path.name.partition(".")[0], source, target, judgements)


def evaluate_sts(
    encoder: Encoder,
    sets: Sequence[StsPairs],
    *,
    memory_bytes: int | None = None,
) -> Report:
    """Returns Spearman's correlation of the cosines with the judgements, from -1 to 1.

    Args:
        memory_bytes: bytes of vectors held at a time, see `embed_distinct`.

    Raises:
        ValueError: no set, or two of one name.
        LabseError: the encoder returned what is not one vector a sentence.
    """
    if not sets or len({pairs.name for pairs in sets}) < len(sets):
        raise ValueError("expected sets of different names")
    sides = (side for each in sets for side in (each.source, each.target))
    embedded = embed_distinct(encoder, sides, memory_bytes=memory_bytes)
    samples, scores = [], []
    for pairs in sets:
        cosines = _cosines(embedded, pairs)
        sample = build_sample(
            pairs.name, [cosines, pairs.judgements], (*pairs.source, *pairs.target), "spearman"
        )
        samples.append(sample)
        fields: dict[str, str | int] = {
            "data": pairs.name,
            "pairs": len(cosines),
            "similarity": "cosine",
        }
        value = spearman(sample.values[:, 0], sample.values[:, 1])
        signature = build_signature("spearman", fields, encoder)
        scores.append(Score(pairs.name, "spearman", value, signature, (pairs.name,)))
    rows = tuple(
        (score.name, f"{len(pairs.source):,}", f"{100 * score.value:.1f}")
        for score, pairs in zip(scores, sets, strict=True)
    )
    return Report(
        data="sts",
        metric="spearman",
        scores=tuple(scores),
        tables=(Table("STS, Spearman x 100", ("set", "pairs", "Spearman"), rows),),
        samples=tuple(samples),
    )


def _cosines(embedded: EmbeddedSentences, pairs: StsPairs) -> NDArray[np.float64]:
    cosines = np.empty(len(pairs.source))
    for start in range(0, len(cosines), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        source, target = (
            embedded.select(side[block]).astype(np.float64) for side in (pairs.source, pairs.target)
        )
        norms = np.linalg.norm(source, axis=1) * np.linalg.norm(target, axis=1)
        cosines[block] = np.einsum("nd,nd->n", source, target) / norms
    return cosines


def _parse_score(text: str, where: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not np.isfinite(score):
        raise LabseError(f"{where}: {text!r} is no number; the last column is the score")
    return score
