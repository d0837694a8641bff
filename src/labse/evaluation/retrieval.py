"""Retrieval among many languages: every language asks every other.

Takes: an encoder and line-aligned sentences of n languages. Gives: P@1 of all n x (n - 1) ordered
pairs.
Source: Artetxe & Schwenk 2019 (arXiv 1812.10464), similarity search, on any aligned files.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.evaluation.datasets import AlignedLines
from labse.evaluation.embedded import embed_distinct
from labse.evaluation.pictures import Bar, HeatMap
from labse.evaluation.report import TIES_NOTE, Report, Score, Table, build_signature, format_percent
from labse.evaluation.significance import build_sample
from labse.search.knn import mutual_neighbours

__all__ = ["evaluate_retrieval"]


def evaluate_retrieval(
    encoder: Encoder,
    files: Sequence[AlignedLines],
    *,
    name: str,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
) -> Report:
    """Scores every ordered pair of languages; line i of one must find line i of the other.

    Args:
        files: the lines of two or more languages, equally many.
        name: name of the test data, for the signature.
        block_rows: rows that bound the memory of the search, see `mutual_neighbours`.
        memory_bytes: bytes of vectors held at a time, see `embed_distinct`.

    Raises:
        ValueError: fewer than two languages, or unequal line counts.
        LabseError: the encoder returned what is not one vector a sentence.
    """
    if len(files) < 2 or len({len(lines.sentences) for lines in files}) > 1:
        raise ValueError("expected two or more languages of equally many lines")
    embedded = embed_distinct(
        encoder, (lines.sentences for lines in files), memory_bytes=memory_bytes
    )
    gold = np.arange(len(files[0].sentences))
    values = np.full((len(files), len(files)), np.nan)
    samples = []
    for row, column in combinations(range(len(files)), 2):
        source, target = files[row], files[column]
        found = mutual_neighbours(
            embedded.select(source.sentences),
            embedded.select(target.sentences),
            k=1,
            block_rows=block_rows,
        )
        hits = [side.neighbours[:, 0] == gold for side in (found.forward, found.backward)]
        values[row, column], values[column, row] = (float(side.mean()) for side in hits)
        texts = (*source.sentences, *target.sentences)
        samples.append(build_sample(f"{source.lang}-{target.lang}", hits, texts))

    langs = [lines.lang for lines in files]
    fields: dict[str, str | int] = {
        "data": name,
        "langs": "+".join(langs),
        "dir": "both",
        "lines": len(gold),
    }
    mean = Score(
        name="mean",
        metric="p_at_1",
        value=float(np.nanmean(values)),
        signature=build_signature("p_at_1", fields, encoder, norm="l2"),
        samples=tuple(sample.name for sample in samples),
    )
    of_langs = np.nanmean(np.concatenate([values, values.T], axis=1), axis=1).tolist()
    return Report(
        data=name,
        metric="p_at_1",
        scores=(mean,),
        tables=(_language_table(name, langs, values), _mean_table(mean, len(langs))),
        samples=tuple(samples),
        bars=tuple(Bar(lang, lang, value) for lang, value in zip(langs, of_langs, strict=True)),
        heat_map=HeatMap(
            f"{name}, P@1: row asks, column is searched", tuple(langs), tuple(langs), values
        ),
        notes=(TIES_NOTE,),
        details={
            "langs": langs,
            "p_at_1": [[None if np.isnan(v) else v for v in row] for row in values.tolist()],
        },
    )


def _language_table(name: str, langs: Sequence[str], values: NDArray[np.float64]) -> Table:
    rows = []
    for number, lang in enumerate(langs):
        as_source, as_target = np.nanmean(values[number]), np.nanmean(values[:, number])
        worst = int(np.nanargmin(values[number]))
        rows.append(
            (
                lang,
                format_percent(float(as_source)),
                format_percent(float(as_target)),
                f"{langs[worst]} {format_percent(float(values[number, worst]))}",
            )
        )
    return Table(
        title=f"{name}, P@1 in percent, mean over the other languages",
        headers=("lang", "finds others", "is found", "hardest to find"),
        rows=tuple(rows),
    )


def _mean_table(mean: Score, num_langs: int) -> Table:
    row = ("mean", str(num_langs), f"{num_langs * (num_langs - 1):,}", format_percent(mean.value))
    return Table(
        title="Mean over all ordered pairs",
        headers=("", "langs", "pairs", "P@1"),
        rows=(row,),
    )
