"""What reranking mined pairs is worth, and how its weights are learnt.

    python benchmarks/rerank.py hide GOLD.parquet npi --among TABLE... --out hidden/npi
    python benchmarks/rerank.py hide sw.txt eng.txt swh --among TABLE... --out hidden/swh
    python benchmarks/rerank.py learn hidden/npi hidden/khm ... --test hidden/swh [--write]

hide puts 2,000 or so translations, of a table of lang, english, text or of two aligned files, among
14,000 other sentences of that language and 40,000 of English that translate none of them.
learn mines each folder and tells the best F1 by margin and by the reranked order. The weights for a
folder are learnt from the others; those of --test are never learnt from. --write learns from all
and puts the weights into the package; do it after another default model is put there.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from labse import SentenceEncoder
from labse.corpus.languages import canonical_tag
from labse.files.text import read_lines
from labse.mining.bitext import MiningOptions, find_neighbours, select_pairs
from labse.mining.logistic import LogisticModel, fit_logistic
from labse.mining.rerank import RERANK_PATH, rerank_columns
from labse.mining.sides import embed_sides, open_sides

MAX_GOLD, NUM_SOURCES, NUM_TARGETS = 2_100, 14_000, 40_000
PENALTY = 10.0
MAX_DEVIATION = 4.0  # As LogisticModel.score.
ABOUT = {
    "what": "weights of the score of labse mine --rerank; see docs/mining.md",
    "learnt_from": "mined pairs, right and wrong, of development sets hidden among training text: "
    "Wikipedia sentences of FLORES v1 (Nepali, Sinhala, Khmer, Pashto; CC BY-SA 4.0) and laws of "
    "Ethiopia (Amharic, Oromo)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    hide = commands.add_parser("hide")
    hide.add_argument("gold", nargs="+", metavar="GOLD... LANG")
    hide.add_argument("--among", type=Path, nargs="+", required=True)
    hide.add_argument("--out", type=Path, required=True)
    learn = commands.add_parser("learn")
    learn.add_argument("folders", type=Path, nargs="+")
    learn.add_argument("--test", type=Path, nargs="*", default=[])
    learn.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "hide":
        *gold, lang = arguments.gold
        hide_pairs([Path(file) for file in gold], lang, arguments.among, arguments.out)
    else:
        learn_weights(arguments.folders, arguments.test, is_written=arguments.write)


def hide_pairs(gold: list[Path], lang: str, among: list[Path], out: Path) -> None:
    """Writes source.txt, target.txt and gold.tsv, the line numbers of translations, from 0."""
    generator = random.Random(2)
    tag = canonical_tag(lang)
    if len(gold) == 2:
        pairs = list(zip(*map(read_lines, gold), strict=True))
    else:
        table = read_table(gold[0])
        pairs = [(text, english) for code, english, text in table if canonical_tag(code) == tag]
        pairs = [pair for pair in pairs if 20 < len(pair[1]) < 500]
        generator.shuffle(pairs)
    pairs = list({text: (text, english) for text, english in pairs}.values())
    pairs = list({english: (text, english) for text, english in pairs}.values())
    chosen, rest = pairs[:MAX_GOLD], pairs[MAX_GOLD:]

    # Other sentences: of the same text without their partners, then of the tables.
    texts = {text for text, _ in rest[::2]}
    english = {english for _, english in rest[1::2]}
    translated = {english for _, english in pairs}
    for file in among:
        for code, en, text in read_table(file):
            if canonical_tag(code) == tag:
                texts.add(text)
                translated.add(en)
            elif len(en) > 20:
                english.add(en)
    english -= translated - {en for _, en in rest[1::2]}
    sides = []
    sides.append(sorted(text for text in texts - {text for text, _ in chosen} if len(text) > 10))
    sides.append(sorted(english - {en for _, en in chosen}))
    rows = []
    for side, limit in enumerate((NUM_SOURCES, NUM_TARGETS)):
        generator.shuffle(sides[side])
        numbered = [(pair[side], number) for number, pair in enumerate(chosen)]
        numbered += [(text, -1) for text in sides[side][:limit]]
        generator.shuffle(numbered)
        rows.append(numbered)

    out.mkdir(parents=True, exist_ok=True)
    places = []
    for name, numbered in zip(("source", "target"), rows, strict=True):
        lines = "".join(f"{text}\n" for text, _ in numbered)
        (out / f"{name}.txt").write_text(lines, encoding="utf-8", newline="\n")
        places.append({number: line for line, (_, number) in enumerate(numbered)})
    found = (f"{places[0][number]}\t{places[1][number]}\n" for number in range(len(chosen)))
    (out / "gold.tsv").write_text("".join(found), encoding="utf-8", newline="\n")
    print(f"{out}: {len(chosen)} pairs in {len(rows[0]):,} and {len(rows[1]):,} lines")


def read_table(file: Path) -> list[tuple[str, str, str]]:
    columns = pq.read_table(file).select(["lang", "english", "text"]).columns
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


class Mined:
    """The pairs mined from a folder, the columns of the score, and which are right."""

    def __init__(self, folder: Path, encoder: SentenceEncoder) -> None:
        self.name = folder.name
        sides = open_sides(folder / "source.txt", folder / "target.txt")
        gold = {tuple(map(int, line.split("\t"))) for line in read_lines(folder / "gold.tsv")}
        self.num_gold = len(gold)
        with embed_sides(sides, encoder, work=None, settings={}) as embedded:
            found = find_neighbours(embedded, 4)
            mined = select_pairs(found, MiningOptions(retrieval="max"))
            self.columns = rerank_columns(mined, found, embedded, encoder)
            source = embedded.source.lines.first_lines[mined.source].tolist()
            target = embedded.target.lines.first_lines[mined.target].tolist()
        self.is_right = np.array([pair in gold for pair in zip(source, target, strict=True)])

    def best_f1(self, scores: NDArray[np.floating]) -> tuple[float, float]:
        """Returns the best F1 of all bounds, and that bound."""
        order = np.argsort(-scores, kind="stable")
        right = np.cumsum(self.is_right[order])
        f1 = 2 * right / (np.arange(1, len(order) + 1) + self.num_gold)
        best = int(f1.argmax())
        return float(f1[best]), float(scores[order[best]])

    def f1_at(self, scores: NDArray[np.floating], bound: float) -> float:
        kept = scores >= bound
        return float(2 * self.is_right[kept].sum() / (kept.sum() + self.num_gold))


def fit(sets: list[Mined]) -> LogisticModel:
    """Learns weights of the numbers alone: with products more coverage would not be always more."""
    values = np.concatenate([np.stack([*mined.columns.values()], axis=1) for mined in sets])
    means, deviations = values.mean(axis=0), values.std(axis=0)
    is_right = np.concatenate([mined.is_right for mined in sets])
    standardised = np.clip((values - means) / deviations, -MAX_DEVIATION, MAX_DEVIATION)
    weights, offset = fit_logistic(standardised, is_right, PENALTY)
    rounded = [tuple(float(f"{x:.5g}") for x in row) for row in (means, deviations, weights)]
    num_products = len(weights) * (len(weights) + 1) // 2
    products = (0.0,) * num_products
    names = tuple(sets[0].columns)
    return LogisticModel(names, rounded[0], rounded[1], (*rounded[2], *products), round(offset, 4))


def learn_weights(folders: list[Path], tests: list[Path], *, is_written: bool) -> None:
    encoder = SentenceEncoder()
    if len(folders) < 2:
        raise SystemExit("give two folders or more: each is judged by the others")
    sets = [Mined(folder, encoder) for folder in folders]
    judged = [(mined, [other for other in sets if other is not mined]) for mined in sets]
    judged += [(Mined(folder, encoder), sets) for folder in tests]
    for mined, others in judged:
        scores = fit(others).score(mined.columns).astype(np.float64)
        margin, reranked = mined.best_f1(mined.columns["margin"]), mined.best_f1(scores)
        row = {"hidden": mined.name, "pairs": mined.num_gold, "found": int(mined.is_right.sum())}
        row |= {"f1_by_margin": round(margin[0], 3), "f1_reranked": round(reranked[0], 3)}
        row |= {"best_bound": round(reranked[1], 2), "f1_at_.2": round(mined.f1_at(scores, 0.2), 3)}
        print(json.dumps(row), flush=True)
    if is_written:
        value = {
            "about": ABOUT,
            "encoder_sha256": encoder.hash_model(),
            "model": fit(sets).to_json(),
        }
        RERANK_PATH.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
