"""A run of seconds: a cipher in a TSV, its vocabulary and a configuration."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.training_data import pairs_of
from tokenizers import Tokenizer

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.negatives import HardNegatives, Negatives, prepare_hard_negatives
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences
from labse.vocab.folder import learn_vocabulary
from labse.vocab.tokenizer import load_tokenizer

BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Holds `pairs.tsv` (60 pairs in two languages, one copy, one blank) and `vocab/`."""
    generator = np.random.default_rng(0)
    rows = ["lang\tenglish\ttext", "deu\tsame\tsame", "deu\tblank\t "]
    for number in range(60):
        words = generator.choice(list("abcdefghij"), 5)
        cipher = " ".join(word.upper() for word in words)
        rows.append(f"{'deu' if number % 2 else 'fra'}\t{' '.join(words)}\t{cipher}")
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    learn_vocabulary([tmp_path / "pairs.tsv"], tmp_path / "vocab", vocab_size=100, min_count=1)
    return tmp_path


@pytest.fixture
def run_config() -> RunConfig:
    """One layer, six steps; the size of the vocabulary is left out."""
    values: dict[str, object] = {
        "data": {"pairs": ["pairs.tsv"]},
        "model": {"bert": BERT, "max_seq_length": 16},
        "train": {
            "train_steps": 6,
            "global_batch_size": 8,
            "lr": 0.01,
            "warmup_steps": 1,
            "log_every": 2,
            "eval_every": 3,
            "checkpoint_every": 3,
        },
    }
    return parse_config(RunConfig, values, where="test")


# ---- Files of pairs with hard negatives ----

HEADER = "source\ttarget\tsource_lang\ttarget_lang"
COLUMNS = "\ttarget_negative_1\ttarget_negative_2\tsource_negative_1"


def tokenized(cells: list[list[str]], tokenizer: Tokenizer) -> TokenizedPairs:
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(text, len(numbers)) for text in pair] for pair in cells]
    ids, offsets, _ = tokenize_sentences(list(numbers), tokenizer, max_seq_length=64)
    return pairs_of(ids, np.diff(offsets), np.array(rows))


class NegativesFile:
    """A file of pairs with negatives, prepared."""

    def __init__(self, folder: Path, rows: list[str], columns: str) -> None:
        self.file = folder / "hard.tsv"
        self.file.write_text("\n".join([f"{HEADER}{columns}", *rows]) + "\n", "utf-8")
        self.cache = folder / "cache"
        vocab = folder / "vocab"
        self.tokenizer: Tokenizer = load_tokenizer(vocab)
        cells = [row.split("\t")[:2] for row in rows]
        self.pairs = tokenized(cells, self.tokenizer)

    def prepare(self, key: str = "1") -> HardNegatives:
        return prepare_hard_negatives(
            [self.file],
            self.pairs,
            self.tokenizer,
            max_seq_length=64,
            cache=self.cache,
            key={"inputs": key},
        )

    def batch(self, *pairs: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        texts = [source for source, _ in pairs] + [target for _, target in pairs]
        rows = [self.tokenizer.encode(text).ids for text in texts]
        ids = np.array([piece for row in rows for piece in row], np.int32)
        return ids, np.array([len(row) for row in rows])

    def texts(self, drawn: Negatives) -> tuple[set[str], set[str]]:
        parts = np.split(drawn.input_ids, np.cumsum(drawn.lengths)[:-1])
        texts = [self.tokenizer.decode(part.tolist()).replace(" ", "") for part in parts]
        texts = texts if len(drawn.lengths) else []
        return set(texts[: drawn.num_targets]), set(texts[drawn.num_targets :])


@pytest.fixture
def write_negatives(run_folder: Path) -> Callable[..., NegativesFile]:
    """Makes a file of the rows given, with two columns for targets and one for sources or none."""

    def write(rows: list[str], columns: str = COLUMNS) -> NegativesFile:
        return NegativesFile(run_folder, rows, columns)

    return write
