"""The shipped model against model2vec with a table of the same size and the same tokenizer.

Use: python benchmarks/static_vectors.py TABLE [sentences, 200000] [rounds, 3]
TABLE has the column `text`; equal ones count once. model2vec (`pip install model2vec`) is given one
random row a piece, as wide as ours: its time does not depend on the values.

Prints JSON: sentences a second by the clock and a CPU second of each side, alternated in one run
(medians), and the median of the ratios to model2vec's default within the rounds. labse remembers
the pieces of words, so each round has an encoder that has seen nothing. The side `tokens alone`
cuts the same sentences into pieces with the `tokenizers` library and does nothing else.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
from model2vec import StaticModel

from labse import SentenceEncoder
from labse.corpus.tables import open_table
from labse.model_folder.folder import read_model_folder
from labse.model_folder.hub import locate_model

THEIRS = "model2vec, its default"


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
    sides: dict[str, Callable[[], Callable[[list[str]], object]]] = {
        THEIRS: lambda: theirs.encode,
        "model2vec, one thread": lambda: partial(theirs.encode, use_multiprocessing=False),
        "labse": lambda: SentenceEncoder.from_pretrained().encode,
        "labse, one thread": lambda: SentenceEncoder.from_pretrained(threads=1).encode,
        "tokens alone": lambda: tokenizer.encode_batch_fast,
    }

    walls: dict[str, list[float]] = {name: [] for name in sides}
    cpus: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, make in sides.items():
            encode = make()
            encode(texts[:8])
            wall, cpu = time.perf_counter(), time.process_time()
            encode(texts)
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)

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


if __name__ == "__main__":
    main()
