"""Cleaning: megabytes of text a CPU second, stage by stage, on one core.

Use: python benchmarks/cleaning.py TABLE [TABLE ...] [--megabytes 5]
TABLE has the columns lang and text. Prints JSON: for each table the speed of scoring without and
with language identification, the latter against both identifiers called a text at a time, and the
share of the time that each part takes. Bytes are those of UTF-8.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from labse.cleaning.boilerplate import boilerplate_shares, markup_shares
from labse.cleaning.characters import build_block, count_kinds, count_script_letters
from labse.cleaning.langid import identify_languages
from labse.cleaning.normalize import normalize_text
from labse.cleaning.text_scores import repetition_shares, score_texts
from labse.corpus.shards import iter_sentences
from labse.runtime import require

BLOCK = 2000  # Texts: about what the pipeline scores at once.


def read_texts(path: str, num_bytes: int) -> tuple[list[str], list[str]]:
    texts, langs = [], []
    for sentence in iter_sentences(path, None):
        texts.append(sentence.text)
        langs.append(sentence.lang)
        num_bytes -= len(sentence.text.encode())
        if num_bytes <= 0:
            break
    return texts, langs


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def call_one_by_one(texts: list[str]) -> None:
    detect = require("pycld2", "corpus").detect
    langid = require("py3langid.langid", "corpus")
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    for text in texts:
        detect(text, isPlainText=True)
        identifier.classify(text)


def measure_parts(texts: list[str]) -> dict[str, float]:
    blocks = [texts[start : start + BLOCK] for start in range(0, len(texts), BLOCK)]
    built = [build_block(block) for block in blocks]
    both = list(zip(blocks, built, strict=True))
    scripts = ["Latn"] * BLOCK
    parts: dict[str, Callable[[], object]] = {
        "normalise": lambda: [normalize_text(text) for text in texts],
        "characters": lambda: [(build_block(block), count_kinds(b)) for block, b in both],
        "scripts": lambda: [count_script_letters(b, scripts[: len(b.starts)]) for b in built],
        "repetition": lambda: [repetition_shares(b) for b in built],
        "boilerplate": lambda: [boilerplate_shares(block) for block in blocks],
        "markup": lambda: [markup_shares(block, b) for block, b in both],
        "language": lambda: identify_languages(texts),
    }
    return {name: seconds(part) for name, part in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--megabytes", type=float, default=5)
    options = parser.parse_args()
    score_texts(["warm"], ["eng"])  # Tables and models are loaded once a process.

    for path in options.tables:
        texts, langs = read_texts(path, int(options.megabytes * 1e6))
        texts = [normalize_text(text).text for text in texts]  # pycld2 raises on C0 controls.
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        plain, full, one_by_one = (
            megabytes / seconds(call)
            for call in (
                lambda: score_texts(texts, langs, identify=False),  # noqa: B023
                lambda: score_texts(texts, langs),  # noqa: B023
                lambda: call_one_by_one(texts),  # noqa: B023
            )
        )
        parts = measure_parts(texts)
        result = {
            "table": Path(path).name,
            "megabytes": round(megabytes, 2),
            "bytes_a_text": round(1e6 * megabytes / len(texts)),
            "mb_a_second": round(plain, 2),
            "mb_a_second_with_language": round(full, 2),
            "mb_a_second_identifiers_one_by_one": round(one_by_one, 2),
            "share_of_time": {n: round(s / sum(parts.values()), 3) for n, s in parts.items()},
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
