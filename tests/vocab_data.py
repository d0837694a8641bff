"""A text in forty languages, its weighed words, and what a program prints under hash seeds."""

import os
import subprocess
import sys
from pathlib import Path

from labse.corpus.records import Sentence
from labse.files.text import read_lines
from labse.vocab.counts import count_words, smooth_counts

UDHR = Path(__file__).with_name("data") / "udhr_article1.tsv"


def read_udhr() -> list[Sentence]:
    rows = [line.split("\t") for line in read_lines(UDHR)][1:]
    return [Sentence(text, lang) for lang, text in rows]


def udhr_counts(exponent: float = 0.3) -> dict[str, float]:
    return smooth_counts(count_words(read_udhr()), exponent)


def outputs_of(program: str, *hash_seeds: int) -> set[str]:
    """Runs a program in a process for each seed of the hashes; returns the distinct outputs."""
    return {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in hash_seeds
    }
