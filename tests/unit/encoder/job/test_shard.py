from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.encoder.job.shard import SeenTexts, Storage, StoredRows, encode_shard, load_rows
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.streaming import UniqueTexts
from labse.errors import ResourceError
from labse.files.atomic import sha256_file


def test_a_shard_holds_the_vector_of_each_sentence_in_order(
    encoder: SentenceEncoder, sentences: list[str], tmp_path: Path
) -> None:
    shard = encode_shard(encoder, sentences, tmp_path, 3)
    np.testing.assert_allclose(
        np.load(tmp_path / "shard-000003.npy"), encoder.encode(sentences), atol=1e-6
    )
    assert (shard.number, shard.num_rows, shard.num_encoded) == (3, 14, 14)
    assert shard.files == {path.name: sha256_file(path) for path in tmp_path.glob("shard-*")}


def test_equal_sentences_are_computed_once_and_have_the_same_bytes(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    counts: list[int] = []
    texts = ["free", "equal", "free", "", "free", ""]
    shard = encode_shard(encoder, texts, tmp_path, 0, on_batch=counts.append)
    rows = np.load(tmp_path / "shard-000000.npy")
    assert rows[0].tobytes() == rows[2].tobytes() == rows[4].tobytes()
    assert rows[3].tobytes() == rows[5].tobytes()
    assert shard.num_encoded == sum(counts) == 3


def test_rows_of_empty_and_long_sentences_are_listed(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    texts = ["", "free", " ", "equal in rights " * 9, "equal in rights " * 9]
    shard = encode_shard(encoder, texts, tmp_path, 0)
    assert np.load(tmp_path / "shard-000000.empty.npy").tolist() == [0, 2]
    assert np.load(tmp_path / "shard-000000.long.npy").tolist() == [3, 4]
    assert (shard.num_empty, shard.num_long) == (2, 2)
    encode_shard(encoder, ["free"], tmp_path / "..", 1)
    assert not (tmp_path / ".." / "shard-000001.empty.npy").exists()


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_a_row_of_an_earlier_shard_is_copied_with_what_is_known_of_it(
    encoder: SentenceEncoder, tmp_path: Path, storage: str
) -> None:
    long = "equal in rights " * 9
    encode_shard(encoder, ["free", "", long, "equal"], tmp_path, 0, storage=storage)
    places = np.array([[0, 2], [-1, -1], [0, 1], [0, 0]])
    texts = [long, "rights", "", "free", "rights"]
    shard = encode_shard(encoder, texts, tmp_path, 1, storage=storage, places=places)
    assert (shard.num_encoded, shard.num_long, shard.num_empty) == (1, 1, 1)
    before, after = load_rows(tmp_path, 0, storage), load_rows(tmp_path, 1, storage)
    np.testing.assert_array_equal(after.take(slice(0, 1)), before.take(slice(2, 3)))
    np.testing.assert_array_equal(after.take(slice(2, 4)), before.take(np.array([1, 0])))
    computed = encoder.encode(["rights"])
    np.testing.assert_allclose(after.take(slice(1, 2)), computed, atol=5e-3)


def test_the_hash_of_the_text_is_that_of_its_lines(tmp_path: Path) -> None:
    texts = [f"line {n % 2000} ü" for n in range(3000)]
    (tmp_path / "t").write_text("".join(f"{text}\n" for text in texts), "utf-8")
    unique = UniqueTexts.of(texts)
    assert len(unique.texts) == 2000
    assert unique.sha256() == sha256_file(tmp_path / "t")


def test_a_folder_that_is_a_file_is_a_resource_error(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    (tmp_path / "none").touch()
    with pytest.raises(ResourceError, match="is a file"):
        encode_shard(encoder, ["free"], tmp_path / "none", 0)


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=9), max_size=8))
def test_every_place_that_is_found_holds_the_sentence(shards: list[list[str]]) -> None:
    seen = SeenTexts(num_slots=8)  # Fewer than there are sentences: some are forgotten.
    for number, sentences in enumerate(shards):
        unique = UniqueTexts.of(sentences)
        for text, (shard, row) in zip(unique.texts, seen.replace(unique, number), strict=True):
            assert shard < number
            assert shard < 0 or shards[shard][row] == text


def test_the_place_that_was_computed_is_found_while_there_is_room() -> None:
    seen = SeenTexts(num_slots=1 << 16)
    texts = [f"sentence {n}" for n in range(100)]
    doubled = [text for text in texts for _ in range(2)]
    assert (seen.replace(UniqueTexts.of(doubled), 0) == -1).all()
    assert seen.replace(UniqueTexts.of(texts[:10]), 3)[:, 0].tolist() == [0] * 10
    found = seen.replace(UniqueTexts.of(texts), 4)
    assert found.tolist() == [[0, row * 2] for row in range(100)]


TOLERANCES: dict[Storage, float] = {"float32": 0, "float16": 5e-4, "int8": 4e-3}


@given(seed=st.integers(0, 99), storage=st.sampled_from(["float32", "float16", "int8"]))
def test_stored_rows_come_back_within_the_rounding_of_their_type(
    seed: int, storage: Storage
) -> None:
    rows = np.random.default_rng(seed).normal(size=(7, 12)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stored = StoredRows.allocate(7, 12, storage)
    order = np.array([3, 1, 0, 2, 6, 5, 4])
    stored.put(order[:4], rows[:4])
    stored.put(order[4:], rows[4:])
    np.testing.assert_allclose(stored.take(order), rows, atol=TOLERANCES[storage])
    assert stored.take(slice(0, 7)).dtype == np.float32
