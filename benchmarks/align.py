"""Sentence alignment beside vecalign: time and F1 on the same vectors and the same gold.

The gold is made from parallel lines (see alignment_gold.py): a folder in the layout of LASER's
Tatoeba set, or a Parquet corpus with the columns lang, english, text. The peer is the code of
vecalign as the PyPI package sentweave ships it (vecalign itself is not on PyPI), in an environment
of its own whose site-packages stand at the end of the path. Both get the same array of vectors,
each with its own defaults; the rounds alternate, the fastest of each counts.

    pip install --target /tmp/peer --no-deps sentweave==0.3.3
    OMP_NUM_THREADS=1 python benchmarks/align.py MODEL tico19/ --peer-path /tmp/peer --lines 300
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from alignment_gold import build_gold
from numpy.typing import NDArray

from labse import SentenceEncoder
from labse.alignment.accuracy import AlignmentCounts, count_right
from labse.alignment.align import align_embeddings
from labse.alignment.formats import LinkedLines, link_lines
from labse.alignment.search import encode_documents
from labse.corpus.readers import read_pairs
from labse.evaluation.datasets import read_tatoeba

Vectors = NDArray[np.float32]
Aligner = Callable[[Vectors, Vectors], list[LinkedLines]]


@dataclass
class Result:
    counts: AlignmentCounts = field(default_factory=AlignmentCounts)
    seconds: float = 0.0
    num_documents: int = 0

    def to_json(self) -> dict[str, object]:
        scores = {name: asdict(getattr(self.counts, name)) for name in ("strict", "lax")}
        rounded = {
            name: {key: round(value, 4) for key, value in score.items()}
            for name, score in scores.items()
        }
        per_document = 1000 * self.seconds / max(self.num_documents, 1)
        return {
            "milliseconds_per_document": round(per_document, 2),
            **rounded,
        }


def read_languages(path: Path, langs: list[str] | None) -> dict[str, tuple[list[str], list[str]]]:
    if path.is_dir():
        return {s.lang: (list(s.sentences), list(s.english)) for s in read_tatoeba(path, langs)}
    sides: dict[str, tuple[list[str], list[str]]] = {}
    for pair in read_pairs(path):
        if langs is None or pair.target_lang in langs:
            source, target = sides.setdefault(pair.target_lang, ([], []))
            source.append(pair.target)
            target.append(pair.source)
    return sides


def load_peer(path: Path, max_size: int, skip: float) -> Aligner:
    sys.path.append(str(path))
    from sentweave import dp_utils  # type: ignore[import-not-found]

    def align(source: Vectors, target: Vectors) -> list[LinkedLines]:
        np.random.seed(42)  # noqa: NPY002 - As its command does.
        stack: Any = dp_utils.vecalign(
            vecs0=source.copy(),
            vecs1=target.copy(),
            final_alignment_types=dp_utils.make_alignment_types(max_size),
            del_percentile_frac=skip,
            width_over2=math.ceil(max_size / 2) + 5,
            max_size_full_dp=300,
            costs_sample_size=20_000,
            num_samps_for_norm=100,
        )
        return [LinkedLines(tuple(x), tuple(y)) for x, y in stack[0]["final_alignments"]]

    return align


def iter_documents(
    sides: dict[str, tuple[list[str], list[str]]], num_lines: int, most: int
) -> Iterator[tuple[str, list[str], list[str]]]:
    for lang, (source, target) in sides.items():
        starts = range(0, max(len(source) - num_lines, 0) + 1, num_lines)
        for start in islice(starts, most):
            stop = start + num_lines
            yield f"{lang}-{start}", source[start:stop], target[start:stop]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--langs", type=lambda text: text.split(","))
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--documents", type=int, default=1_000, help="of a language at most")
    parser.add_argument("--max-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer-path", type=Path)
    parser.add_argument("--peer-skip", type=float, default=0.2, help="vecalign's default is 0.2")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    encoder = SentenceEncoder.from_pretrained(arguments.model)
    aligners: dict[str, Aligner] = {
        "labse": lambda source, target: list(
            map(link_lines, align_embeddings(source, target, max_size=arguments.max_size))
        )
    }
    if arguments.peer_path:
        aligners["vecalign"] = load_peer(
            arguments.peer_path, arguments.max_size, arguments.peer_skip
        )
    results = {name: Result() for name in aligners}
    sides = read_languages(arguments.data, arguments.langs)
    documents = iter_documents(sides, arguments.lines, arguments.documents)
    for number, (_, source, target) in enumerate(documents):
        gold = build_gold(source, target, np.random.default_rng(number))
        vectors = encode_documents(encoder, gold.source, gold.target, arguments.max_size - 1)
        links = [LinkedLines(tuple(x), tuple(y)) for x, y in gold.beads]
        fastest = dict.fromkeys(aligners, math.inf)
        for round_number in range(arguments.rounds):
            for name, align in aligners.items():
                started = time.perf_counter()
                found = align(*vectors)
                fastest[name] = min(fastest[name], time.perf_counter() - started)
                if round_number == 0:
                    results[name].counts += count_right(found, links)
        for name, seconds in fastest.items():
            results[name].seconds += seconds
            results[name].num_documents += 1

    report: dict[str, object] = {
        "data": arguments.data.name,
        "languages": len(sides),
        "documents": results["labse"].num_documents,
        "lines_before_construction": arguments.lines,
        "max_size": arguments.max_size,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        **{name: result.to_json() for name, result in results.items()},
    }
    if "vecalign" in results:
        report["times_as_fast"] = round(results["vecalign"].seconds / results["labse"].seconds, 2)
    print(json.dumps(report))
    if arguments.out:
        with arguments.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
