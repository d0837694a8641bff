"""Our splitter and tokenizer against transformers', on forty sentences in twenty-five scripts."""

import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from tests.vocab_data import read_udhr, udhr_counts

from labse.corpus.records import Sentence
from labse.vocab.counts import count_words
from labse.vocab.tokenizer import load_tokenizer, save_vocabulary
from labse.vocab.wordpiece import learn_wordpiece

transformers = pytest.importorskip("transformers", reason="transformers is the oracle")

SENTENCES = read_udhr()
ODD = [
    "",
    "   ",
    "e\u0301 É ﬁ İ ß",
    "a\u200bb\u00adc\x00d\ufffd",
    "日本語と English、한국어。𠀀",
    "I don't, [UNK] x_y 3.14 #tag @x 🙂👩‍👩‍👧",
    "[CLS] inside [SEP] a sentence [MASK] [PAD]",
    "x" * 90,
]


@pytest.fixture(scope="module")
def vocab() -> list[str]:
    return learn_wordpiece(udhr_counts(), vocab_size=4000, min_count=0)


@pytest.mark.parametrize("max_word_chars", [100, 1000])
def test_ids_equal_those_of_auto_tokenizer(
    vocab: list[str], tmp_path: Path, max_word_chars: int
) -> None:
    save_vocabulary(tmp_path, vocab, max_word_chars=max_word_chars)
    oracle = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    for text in [*ODD, *(sentence.text for sentence in SENTENCES)]:
        assert ours.encode(text).ids == oracle(text)["input_ids"], text
    roles = (oracle.pad_token_id, oracle.cls_token_id, oracle.sep_token_id, oracle.mask_token_id)
    assert roles == (0, 2, 3, 4)


def test_ids_equal_those_of_cased_bert_tokenizer_fast(vocab: list[str], tmp_path: Path) -> None:
    # Its limit is 100 characters a word, whatever the file says (transformers 5).
    save_vocabulary(tmp_path, vocab, max_word_chars=100)
    oracle = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    for text in [*ODD, *(sentence.text for sentence in SENTENCES)]:
        assert ours.encode(text).ids == oracle(text)["input_ids"], text


def test_pairs_equal_those_of_bert_tokenizer_fast(vocab: list[str], tmp_path: Path) -> None:
    save_vocabulary(tmp_path, vocab)
    oracle = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    source, target = SENTENCES[0].text, SENTENCES[1].text
    ours, theirs = load_tokenizer(tmp_path).encode(source, target), oracle(source, target)
    assert ours.ids == theirs["input_ids"]
    assert ours.type_ids == theirs["token_type_ids"]


def test_no_sentence_of_unspaced_script_becomes_unknown(vocab: list[str], tmp_path: Path) -> None:
    save_vocabulary(tmp_path, vocab)
    oracle = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for sentence in SENTENCES:
        if sentence.lang in ("tha", "lao", "khm", "mya"):
            phrase = sentence.text.replace(" ", "")
            pieces = load_tokenizer(tmp_path).encode(phrase).tokens
            assert pieces == oracle.convert_ids_to_tokens(oracle(phrase)["input_ids"])
            assert len(phrase) > 100
            assert "[UNK]" not in pieces


def test_words_equal_those_of_the_python_basic_tokenizer() -> None:
    japanese = pytest.importorskip("transformers.models.bert_japanese.tokenization_bert_japanese")
    oracle = japanese.BasicTokenizer(do_lower_case=False, strip_accents=False)
    for sentence in SENTENCES:
        text = unicodedata.normalize("NFC", sentence.text)  # As the oracle does; BERT does not.
        assert count_words([Sentence(text, "und")])["und"] == Counter(oracle.tokenize(text)), text
