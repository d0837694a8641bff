import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE

from labse.encoder.export.pieces import (
    changed_tokens,
    count_pieces,
    pieces_of_langs,
    shrink_tokenizer,
)
from labse.errors import LabseError, UsageError
from labse.vocab.tokenizer import SPECIAL_TOKENS, build_tokenizer

# Pieces that overlap, so that a missing one changes how a word is cut; no ##d: "abd" is [UNK].
PIECES = ["a", "ab", "abc", "b", "bc", "c", "##a", "##b", "##bc", "##c", "##abc", "##ca", "d"]
TOKENIZER = build_tokenizer([*PIECES[:4], *SPECIAL_TOKENS, *PIECES[4:], "д", "##д", "字", "é", "1"])
TEXTS = st.text("abcd ,字", max_size=12)


@given(st.lists(TEXTS, max_size=4), TEXTS)
def test_text_whose_pieces_are_kept_is_cut_alike(texts: list[str], other: str) -> None:
    kept = count_pieces(TOKENIZER, texts) > 0

    small, old_numbers = shrink_tokenizer(TOKENIZER, kept)

    for text in texts:  # Unknown words too.
        before, after = TOKENIZER.encode(text), small.encode(text)
        assert after.tokens == before.tokens
        assert old_numbers[after.ids].tolist() == before.ids
    encoding = TOKENIZER.encode(other)
    if kept[encoding.ids[1:-1]].all() and "[UNK]" not in encoding.tokens:
        assert small.encode(other).tokens == encoding.tokens


@given(st.lists(TEXTS, max_size=4), TEXTS)
def test_the_share_that_changes_is_that_of_the_words_cut_otherwise(
    texts: list[str], other: str
) -> None:
    small, _ = shrink_tokenizer(TOKENIZER, count_pieces(TOKENIZER, texts) > 0)

    num_changed, num_tokens = changed_tokens(TOKENIZER, small, [other])

    before, after = TOKENIZER.encode(other).tokens, small.encode(other).tokens
    assert num_tokens == len(before) - 2
    assert (num_changed == 0) == (before == after)


def test_unknown_words_keep_what_matched_before_they_failed() -> None:
    counts = count_pieces(TOKENIZER, ["abd"])
    assert TOKENIZER.encode("abd").tokens == ["[CLS]", "[UNK]", "[SEP]"]
    assert counts[TOKENIZER.token_to_id("ab")] == 1
    assert count_pieces(TOKENIZER, ["a" * 1001]).sum() == 3  # Too long: nothing is tried.


def test_scripts_keep_what_has_no_other_letters() -> None:
    kept = pieces_of_langs(TOKENIZER, ["de"])
    pieces = {piece for piece, number in TOKENIZER.get_vocab().items() if kept[number]}
    assert {"a", "##bc", "é", "1"} <= pieces
    assert not pieces & {"д", "##д", "字"}
    russian = pieces_of_langs(TOKENIZER, ["ru"])
    assert russian[TOKENIZER.token_to_id("##д")]
    assert pieces_of_langs(TOKENIZER, ["ja"])[TOKENIZER.token_to_id("字")]


def test_unknown_languages_scripts_and_models_are_errors() -> None:
    with pytest.raises(UsageError, match="unknown language"):
        pieces_of_langs(TOKENIZER, ["xxx-none"])
    with pytest.raises(UsageError, match=r"--langs div: the script Thaa is not known here"):
        pieces_of_langs(TOKENIZER, ["div"])
    with pytest.raises(LabseError, match="the tokenizer is BPE; only WordPiece"):
        count_pieces(Tokenizer(BPE()), ["a"])


def test_special_tokens_stay_and_keep_their_order() -> None:
    small, old_numbers = shrink_tokenizer(TOKENIZER, np.zeros(TOKENIZER.get_vocab_size(), bool))
    assert [small.id_to_token(number) for number in range(5)] == list(SPECIAL_TOKENS)
    assert old_numbers.tolist() == [4, 5, 6, 7, 8]
    assert small.encode("ab").tokens == ["[CLS]", "[UNK]", "[SEP]"]
