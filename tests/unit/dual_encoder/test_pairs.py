import json
from pathlib import Path

import numpy as np
import pytest
from tests.training_data import word_tokenizer

from labse.dual_encoder.data.pairs import (
    SentenceOrigin,
    TokenizedPairs,
    tokenize_sentences,
    write_summary,
)
from labse.errors import LabseError


def write_pairs(folder: Path) -> None:
    """Two pairs: w1 w2 - w3 and w1 w2 - w4."""
    arrays = {
        "input_ids": np.array([2, 6, 7, 3, 2, 8, 3, 2, 9, 3], dtype=np.int32),
        "offsets": np.array([0, 4, 7, 10]),
        "pairs": np.array([[0, 1], [0, 2]], dtype=np.int32),
        "pair_langs": np.array([0, 1], dtype=np.int16),
        "pair_corpora": np.array([0, 1], dtype=np.int16),
        "pair_rows": np.array([3, 1], dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    names = {"lang_pairs": ["eng-deu", "eng-fra"], "corpora": ["a.tsv", "b.tsv"]}
    write_summary(folder, **names, num_truncated=0)


def test_sentences_are_gathered_in_the_order_asked_for(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    input_ids, lengths = TokenizedPairs.load(tmp_path).gather(np.array([2, 0], dtype=np.int32))
    assert input_ids.tolist() == [2, 9, 3, 2, 6, 7, 3]
    assert lengths.tolist() == [3, 4]


def test_the_number_of_a_side_tells_file_row_and_side(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    assert TokenizedPairs.load(tmp_path).locate(np.array([1, 2])) == [
        SentenceOrigin("a.tsv", 3, "target", "eng-deu"),
        SentenceOrigin("b.tsv", 1, "source", "eng-fra"),
    ]


def test_a_long_sentence_is_cut_keeps_its_end_token_and_is_counted() -> None:
    input_ids, offsets, num_truncated = tokenize_sentences(
        ["w1 w2 w3 w4 w5", "w6", "w7"], word_tokenizer(), max_seq_length=4, chunk_sentences=2
    )
    assert input_ids.tolist() == [2, 6, 7, 3, 2, 11, 3, 2, 12, 3]
    assert offsets.tolist() == [0, 4, 7, 10]
    assert num_truncated == 1


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    (tmp_path / "pairs.npy").write_bytes(b"nonsense")
    with pytest.raises(LabseError, match="damaged"):
        TokenizedPairs.load(tmp_path)
    (tmp_path / "pairs.json").write_text(json.dumps([]))
    with pytest.raises(LabseError, match="expected a JSON object"):
        TokenizedPairs.load(tmp_path)
