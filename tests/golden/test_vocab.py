"""The vocabulary learnt from forty sentences in twenty-five scripts, and their ids."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.vocab_data import read_udhr, udhr_counts

from labse.files.text import read_lines
from labse.vocab.bpe import learn_bpe
from labse.vocab.tokenizer import build_tokenizer
from labse.vocab.wordpiece import learn_wordpiece

VOCAB = Path(__file__).parent / "udhr_vocab.txt"
TOP_DOWN_VOCAB = Path(__file__).parent / "udhr_vocab_wordpiece.txt"
IDS = Path(__file__).parent / "udhr_ids.json"


@pytest.fixture
def rewrite() -> bool:
    return bool(os.environ.get("LABSE_REWRITE_GOLDEN"))


@pytest.mark.parametrize(
    ("path", "learn"),
    [(VOCAB, learn_bpe), (TOP_DOWN_VOCAB, learn_wordpiece)],
    ids=["bottom-up", "top-down"],
)
def test_the_learnt_vocabulary_has_not_moved(
    path: Path, learn: Callable[..., list[str]], rewrite: bool
) -> None:
    # The floor of 1.5 leaves some characters out, so that the ids below hold [UNK] too.
    vocab = learn(udhr_counts(), vocab_size=2000, min_count=1.5)
    if rewrite:
        path.write_text("".join(f"{piece}\n" for piece in vocab), "utf-8")
    assert vocab == list(read_lines(path))


def test_the_ids_of_forty_sentences_have_not_moved(rewrite: bool) -> None:
    tokenizer = build_tokenizer(list(read_lines(VOCAB)))
    ids = {sentence.lang: tokenizer.encode(sentence.text).ids for sentence in read_udhr()}
    if rewrite:
        rows = ",\n".join(f"{json.dumps(lang)}: {row}" for lang, row in ids.items())
        IDS.write_text(f"{{\n{rows}\n}}\n", "utf-8")
    assert len(ids) == 40
    assert ids == json.loads(IDS.read_text("utf-8"))
