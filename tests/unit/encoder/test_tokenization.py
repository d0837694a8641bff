from pathlib import Path

import numpy as np
import pytest

from labse.encoder import tokenization
from labse.encoder.tokenization import tokenize_sentences
from labse.vocab.tokenizer import load_tokenizer


def test_ids_are_the_tokenizers_with_the_excess_cut_before_sep(
    vocab_folder: Path, sentences: list[str]
) -> None:
    tokenizer = load_tokenizer(vocab_folder)
    oracle = load_tokenizer(vocab_folder)
    oracle.enable_truncation(24)

    tokenized = tokenize_sentences(tokenizer, sentences, max_seq_length=24)

    rows = tokenized.select(np.arange(len(sentences)))
    assert [row.tolist() for row in rows] == [oracle.encode(text).ids for text in sentences]
    assert tokenized.lengths.tolist() == [len(row) for row in rows]
    whole = [len(tokenizer.encode(text).ids) for text in sentences]
    assert tokenized.is_truncated.tolist() == [length > 24 for length in whole]


def test_a_sentence_of_exactly_the_limit_is_not_cut(vocab_folder: Path) -> None:
    tokenized = tokenize_sentences(
        load_tokenizer(vocab_folder), ["free", "rights"], max_seq_length=6
    )

    assert tokenized.is_truncated.tolist() == [False, True]
    assert tokenized.lengths.tolist() == [6, 6]


def test_chunks_do_not_change_the_result(
    vocab_folder: Path, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(vocab_folder)
    whole = tokenize_sentences(tokenizer, sentences, max_seq_length=24)

    monkeypatch.setattr(tokenization, "_CHUNK_SENTENCES", 3)
    chunked = tokenize_sentences(tokenizer, sentences, max_seq_length=24)

    assert chunked.input_ids.tolist() == whole.input_ids.tolist()
    assert chunked.offsets.tolist() == whole.offsets.tolist()


def test_no_sentences_give_no_ids(vocab_folder: Path) -> None:
    tokenized = tokenize_sentences(load_tokenizer(vocab_folder), [], max_seq_length=24)

    assert tokenized.input_ids.tolist() == []
    assert tokenized.offsets.tolist() == [0]
