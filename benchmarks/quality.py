"""What the quality score is worth on ratings of pairs, and how it is learnt from them.

    python benchmarks/quality.py RATINGS.parquet                  the table of docs/experiments.md
    python benchmarks/quality.py RATINGS.parquet --write [FILE]   learns it anew, then the table

RATINGS has the columns round, lang (en-de), source, target, label and bicleaner, as made of
paracrawl/human-evaluations. Only the round v3 is learnt from, whose licence is CC BY-SA 4.0. After
another default model is put into the package, `--write` is all that is to be done.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from labse import SentenceEncoder
from labse.mining.logistic import LogisticModel, fit_logistic_model
from labse.mining.quality import QUALITY_PATH, load_pair_quality, nearby_cosines, quality_columns
from labse.search.knn import mutual_neighbours

GOOD = {"V+F": "V F", "V+F+MT": "V F MT", "not A, not L": "V F MT E T"}
CALIBRATED = 1  # The probability is of V, F or MT.
LEARNT_ROUND, SECOND_RATING = "v3", "v6-2"
ABOUT = {
    "what": "weights of the quality score of labse; see docs/quality.md",
    "learnt_from": "22,000 human ratings of sentence pairs in 11 language pairs, the round v3 of "
    "paracrawl/human-evaluations at commit 677ccfa, by the ParaCrawl project",
    "licence": "CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/), as the ratings",
    "changes": "the ratings themselves are not here: a logistic regression was fitted to them",
    "good": "the rater's label is V (valid), F (free) or MT (machine translation)",
}


@dataclass(frozen=True)
class Rated:
    """Rated pairs, with all numbers that are compared."""

    rounds: NDArray[np.str_]
    langs: NDArray[np.str_]
    good: dict[str, NDArray[np.bool_]]
    columns: dict[str, NDArray[np.floating]]
    others: dict[str, NDArray[np.floating]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ratings", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", nargs="?", const=QUALITY_PATH, type=Path)
    arguments = parser.parse_args()

    encoder = SentenceEncoder.from_pretrained(arguments.model)
    rated = read_rated(arguments.ratings, encoder)
    if arguments.write:
        learn = rated.rounds == LEARNT_ROUND
        model = fit_logistic_model(
            {name: column[learn] for name, column in rated.columns.items()},
            [rated.good[name][learn] for name in GOOD],
            calibrate=CALIBRATED,
        )
        value = {"about": ABOUT, "encoder_sha256": encoder.hash_model(), "model": model.to_json()}
        arguments.write.write_text(json.dumps(value, ensure_ascii=False) + "\n")
    else:
        model = load_pair_quality().model
    print_table(rated, model)


def read_rated(path: Path, encoder: SentenceEncoder) -> Rated:
    """Reads and scores pairs; those of a round and language pair are each other's neighbours."""
    table = pq.read_table(path).to_pydict()
    rounds, langs = np.array(table["round"]), np.array(table["lang"])
    texts = [[text or "" for text in table[name]] for name in ("source", "target")]
    vectors = [encoder.encode(side) for side in texts]
    cosines = np.einsum("nd,nd->n", *vectors)
    nearby, margins = np.zeros(len(rounds)), np.zeros(len(rounds))
    for group in sorted({*zip(rounds, langs, strict=True)}):
        here = np.flatnonzero((rounds == group[0]) & (langs == group[1]))
        rows, distinct = [], []
        for side, side_vectors in zip(texts, vectors, strict=True):
            of_group = np.array([side[row] for row in here], object)
            _, firsts, places = np.unique(of_group, return_index=True, return_inverse=True)
            rows.append(places.astype(np.int64))
            distinct.append(side_vectors[here[firsts]])
        nearby[here] = nearby_cosines((distinct[0], distinct[1]), (rows[0], rows[1]))
        found = mutual_neighbours(distinct[0], distinct[1], 4)
        means = [
            side.similarities.mean(axis=1)[row]
            for side, row in zip((found.forward, found.backward), rows, strict=True)
        ]
        margins[here] = cosines[here] / ((means[0] + means[1]) / 2)
    label = np.array(table["label"])
    good = {name: np.isin(label, labels.split()) for name, labels in GOOD.items()}
    columns = quality_columns(cosines, nearby, *texts)
    others = {"cosine": cosines, "margin, k = 4": margins}
    others["bicleaner"] = np.array(table["bicleaner"], float)
    return Rated(rounds, langs, good, columns, others)


def print_table(rated: Rated, model: LogisticModel) -> None:
    """Prints AUC and average precision, means over language pairs, for what was not learnt from."""
    learnt = {*rated.langs[rated.rounds == LEARNT_ROUND]}
    is_new = ~np.isin(rated.langs, sorted(learnt))
    is_other = (rated.rounds != LEARNT_ROUND) & (rated.rounds != SECOND_RATING)
    groups = {
        "v6, languages learnt": (rated.rounds == "v6") & ~is_new,
        "v7, languages learnt": (rated.rounds == "v7") & ~is_new,
        "v6 and v7, other languages": is_other & is_new,
        "v3 itself": rated.rounds == LEARNT_ROUND,
    }
    quality = model.score(rated.columns)
    for title, rows in groups.items():
        langs = sorted({*rated.langs[rows]})
        print(f"{title} ({len(langs)} pairs, {rows.sum():,} ratings): AUC, average precision")
        for name, scores in {**rated.others, "quality": quality}.items():
            cells = []
            for good in rated.good.values():
                figures = measure(scores, good, rows, rated)
                cells.append(" ".join(f"{figure:.3f}" for figure in figures))
            print(f"  {name:16}", "   ".join(cells))
        gap = quality[rows].mean() - rated.good[list(GOOD)[CALIBRATED]][rows].mean()
        print(f"  mean probability minus share of V+F+MT: {gap:+.3f}")


def measure(
    scores: NDArray[np.floating], good: NDArray[np.bool_], rows: NDArray[np.bool_], rated: Rated
) -> tuple[float, float]:
    figures = []
    for group in sorted({*zip(rated.rounds[rows], rated.langs[rows], strict=True)}):
        here = rows & (rated.rounds == group[0]) & (rated.langs == group[1])
        one = good[here], scores[here]
        figures.append((roc_auc_score(*one), average_precision_score(*one)))
    auc, precision = np.mean(figures, axis=0).tolist()
    return auc, precision


if __name__ == "__main__":
    main()
