"""Are our vectors those of sentence-transformers? 500 real sentences of 60 languages.

Use: python benchmarks/encode_parity.py MODEL TATOEBA [sentences, default 500] [base]
MODEL gives the vocabulary of a random BERT (six layers of 384 values, or BERT-Base with "base" at
the end); TATOEBA is the folder of LASER's sets. Every tenth
sentence is ten of its language joined, so that some are longer than the model takes.

Prints JSON: least cosine with sentence-transformers by runtime, and the largest difference of a
value when the sentences come in another order in batches of another size.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from encode import SMALL, build_random, peer

from labse.encoder.runtimes.choice import Precision, RuntimeName
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.evaluation.datasets import read_tatoeba
from labse.network.config import BertConfig

NUM_LANGS = 60
RUNTIMES: tuple[tuple[RuntimeName, Precision], ...] = (
    ("ctranslate2", "float32"),
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("ctranslate2", "int8"),
)


def read_lines(tatoeba: Path, num_sentences: int) -> list[str]:
    sets = read_tatoeba(tatoeba)[:NUM_LANGS]
    lines = []
    for number in range(num_sentences):
        turn, place = divmod(number, len(sets))
        sentences = sets[place].sentences
        start = 11 * turn % len(sentences)
        lines.append(" ".join(sentences[start : start + (10 if number % 10 == 9 else 1)]))
    return lines


def main() -> None:
    model, tatoeba = Path(sys.argv[1]), Path(sys.argv[2])
    lines = read_lines(tatoeba, int(sys.argv[3]) if len(sys.argv) > 3 else 500)
    order = np.random.default_rng(0).permutation(len(lines))
    shuffled = [lines[i] for i in order]
    result: dict[str, object] = {"sentences": len(lines), "langs": NUM_LANGS}
    with tempfile.TemporaryDirectory() as scratch:
        bert = BertConfig() if sys.argv[4:] == ["base"] else SMALL
        folder = build_random(model, Path(scratch) / "model", bert, 64)
        expected = peer(folder).encode(lines)
        for runtime, precision in RUNTIMES:
            encoder = SentenceEncoder.from_pretrained(
                folder,
                runtime=runtime,
                precision=precision,
            )
            found = encoder.encode(lines)
            other = np.empty_like(found)
            other[order] = encoder.encode(shuffled, batch_tokens=700)
            result[f"{runtime} {precision}"] = {
                "least_cosine": round(float((found * expected).sum(1).min()), 7),
                "largest_change_with_order": float(np.abs(found - other).max()),
                "cut": encoder.num_truncated // 2,
            }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
