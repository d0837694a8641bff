"""What contrastive data selection adds to the quality score on ratings, and which domains it drops.

    python benchmarks/cds.py RATINGS.parquet DATA [--langs fr,el,pl] [--max-pairs 10000]

DATA holds tables of clean pairs with the columns lang, english and text: tatoeba.parquet is trusted
in one domain, libreoffice.parquet and gnome-help.parquet in another. The pool are the pairs of
rounds v3 and v6, without their ratings; judged is round v7.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from quality import GOOD
from sklearn.metrics import average_precision_score, roc_auc_score

from labse import SentenceEncoder
from labse.corpus.languages import canonical_tag
from labse.corpus.writers import write_rows
from labse.mining.quality import measure_quality, nearby_cosines
from labse.selection.cds import CdsModel, load_cds
from labse.selection.train import train_cds

Pairs = list[tuple[str, str]]
DOMAINS = {"talk": ("tatoeba",), "software": ("libreoffice", "gnome-help")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ratings", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--langs", default="fr,el,pl")
    parser.add_argument("--max-pairs", type=int, default=10_000)
    arguments = parser.parse_args()
    encoder = SentenceEncoder.from_pretrained()
    table = pq.read_table(arguments.ratings).to_pydict()
    for lang in arguments.langs.split(","):
        judge(lang, table, arguments, encoder)


def judge(
    lang: str, table: dict[str, list[str]], arguments: argparse.Namespace, encoder: SentenceEncoder
) -> None:
    rows = [row for row, pair in enumerate(table["lang"]) if pair == f"en-{lang}"]
    early = [row for row in rows if table["round"][row] in ("v3", "v6")]
    late = [row for row in rows if table["round"][row] == "v7"]
    pairs = {name: [pair_of(table, row) for row in part] for name, part in
             (("early", early), ("late", late))}  # fmt: skip
    domains = {
        name: [pair for file in files for pair in read_clean(arguments.data, file, lang)]
        for name, files in DOMAINS.items()
    }
    rng = np.random.default_rng(0)
    held_out = {}
    for name, found in domains.items():
        order = rng.permutation(len(found))
        held_out[name] = [found[row] for row in order[:1000]]
        domains[name] = [found[row] for row in order[1000:]]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "pool.tsv", pairs["early"])
        rated = [(0.0, table["label"][row], *pair_of(table, row), row) for row in early]
        columns = ("score", "label", "source", "target", "line")
        write_rows(folder / "rated.tsv", columns, rated)
        models = {}
        for trusted, ratings in (("both", None), ("both", folder / "rated.tsv"), ("talk", None),
                                 ("software", None)):  # fmt: skip
            parts = domains if trusted == "both" else {trusted: domains[trusted]}
            chosen = [pair for part in parts.values() for pair in part[: arguments.max_pairs]]
            write_pairs(folder / "trusted.tsv", chosen)
            title = f"{trusted}{', ratings' if ratings else ''}"
            began = time.process_time()
            train_cds(folder / "trusted.tsv", folder / "pool.tsv", folder / title, encoder=encoder,
                      ratings=ratings, good=["V", "F", "MT"] if ratings else None,
                      max_pairs=arguments.max_pairs)  # fmt: skip
            print(f"{lang}, {title}: {len(chosen):,} pairs, {time.process_time() - began:.0f} s")
            models[title] = load_cds(folder / title)
        tell(pairs["late"], [table["label"][row] for row in late], models, encoder)
        tell_domains(held_out, models, encoder)


def tell(
    pairs: Pairs, labels: list[str], models: dict[str, CdsModel], encoder: SentenceEncoder
) -> None:
    """Prints AUC and average precision of each score on rated pairs."""
    scores = {"quality": score(None, pairs, encoder)["quality"]}
    for title in ("both", "both, ratings"):
        found = score(models[title], pairs, encoder)
        names = found if title == "both" else ["cds"]
        scores |= {f"{name} ({title})": found[name] for name in names}
    for name, column in scores.items():
        cells = []
        for good in GOOD.values():
            is_good = np.isin(labels, good.split())
            cells.append(f"{roc_auc_score(is_good, column):.3f} "
                         f"{average_precision_score(is_good, column):.3f}")  # fmt: skip
        print(f"  {name:32}", "   ".join(cells))


def tell_domains(
    held_out: dict[str, Pairs], models: dict[str, CdsModel], encoder: SentenceEncoder
) -> None:
    """Prints how many good pairs of each domain bounds drop, one keeping 95 % of the trusted."""
    for trusted in DOMAINS:
        for part in ("cds", "cds_forward"):
            columns = {
                name: score(models[trusted], pairs, encoder)[part]
                for name, pairs in held_out.items()
            }
            bounds = {"95 % kept": float(np.percentile(columns[trusted], 5))}
            bounds |= {"0.5": 0.5} if part == "cds" else {}
            for title, bound in bounds.items():
                told = [f"{name} {(column < bound).mean():.3f}" for name, column in columns.items()]
                print(f"  trusted {trusted}, {part} from {title}: dropped", ", ".join(told))


def score(
    model: CdsModel | None, pairs: Pairs, encoder: SentenceEncoder
) -> dict[str, NDArray[np.float32]]:
    sources, targets = ([pair[side] for pair in pairs] for side in (0, 1))
    vectors = encoder.encode(sources), encoder.encode(targets)
    cosines, rows = np.einsum("nd,nd->n", *vectors), np.arange(len(pairs))
    nearby = nearby_cosines(vectors, (rows, rows))
    if model is None:
        return {"quality": measure_quality(cosines, nearby, sources, targets)}
    return model.score(sources, targets, cosines, nearby)


def read_clean(data: Path, file: str, lang: str) -> Pairs:
    filters = [("lang", "=", canonical_tag(lang))]
    rows = pq.read_table(data / f"{file}.parquet", filters=filters).to_pydict()
    return list(dict.fromkeys(zip(rows["english"], rows["text"], strict=True)))


def pair_of(table: dict[str, list[str]], row: int) -> tuple[str, str]:
    source, target = (table[name][row] or "" for name in ("source", "target"))
    return source.replace("\t", " "), target.replace("\t", " ")


def write_pairs(path: Path, pairs: Pairs) -> None:
    write_rows(path, ("source", "target"), pairs)


if __name__ == "__main__":
    main()
