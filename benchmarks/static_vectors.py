"""The shipped model against model2vec with a table of the same size and the same tokenizer.

Use: python benchmarks/static_vectors.py TABLE [sentences, 200000] [rounds, 3] [PICTURE.png]
TABLE has the column `text`; equal ones count once. model2vec (`pip install model2vec`) is given one
random row a piece, as wide as ours: its time does not depend on the values.

Prints JSON: sentences a second by the clock and a CPU second of each side, alternated in one run
(medians), and the median of the ratios to model2vec's default within the rounds. labse remembers
the pieces of words, so each round has an encoder that has seen nothing. The side `tokens alone`
cuts the same sentences into pieces with the `tokenizers` library and does nothing else.
The last side is sentence-transformers with a BERT as large as multilingual-e5-small, 12 layers of
384 with random weights, on the first thousand sentences.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from encode import build_random, peer
from matplotlib.figure import Figure
from model2vec import StaticModel

from labse import SentenceEncoder
from labse.corpus.tables import open_table
from labse.model_folder.folder import read_model_folder
from labse.model_folder.hub import locate_model
from labse.network.config import BertConfig

THEIRS, LAYERS = "model2vec, its default", "sentence-transformers, 12 layers of 384"
FEW = 1000  # Sentences for the side with layers.


def read_texts(table: str, num_texts: int) -> list[str]:
    rows = open_table(table).read_rows(("text",))
    return list(islice(dict.fromkeys(text for _, (text,) in rows), num_texts))


def main() -> None:
    table = sys.argv[1]
    num_texts = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    texts = read_texts(table, num_texts)

    # Both sides: one tokenizer, one row of a table a piece.
    tokenizer = read_model_folder(locate_model(None)).tokenizer
    shape = (tokenizer.get_vocab_size(), SentenceEncoder.from_pretrained().encode([""]).shape[1])
    rows = np.random.default_rng(1).standard_normal(shape, np.float32)
    theirs = StaticModel(rows, tokenizer, normalize=True)
    bert = BertConfig(
        vocab_size=shape[0],
        hidden_size=shape[1],
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=4 * shape[1],
    )
    with tempfile.TemporaryDirectory() as folder:
        with_layers = peer(build_random(locate_model(None), Path(folder) / "model", bert, 128))
    sides: dict[str, Callable[[], Callable[[list[str]], object]]] = {
        THEIRS: lambda: theirs.encode,
        "model2vec, one thread": lambda: partial(theirs.encode, use_multiprocessing=False),
        "labse": lambda: SentenceEncoder.from_pretrained().encode,
        "labse, one thread": lambda: SentenceEncoder.from_pretrained(threads=1).encode,
        "tokens alone": lambda: tokenizer.encode_batch_fast,
        LAYERS: lambda: with_layers.encode,
    }

    walls: dict[str, list[float]] = {name: [] for name in sides}
    cpus: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, make in sides.items():
            encode = make()
            encode(texts[:8])
            few = texts[:FEW] if name == LAYERS else texts
            share = len(texts) / len(few)
            wall, cpu = time.perf_counter(), time.process_time()
            encode(few)
            walls[name].append(share * (time.perf_counter() - wall))
            cpus[name].append(share * (time.process_time() - cpu))

    def rates(taken: dict[str, list[float]]) -> dict[str, int]:
        return {n: round(len(texts) / statistics.median(seconds)) for n, seconds in taken.items()}

    def ratios(taken: dict[str, list[float]]) -> dict[str, float]:
        pairs = {n: zip(taken[THEIRS], seconds, strict=True) for n, seconds in taken.items()}
        return {n: round(statistics.median(a / b for a, b in both), 2) for n, both in pairs.items()}

    report = {
        "sentences": len(texts),
        "characters_a_sentence": round(sum(map(len, texts)) / len(texts), 1),
        "table": shape,
        "rounds": rounds,
        "per_second": rates(walls),
        "per_cpu_second": rates(cpus),
        "times_model2vec": ratios(walls),
        "times_model2vec_by_cpu": ratios(cpus),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    print(json.dumps(report))
    if len(sys.argv) > 4:
        draw(rates(walls), sys.argv[4])


def draw(rates: dict[str, int], picture: str) -> None:
    """Draws sentences a second as bars, the slowest below."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    names = sorted(rates, key=rates.__getitem__)
    colours = ["tab:red" if name.startswith("labse") else "tab:grey" for name in names]
    bars = axes.barh(names, [rates[name] for name in names], color=colours)
    axes.bar_label(bars, [f"{rates[name]:,}" for name in names], padding=3, fontsize=8)
    axes.set(xscale="log", xlabel="sentences a second, two cores")
    axes.margins(x=0.15)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main()
