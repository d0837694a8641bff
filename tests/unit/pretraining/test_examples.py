from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.errors import LabseError
from labse.pretraining.examples import (
    ExampleCollector,
    TextPacker,
    TokenizedExamples,
    join_pair,
)

CLS, SEP = 2, 3


def pack(
    sentences: list[tuple[str, int, list[int]]], *, length: int = 8, cross_documents: bool = False
) -> list[tuple[str, list[int]]]:
    """Packs (lang, document, pieces); returns (lang, example)."""
    packer = TextPacker(
        max_seq_length=length, cls_id=CLS, sep_id=SEP, cross_documents=cross_documents
    )
    full = [(lang, e) for lang, doc, pieces in sentences for e in packer.add(lang, doc, pieces)]
    return full + list(packer.flush())


def test_sentences_are_packed_while_they_fit_whole() -> None:
    sentences = [("eng", 0, [11, 12]), ("eng", 0, [13, 14, 15]), ("eng", 0, [16, 17])]
    assert pack(sentences) == [
        ("eng", [CLS, 11, 12, 13, 14, 15, SEP]),
        ("eng", [CLS, 16, 17, SEP]),
    ]


def test_a_document_ends_an_example_unless_it_is_asked_to_go_on() -> None:
    sentences = [("eng", 0, [11]), ("eng", 1, [12]), ("eng", 1, [13])]
    assert [e for _, e in pack(sentences)] == [[CLS, 11, SEP], [CLS, 12, 13, SEP]]
    assert [e for _, e in pack(sentences, cross_documents=True)] == [[CLS, 11, SEP, 12, 13, SEP]]


def test_a_separator_never_stands_before_the_last_one() -> None:
    sentences = [("eng", 0, [11, 12, 13, 14, 15]), ("eng", 1, [16])]
    crossed = [e for _, e in pack(sentences, cross_documents=True)]
    assert crossed == [[CLS, 11, 12, 13, 14, 15, SEP], [CLS, 16, SEP]]


def test_a_sentence_longer_than_an_example_is_cut_into_several() -> None:
    assert [e for _, e in pack([("eng", 0, list(range(10, 24)))])] == [
        [CLS, *range(10, 16), SEP],
        [CLS, *range(16, 22), SEP],
        [CLS, 22, 23, SEP],
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["eng", "deu"]),
            st.integers(0, 2),
            st.lists(st.integers(10, 99), min_size=1, max_size=12),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_packing_loses_no_piece_and_mixes_no_languages(
    sentences: list[tuple[str, int, list[int]]], cross_documents: bool
) -> None:
    packed = pack(sentences, cross_documents=cross_documents)
    assert all(len(example) <= 8 for _, example in packed)
    for lang in ("eng", "deu"):
        pieces = [p for tag, _, pieces in sentences if tag == lang for p in pieces]
        kept = [p for tag, example in packed if tag == lang for p in example if p not in (CLS, SEP)]
        assert kept == pieces


@given(
    source=st.lists(st.integers(10, 99), min_size=1, max_size=20),
    target=st.lists(st.integers(10, 99), min_size=1, max_size=20),
    length=st.integers(5, 30),
)
def test_a_joined_pair_keeps_the_starts_of_both_sides(
    source: list[int], target: list[int], length: int
) -> None:
    joined = join_pair(source, target, max_seq_length=length, cls_id=CLS, sep_id=SEP)
    ids = joined.input_ids
    first, second = ids[: joined.source_length], ids[joined.source_length :]
    assert (first[0], first[-1], second[-1]) == (CLS, SEP, SEP)
    assert first[1:-1] == source[: len(first) - 2]
    assert second[:-1] == target[: len(second) - 1]
    assert len(ids) == min(length, len(source) + len(target) + 3)
    assert joined.is_cut == (len(source) + len(target) + 3 > length)
    if joined.is_cut and len(first) - 2 < len(source):  # The source was cut,
        assert len(first) - 2 >= (length - 3) // 2  # but not below its half.


def examples() -> TokenizedExamples:
    collector = ExampleCollector()
    collector.add("mlm", "deu", [2, 7, 3])
    collector.add("tlm", "eng-deu", [2, 7, 3, 8, 9, 3], 3)
    collector.add("mlm", "deu", [2, 8, 3])
    return collector.build()


def test_examples_are_gathered_by_number_and_counted_by_group() -> None:
    built = examples()
    assert built.group_names == ("mlm deu", "tlm eng-deu")
    assert built.group_tokens.tolist() == [6, 6]
    ids, lengths = built.gather(np.array([2, 1]))
    assert (ids.tolist(), lengths.tolist()) == ([2, 8, 3, 2, 7, 3, 8, 9, 3], [3, 6])


def test_saved_examples_load_equal_and_damage_is_told(tmp_path: Path) -> None:
    built = examples()
    built.save(tmp_path / "tokens")
    loaded = TokenizedExamples.load(tmp_path / "tokens")
    assert loaded.group_names == built.group_names
    for name in ("input_ids", "offsets", "source_lengths", "groups"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(built, name))
    (tmp_path / "tokens" / "offsets.npy").write_bytes(b"")
    with pytest.raises(LabseError, match=r"tokens: damaged"):
        TokenizedExamples.load(tmp_path / "tokens")
