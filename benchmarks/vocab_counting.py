"""Counting words: ours against the splitter of tokenizers, alternated in one run.

Use: python benchmarks/vocab_counting.py PAIRS [megabytes, default 20] [rounds, default 5]
Prints JSON: megabytes of text a CPU second (medians) and their ratio.
"""

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import chain

from labse.corpus.readers import read_pairs
from labse.corpus.records import Sentence
from labse.vocab.counts import build_normalizer, build_splitter, count_words


def read_sentences(path: str, num_bytes: int) -> list[Sentence]:
    sentences: list[Sentence] = []
    pairs = read_pairs(path)
    for sentence in chain.from_iterable(
        (Sentence(p.source, p.source_lang), Sentence(p.target, p.target_lang)) for p in pairs
    ):
        sentences.append(sentence)
        num_bytes -= len(sentence.text.encode())
        if num_bytes <= 0:
            break
    return sentences


def count_with_splitter(sentences: list[Sentence]) -> dict[str, Counter[str]]:
    normalizer, splitter = build_normalizer(), build_splitter()
    counts: dict[str, Counter[str]] = {}
    for sentence in sentences:
        words = splitter.pre_tokenize_str(normalizer.normalize_str(sentence.text))
        counts.setdefault(sentence.lang, Counter()).update(word for word, _ in words)
    return counts


def main() -> None:
    path = sys.argv[1]
    megabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    sentences = read_sentences(path, int(megabytes * 1e6))
    num_bytes = sum(len(sentence.text.encode()) for sentence in sentences)
    sides: dict[str, Callable[[list[Sentence]], dict[str, Counter[str]]]] = {
        "labse": count_words,
        "tokenizers": count_with_splitter,
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    results = []
    for _ in range(rounds):
        for name, count in sides.items():
            start = time.process_time()
            counts = count(sentences)
            seconds[name].append(time.process_time() - start)
            results.append(counts)
            assert counts == results[0]
    rates = {name: num_bytes / 1e6 / statistics.median(s) for name, s in seconds.items()}
    print(
        json.dumps(
            {
                "megabytes": round(num_bytes / 1e6, 1),
                "rounds": rounds,
                "megabytes_per_cpu_second": {name: round(r, 2) for name, r in rates.items()},
                "ratio": round(rates["labse"] / rates["tokenizers"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
