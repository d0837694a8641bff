"""What evaluation costs beside what it cannot do without.

Tatoeba: the whole evaluation beside the encoding of its distinct sentences.
UN: the exact search of a float16 pool beside the same matrix product alone (the GEMM peak).

Both sides alternate in one process; the figures are medians of the rounds and their ratio. On a
machine that others use too, the ratio of CPU seconds says more than that of wall seconds.

    python benchmarks/evaluation.py tatoeba MODEL FOLDER --rounds 3
    python benchmarks/evaluation.py tatoeba MODEL FOLDER --layers 6 --sets 12 --rounds 1
    python benchmarks/evaluation.py un --dimensions 768 --queries 8192 --pool 262144
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labse import SentenceEncoder
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.tatoeba import evaluate_tatoeba
from labse.evaluation.un import search_shards
from labse.model_folder.folder import ModelFolder, write_model_folder
from labse.model_folder.weights import expected_shapes
from labse.network.config import BertConfig, DualEncoderConfig
from labse.vocab.tokenizer import load_tokenizer

GEMM_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Seconds:
    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def alternate(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Runs all sides once a round, after a first round that does not count."""
    taken: dict[str, list[Seconds]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, work in sides.items():
            seconds = timed(work)
            if number:
                taken[name].append(seconds)
    return {
        name: Seconds(
            statistics.median(each.wall for each in values),
            statistics.median(each.cpu for each in values),
        )
        for name, values in taken.items()
    }


def write_random_model(folder: Path, vocab: Path, num_layers: int) -> None:
    """Writes untrained weights, 384 wide, with the vocabulary of another model."""
    tokenizer = load_tokenizer(vocab)
    bert = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=384,
        num_hidden_layers=num_layers,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    config = DualEncoderConfig(bert=bert)
    generator = np.random.default_rng(1)
    weights = {
        name: generator.standard_normal(shape, dtype=np.float32) / 20
        for name, shape in expected_shapes(config).items()
    }
    model = ModelFolder(config, weights, tokenizer)
    write_model_folder(folder, model, vocab_folder=vocab, manifest={"seed": 1})


def time_tatoeba(model: Path, folder: Path, num_sets: int | None, rounds: int) -> dict[str, object]:
    encoder = SentenceEncoder.from_pretrained(model)
    sets = read_tatoeba(folder)
    sets = sets[:: max(1, len(sets) // (num_sets or len(sets)))]
    sides = [side for each in sets for side in (each.sentences, each.english)]
    distinct = list(dict.fromkeys(sentence for side in sides for sentence in side))
    taken = alternate(
        {
            "encode": lambda: encoder.encode(distinct),
            "evaluate": lambda: evaluate_tatoeba(encoder, sets),
        },
        rounds,
    )
    encode, evaluate = taken["encode"], taken["evaluate"]
    return {
        "sets": len(sets),
        "sentences": sum(map(len, sides)),
        "distinct": len(distinct),
        "rounds": rounds,
        "encode_seconds": round(encode.wall, 2),
        "evaluate_seconds": round(evaluate.wall, 2),
        "ratio": round(evaluate.wall / encode.wall, 3),
        "encode_cpu_seconds": round(encode.cpu, 2),
        "evaluate_cpu_seconds": round(evaluate.cpu, 2),
        "cpu_ratio": round(evaluate.cpu / encode.cpu, 3),
    }


def time_un(dimensions: int, num_queries: int, num_pool: int, rounds: int) -> None:
    generator = np.random.default_rng(1)
    queries = generator.standard_normal((num_queries, dimensions), dtype=np.float32)
    pool = generator.standard_normal((num_pool, dimensions), dtype=np.float32).astype(np.float16)
    left = np.ascontiguousarray(queries[:GEMM_ROWS])
    right = np.ascontiguousarray(pool[:GEMM_ROWS].astype(np.float32).T)
    products = np.empty((GEMM_ROWS, GEMM_ROWS), np.float32)

    def multiply() -> None:
        for _ in range(num_queries * num_pool // GEMM_ROWS**2):
            np.matmul(left, right, out=products)

    taken = alternate({"gemm": multiply, "search": lambda: search_shards(queries, [pool])}, rounds)
    flops = 2 * num_queries * num_pool * dimensions
    peak, reached = (flops / taken[name].wall / 1e9 for name in ("gemm", "search"))
    print(f"{num_queries:,} queries, pool {num_pool:,} x {dimensions} float16")
    print(f"float32 GEMM {peak:.0f} GFLOP/s, search {reached:.0f} GFLOP/s: {reached / peak:.0%}")
    hours = 2 * 1e7 * 1e4 * dimensions / (reached * 1e9) / 3600
    print(f"10,000 queries in a pool of 10,000,000 at this rate: {hours:.2f} h")
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of the process {peak_bytes / 2**30:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    tatoeba = commands.add_parser("tatoeba")
    tatoeba.add_argument("model", type=Path)
    tatoeba.add_argument("folder", type=Path)
    tatoeba.add_argument("--layers", type=int, help="random weights, so many layers, 384 wide")
    tatoeba.add_argument("--sets", type=int, help="so many of the sets, evenly spread")
    tatoeba.add_argument("--out", type=Path, help="JSON file")
    un = commands.add_parser("un")
    un.add_argument("--dimensions", type=int, default=768)
    un.add_argument("--queries", type=int, default=8192)
    un.add_argument("--pool", type=int, default=262_144)
    for command in (tatoeba, un):
        command.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.command == "tatoeba":
        with tempfile.TemporaryDirectory() as name:
            model = arguments.model
            if arguments.layers is not None:
                model = Path(name) / "model"
                write_random_model(model, arguments.model, arguments.layers)
            figures = time_tatoeba(model, arguments.folder, arguments.sets, arguments.rounds)
        figures["layers"] = arguments.layers
        print(json.dumps(figures, indent=2))
        if arguments.out:
            arguments.out.write_text(json.dumps(figures) + "\n", "utf-8")
    else:
        time_un(arguments.dimensions, arguments.queries, arguments.pool, arguments.rounds)


if __name__ == "__main__":
    main()
