"""The vocabulary learnt from forty sentences in twenty-five scripts, and their ids."""

import json
import os
from pathlib import Path

import pytest

from labse.corpus.records import Sentence
from labse.files.text import read_lines
from labse.vocab.bpe import learn_bpe
from labse.vocab.counts import count_words, smooth_counts
from labse.vocab.tokenizer import build_tokenizer
from labse.vocab.wordpiece import learn_wordpiece

VOCAB = Path(__file__).parent / "udhr_vocab.txt"
TOP_DOWN_VOCAB = Path(__file__).parent / "udhr_vocab_wordpiece.txt"
IDS = Path(__file__).parent / "udhr_ids.json"
UDHR = Path(__file__).parents[1] / "data" / "udhr_article1.tsv"


def read_udhr() -> list[Sentence]:
    rows = [line.split("\t") for line in read_lines(UDHR)]
    return [Sentence(text, lang) for lang, text in rows[1:]]


@pytest.fixture
def rewrite() -> bool:
    return bool(os.environ.get("LABSE_REWRITE_GOLDEN"))


def test_the_vocabulary_learnt_bottom_up_has_not_moved(rewrite: bool) -> None:
    # The floor of 1.5 leaves some characters out, so that the ids below hold [UNK] too.
    counts = smooth_counts(count_words(read_udhr()), 0.3)
    vocab = learn_bpe(counts, vocab_size=2000, min_count=1.5)
    if rewrite:
        VOCAB.write_text("".join(f"{piece}\n" for piece in vocab), "utf-8")
    assert vocab == list(read_lines(VOCAB))


def test_the_vocabulary_learnt_top_down_has_not_moved(rewrite: bool) -> None:
    counts = smooth_counts(count_words(read_udhr()), 0.3)
    vocab = learn_wordpiece(counts, vocab_size=2000, min_count=1.5)
    if rewrite:
        TOP_DOWN_VOCAB.write_text("".join(f"{piece}\n" for piece in vocab), "utf-8")
    assert vocab == list(read_lines(TOP_DOWN_VOCAB))


def test_the_ids_of_forty_sentences_have_not_moved(rewrite: bool) -> None:
    tokenizer = build_tokenizer(list(read_lines(VOCAB)))
    ids = {sentence.lang: tokenizer.encode(sentence.text).ids for sentence in read_udhr()}
    if rewrite:
        rows = ",\n".join(f"{json.dumps(lang)}: {row}" for lang, row in ids.items())
        IDS.write_text(f"{{\n{rows}\n}}\n", "utf-8")
    assert len(ids) == 40
    assert ids == json.loads(IDS.read_text("utf-8"))
