import random
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from labse.encoder import tokenization
from labse.encoder.character_normalizer import CharacterNormalizer
from labse.encoder.tokenization import SentenceTokenizer, TextOptions, TokenizedSentences
from labse.errors import LabseError
from labse.vocab.tokenizer import SPECIAL_TOKENS, build_tokenizer

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
THAI = [chr(code) for code in range(0x0E01, 0x0E2F)]
VOCAB = [*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS), "é", "中", "!"]
VOCAB += [*THAI, *(f"##{letter}" for letter in THAI), "##é"]
ODD = ["a", "b", " ", "\t", "\r", "!", "中", "é", "e\u0301", "[SEP]", "[", "SEP]", "\x00", "\u200b"]
ODD += ["\u00a0", "\u3000", "[MASK]", "😀", "ก"]


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    return build_tokenizer(VOCAB)


def rows_of(tokenized: TokenizedSentences) -> list[list[int]]:
    windows = tokenized.select(np.arange(len(tokenized.lengths)))
    return [window.tolist() for window in windows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(ODD)).map("".join), max_size=5))
def test_ids_are_those_of_the_library_whatever_the_text(
    library: Tokenizer, texts: list[str]
) -> None:
    tokenizer = SentenceTokenizer(library, max_seq_length=1000)
    expected = [library.encode(text).ids for text in texts]
    assert rows_of(tokenizer.tokenize(texts)) == expected
    assert rows_of(tokenizer.tokenize(texts)) == expected  # From what it remembers.


@pytest.fixture(scope="module")
def folding() -> Tokenizer:
    pieces = [*VOCAB, *"αβγωσι'`ا가각ㄱ[]", *(f"##{one}" for one in "αβγωσί̈̇")]
    return build_tokenizer(pieces, uncased=True)


MARKED = [*ODD, *"ΆΐΣςßẞİıÉＡ［］ﬁ’½ﾞァｶᾳ", "́", "̈", "̇", "ͅ", "ᄀ"]
MARKED += ["ᅡ", "ᆨ", "가", "각", "ে", "া", "￿", "［SEP］", "͸"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.lists(st.sampled_from(MARKED) | st.characters(exclude_categories=["Cs"])))
def test_words_are_folded_as_the_library_folds_them(folding: Tokenizer, text: list[str]) -> None:
    whole = "".join(text)
    tokenizer = SentenceTokenizer(folding, max_seq_length=1000)
    assert rows_of(tokenizer.tokenize([whole])) == [folding.encode(whole).ids]


def test_each_character_is_folded_as_the_library_folds_it_among_others(folding: Tokenizer) -> None:
    normalizer = CharacterNormalizer.of(folding)
    assert normalizer is not None
    words = [f"i{one}ω{one}e" for one in map(chr, range(32, 0x3400)) if one != "["]
    normal, is_left = normalizer.normalize(words)
    taken = [word for word, is_one in zip(words, is_left, strict=True) if not is_one]
    assert normal == [folding.normalizer.normalize_str(word) for word in taken]
    assert len(taken) > len(words) / 2


def test_real_sentences_have_the_ids_of_the_library_with_the_excess_cut_before_sep(
    library: Tokenizer, sentences: list[str]
) -> None:
    oracle = Tokenizer.from_str(library.to_str())
    oracle.enable_truncation(24)
    tokenized = SentenceTokenizer(library, max_seq_length=24).tokenize(sentences)
    assert rows_of(tokenized) == [oracle.encode(text).ids for text in sentences]
    whole = [len(library.encode(text).ids) for text in sentences]
    assert tokenized.is_long.tolist() == [length > 24 for length in whole]
    assert tokenized.is_empty.tolist() == [length == 2 for length in whole]


def test_a_sentence_of_exactly_the_limit_is_not_cut(library: Tokenizer) -> None:
    tokenized = SentenceTokenizer(library, max_seq_length=6).tokenize(["free", "right"])
    assert tokenized.is_long.tolist() == [False, True]
    assert tokenized.lengths.tolist() == [6, 6]


def test_windows_hold_every_token_once_in_order(library: Tokenizer) -> None:
    tokenizer = SentenceTokenizer(library, max_seq_length=5, options=TextOptions(long="mean"))
    tokenized = tokenizer.tokenize(["abcdefg", "", "abc"])
    cls, sep = library.encode("").ids
    ids = library.encode("abcdefg", add_special_tokens=False).ids
    assert rows_of(tokenized) == [
        [cls, *ids[:3], sep],
        [cls, *ids[3:6], sep],
        [cls, *ids[6:], sep],
        [cls, sep],
        [cls, *ids[:3], sep],
    ]
    assert tokenized.first_windows.tolist() == [0, 3, 4, 5]
    assert tokenized.is_long.tolist() == [True, False, False]


@pytest.mark.parametrize("text", ["", "   ", "\t\r", "\x00", "\u200b\ufeff"])
def test_a_text_without_tokens_is_empty(library: Tokenizer, text: str) -> None:
    tokenized = SentenceTokenizer(library, max_seq_length=9).tokenize([text, "a"])
    assert tokenized.is_empty.tolist() == [True, False]
    assert tokenized.lengths.tolist() == [2, 3]


def test_parts_and_forgetting_do_not_change_the_result(
    library: Tokenizer, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SentenceTokenizer(library, max_seq_length=24).tokenize(sentences)
    monkeypatch.setattr(tokenization, "_LEARNT_CHARACTERS", 9)
    monkeypatch.setattr(tokenization, "_MAX_KEPT_WORDS", 2)
    monkeypatch.setattr(tokenization, "_JOINED_WORDS", 2)
    parted = SentenceTokenizer(library, max_seq_length=24).tokenize(sentences)
    assert rows_of(parted) == rows_of(whole)


def test_no_sentences_give_no_ids(library: Tokenizer) -> None:
    tokenized = SentenceTokenizer(library, max_seq_length=24).tokenize([])
    assert tokenized.input_ids.tolist() == []
    assert tokenized.offsets.tolist() == [0]
    assert tokenized.first_windows.tolist() == [0]


def test_both_spellings_of_a_letter_are_one_under_nfc_alone(library: Tokenizer) -> None:
    texts = ["café", unicodedata.normalize("NFD", "café")]
    assert texts[0] != texts[1]
    on = SentenceTokenizer(library, max_seq_length=24, options=TextOptions(nfc=True))
    first, second = rows_of(on.tokenize(texts))
    assert first == second
    off = rows_of(SentenceTokenizer(library, max_seq_length=24).tokenize(texts))
    assert off[0] != off[1]


@pytest.mark.parametrize(
    ("limit", "option", "is_split"),
    [(1000, None, True), (100, None, False), (100, True, True), (1000, False, False)],
)
def test_a_long_word_of_a_script_without_spaces_does_not_vanish(
    limit: int, option: bool | None, is_split: bool
) -> None:
    library = build_tokenizer(VOCAB, max_word_chars=limit)
    text = "".join(random.Random(1).choices(THAI, k=limit + 50))
    options = TextOptions(split_long_words=option)
    tokenizer = SentenceTokenizer(library, max_seq_length=5000, options=options)
    (ids,) = rows_of(tokenizer.tokenize([text]))
    unknown = library.token_to_id("[UNK]")
    assert (unknown in ids) is not is_split
    assert len(ids) == (limit + 52 if is_split else 3)
    (ids,) = rows_of(tokenizer.tokenize([f"ab!{text[:99]} 中"]))
    assert ids == library.encode(f"ab!{text[:99]} 中").ids  # No word of it is too long.


def test_a_tokenizer_that_does_not_split_at_spaces_is_asked_for_whole_sentences() -> None:
    library = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, "a b": 2, "c": 3}, "c"))
    library.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("|")
    library.post_processor = processors.BertProcessing(("[SEP]", 1), ("[CLS]", 0))
    tokenizer = SentenceTokenizer(library, max_seq_length=8)
    assert rows_of(tokenizer.tokenize(["a b|c", "a"])) == [[0, 2, 3, 1], [0, 3, 1]]


def test_a_model_without_room_for_text_is_refused(library: Tokenizer) -> None:
    with pytest.raises(LabseError, match="no token for text"):
        SentenceTokenizer(library, max_seq_length=2)


def test_an_unknown_way_with_long_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="long 'bad': choose one of truncate, mean"):
        TextOptions(long="bad")  # type: ignore[arg-type]
