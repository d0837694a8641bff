"""Encoding: labse against sentence-transformers on one model folder, alternated in one run.

Use: python benchmarks/encode.py base|mixed|default MODEL [sentences, 400] [rounds, 3]

base     BERT-Base with random weights on the first 120,000 pieces of MODEL; real sentences of 16
         languages (Universal Declaration of Human Rights), 28 tokens in the mean: sentences a
         second of each precision, and what part of it is left with the dense products alone.
mixed    the same model; lengths from 1 to 256 tokens with a long tail, in the order of a file.
default  MODEL, without layers, against a random BERT of six layers and width 384.

Prints JSON: seconds (all rounds), sentences a second (median), the median of the ratios within the
rounds, and the cosine with sentence-transformers in float32. Peers: sentence-transformers 6.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from labse.encoder.check.sample import sample_languages
from labse.encoder.export.pieces import shrink_tokenizer
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.model_folder.weights import expected_shapes
from labse.network.config import BertConfig, DualEncoderConfig

LANGS = [
    "eng",
    "arb",
    "cat",
    "zho",
    "deu",
    "ell",
    "guj",
    "hrv",
    "ind",
    "kor",
    "mar",
    "nno",
    "pol",
    "rus",
    "spa",
    "tur",
]
NUM_PIECES = 120_000
SMALL = BertConfig(
    hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536
)
Encode = Callable[[Sequence[str]], np.ndarray]


def build_random(vocabulary: Path, out: Path, bert: BertConfig, max_seq_length: int) -> Path:
    """Writes a LaBSE with weights as BERT draws them, on the more frequent pieces."""
    tokenizer = read_model_folder(vocabulary).tokenizer
    is_kept = np.arange(tokenizer.get_vocab_size()) < NUM_PIECES
    tokenizer, _ = shrink_tokenizer(tokenizer, is_kept)
    bert = bert.model_copy(update={"vocab_size": tokenizer.get_vocab_size()})
    config = DualEncoderConfig(bert=bert, max_seq_length=max_seq_length)
    generator = np.random.default_rng(0)
    weights = {}
    for name, shape in expected_shapes(config).items():
        is_norm = name.endswith("LayerNorm.weight")
        drawn = generator.standard_normal(shape, np.float32) * bert.initializer_range
        weights[name] = np.ones(shape, np.float32) if is_norm else drawn
    write_model_folder(
        out,
        ModelFolder(config=config, weights=weights, tokenizer=tokenizer),
        vocab_folder=vocabulary,
        manifest={"kind": "model"},
    )
    return out


def real_sentences(num_sentences: int) -> list[str]:
    languages = sample_languages()
    columns = [sorted(languages[lang], key=len) for lang in LANGS]  # The 25 shorter of each.
    rows = [text for row in zip(*columns, strict=True) for text in row]
    return [rows[i % len(rows)] + ("" if i < len(rows) else f" {i}") for i in range(num_sentences)]


def mixed_lines(num_lines: int) -> list[str]:
    """Lines of 1 to 256 tokens: most are short, a few very long, as in text of the web."""
    words = " ".join(real_sentences(len(LANGS) * 32)).split()
    lengths = np.random.default_rng(0).lognormal(2.3, 1.1, num_lines).clip(1, 180).astype(int)
    starts = np.random.default_rng(1).integers(0, len(words) - 180, num_lines)
    return [" ".join(words[s : s + n]) for s, n in zip(starts, lengths, strict=True)]


def alternate(
    sides: dict[str, Encode], lines: list[str], rounds: int, *, is_one_model: bool = True
) -> dict[str, object]:
    """Times all sides in turn; the first is what the others are compared with."""
    reference, *others = sides
    for encode in sides.values():
        encode(lines[:8])
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for name, encode in sides.items():
            start = time.perf_counter()
            vectors[name] = encode(lines)
            seconds[name].append(time.perf_counter() - start)
    ratios = {
        name: statistics.median(
            base / own for base, own in zip(seconds[reference], seconds[name], strict=True)
        )
        for name in others
    }
    result: dict[str, object] = {
        "seconds": {name: [round(s, 3) for s in times] for name, times in seconds.items()},
        "per_second": {
            name: round(len(lines) / statistics.median(times), 1) for name, times in seconds.items()
        },
        "ratio": {name: round(ratio, 2) for name, ratio in ratios.items()},
    }
    if is_one_model:
        cosines = {name: (vectors[name] * vectors[reference]).sum(1) for name in others}
        result["cosine_mean_and_least"] = {
            name: [round(float(c.mean()), 6), round(float(c.min()), 6)]
            for name, c in cosines.items()
        }
    return result


def peer(folder: Path, **options: object) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", **options)  # type: ignore[arg-type]


def compare_base(folder: Path, num_sentences: int, rounds: int) -> dict[str, object]:
    theirs = peer(folder)
    ours = {
        "labse float32": SentenceEncoder.from_pretrained(folder),
        "labse bfloat16": SentenceEncoder.from_pretrained(folder, precision="bfloat16"),
        "labse int8": SentenceEncoder.from_pretrained(folder, precision="int8"),
    }
    sides: dict[str, Encode] = {"sentence-transformers float32": theirs.encode}
    sides |= {name: encoder.encode for name, encoder in ours.items()}
    return alternate(sides, real_sentences(num_sentences), rounds)


def compare_mixed(folder: Path, num_lines: int, rounds: int) -> dict[str, object]:
    theirs = peer(folder)
    ours = SentenceEncoder.from_pretrained(folder)

    def in_file_order(lines: Sequence[str]) -> np.ndarray:
        parts = [theirs.encode(lines[start : start + 32]) for start in range(0, len(lines), 32)]
        return np.concatenate(parts)

    sides: dict[str, Encode] = {
        "sentence-transformers, 32 lines at a time": in_file_order,
        "sentence-transformers, sorted by itself": lambda lines: theirs.encode(list(lines)),
        "labse float32": ours.encode,
    }
    lines = mixed_lines(num_lines)
    tokenizer = read_model_folder(folder).tokenizer
    lengths = [min(len(tokenizer.encode(line).ids), 256) for line in lines]
    facts = {"tokens_mean": round(statistics.mean(lengths), 1), "tokens_max": max(lengths)}
    return facts | alternate(sides, lines, rounds)


def compare_default(model: Path, folder: Path, num_lines: int, rounds: int) -> dict[str, object]:
    theirs = peer(folder)
    ours = SentenceEncoder.from_pretrained(model)
    sides: dict[str, Encode] = {
        "sentence-transformers, six layers of 384": theirs.encode,
        "labse, the model": ours.encode,
    }
    return alternate(sides, real_sentences(num_lines), rounds, is_one_model=False)


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in ("base", "mixed", "default"):
        sys.exit((__doc__ or "").strip())
    mode, model = sys.argv[1], Path(sys.argv[2])
    num_lines = int(sys.argv[3]) if len(sys.argv) > 3 else 400
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        bert = SMALL if mode == "default" else BertConfig()
        build_random(model, folder, bert, 256 if mode == "mixed" else 128)
        if mode == "base":
            result = compare_base(folder, num_lines, rounds)
        elif mode == "mixed":
            result = compare_mixed(folder, num_lines, rounds)
        else:
            result = compare_default(model, folder, num_lines, rounds)
    result |= {"mode": mode, "lines": num_lines, "load_average": os.getloadavg()[0]}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
