import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from labse.corpus.records import SentencePair
from labse.dual_encoder.pairs import TokenizedPairs, tokenize_pairs
from labse.errors import LabseError


def word_tokenizer() -> Tokenizer:
    """One piece a word: w0 to w99 are ids 5 to 104."""
    vocab = {p: i for i, p in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    vocab |= {f"w{i}": i + 5 for i in range(100)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def numbered(pairs: list[tuple[str, str, str]], max_seq_length: int = 16) -> TokenizedPairs:
    records = [SentencePair(source, target, "eng", lang) for source, target, lang in pairs]
    return tokenize_pairs(
        {"words": records}, word_tokenizer(), max_seq_length=max_seq_length, chunk_sentences=2
    )


def test_each_distinct_sentence_is_stored_once() -> None:
    pairs = numbered([("w1 w2", "w3", "deu"), ("w1 w2", "w4", "fra"), ("w9", "w3", "deu")])
    assert pairs.pairs.tolist() == [[0, 1], [0, 2], [3, 1]]
    assert pairs.lang_pairs == ("eng-deu", "eng-fra")
    assert pairs.pair_langs.tolist() == [0, 1, 0]
    input_ids, lengths = pairs.gather(np.array([2, 0], dtype=np.int32))
    assert input_ids.tolist() == [2, 9, 3, 2, 6, 7, 3]
    assert lengths.tolist() == [3, 4]


def test_a_long_sentence_is_cut_keeps_its_end_token_and_is_counted() -> None:
    pairs = numbered([("w1 w2 w3 w4 w5", "w6", "deu")], max_seq_length=4)
    assert pairs.gather(np.array([0], dtype=np.int32))[0].tolist() == [2, 6, 7, 3]
    assert pairs.num_truncated == 1


def test_no_pairs_is_an_error() -> None:
    with pytest.raises(LabseError, match="not one sentence pair"):
        numbered([])


def test_saved_pairs_come_back(tmp_path: Path) -> None:
    saved = numbered([("w1 w2", "w3", "deu"), ("w4", "w5", "fra")])
    saved.save(tmp_path)
    loaded = TokenizedPairs.load(tmp_path)
    for name in ("input_ids", "offsets", "pairs", "pair_langs", "pair_corpora"):
        assert np.array_equal(getattr(loaded, name), getattr(saved, name))
    assert (loaded.lang_pairs, loaded.corpora) == (saved.lang_pairs, saved.corpora)


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    numbered([("w1 w2", "w3", "deu"), ("w4", "w5", "fra")]).save(tmp_path)
    (tmp_path / "pairs.npy").write_bytes(b"nonsense")
    with pytest.raises(LabseError, match="damaged"):
        TokenizedPairs.load(tmp_path)
    (tmp_path / "pairs.json").write_text(json.dumps([]))
    with pytest.raises(LabseError, match="expected a JSON object"):
        TokenizedPairs.load(tmp_path)
