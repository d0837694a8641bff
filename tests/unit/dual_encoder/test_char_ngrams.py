"""What pieces share while they train, and that nothing of it is left afterwards."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training_data import small_model
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from torch import Tensor

from labse.dual_encoder.char_ngrams import (
    NgramRows,
    PieceNgrams,
    add_char_ngrams,
    find_char_ngrams,
    fold_char_ngrams,
)
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.gradients import pad
from labse.dual_encoder.run import run_training
from labse.errors import InterruptedRunError, LabseError
from labse.model_folder.folder import read_model_folder
from labse.network.dual_encoder import DualEncoder, embed_bags
from labse.vocab.tokenizer import SPECIAL_TOKENS, build_tokenizer

PIECES = ["Hund", "hunde", "##hund", "##und", "ab", "水"]
FIRST = len(SPECIAL_TOKENS)
SENTENCES = [[2, 5, 6, 7, 3], [2, 10, 3], [2, 9, 8, 8, 5, 3]]
INPUT_IDS = np.concatenate(SENTENCES).astype(np.int32)
LENGTHS = np.array([len(sentence) for sentence in SENTENCES])


def tokenizer_of(pieces: list[str]) -> Tokenizer:
    return build_tokenizer([*SPECIAL_TOKENS, *pieces])


def ngrams_by_piece(found: PieceNgrams) -> list[set[str]]:
    parts = np.split(found.ids, found.offsets[1:-1])
    return [{found.ngrams[number] for number in part} for part in parts]


def build(*, layers: int = 0) -> DualEncoder:
    sizes = {"vocab_size": FIRST + len(PIECES), "initializer_range": 0.02}
    return small_model(layers, bert=sizes).eval()


def with_trained_ngrams(model: DualEncoder) -> DualEncoder:
    add_char_ngrams(model, find_char_ngrams(tokenizer_of(PIECES), [3]))
    ngrams = model.bert.embeddings.added_rows
    assert isinstance(ngrams, NgramRows)
    ngrams.double()
    ngrams.table.weight.data.normal_(generator=torch.Generator().manual_seed(3))
    return model


def vectors_of(model: DualEncoder) -> Tensor:
    return model(*pad(INPUT_IDS, LENGTHS)).detach()


# ---- Which n-grams ----


def test_ngrams_are_those_of_two_pieces_without_case_and_with_a_sign_at_a_word_start() -> None:
    found = ngrams_by_piece(find_char_ngrams(tokenizer_of(PIECES), [3]))
    assert found[:FIRST] == [set()] * FIRST
    assert found[FIRST:] == [
        {"<hu", "hun", "und"},  # Hund
        {"<hu", "hun", "und"},  # hunde; "nde" is its own alone.
        {"hun", "und"},  # ##hund
        {"und"},
        set(),  # "<ab" is its own alone.
        set(),
    ]


def test_a_repeated_ngram_counts_once_a_piece() -> None:
    found = ngrams_by_piece(find_char_ngrams(tokenizer_of(["anana", "ana", "##ana"]), [2, 3]))
    assert found[FIRST] == {"<a", "an", "na", "<an", "ana"}
    assert found[FIRST + 1] == {"<a", "an", "na", "<an", "ana"}
    assert found[FIRST + 2] == {"an", "na", "ana"}


def test_a_special_token_has_none_even_where_a_piece_is_spelt_alike() -> None:
    found = ngrams_by_piece(find_char_ngrams(tokenizer_of(["##[CLS", "##cls]"]), [3]))
    assert found[FIRST:] == [{"cls"}, {"cls"}]
    assert found[:FIRST] == [set()] * FIRST


def test_tokens_that_were_added_to_a_vocabulary_have_none() -> None:
    tokenizer = tokenizer_of(["end", "tend"])
    tokenizer.add_special_tokens(["</end>"])
    found = ngrams_by_piece(find_char_ngrams(tokenizer, [3]))
    assert found[FIRST:] == [{"end"}, {"end"}, set()]


def test_a_vocabulary_with_a_gap_is_refused() -> None:
    tokenizer = Tokenizer(WordPiece(vocab={"[UNK]": 0, "end": 1, "tend": 3}, unk_token="[UNK]"))
    with pytest.raises(LabseError, match="3 pieces and ids up to 3"):
        find_char_ngrams(tokenizer, [3])


@given(
    st.lists(st.text("aAbßé水", min_size=1, max_size=6), min_size=1, max_size=12, unique=True),
    st.sets(st.integers(1, 4), min_size=1),
)
def test_each_ngram_is_of_two_pieces_and_in_the_spelling_of_both(
    words: list[str], lengths: set[int]
) -> None:
    found = find_char_ngrams(tokenizer_of(words), lengths)
    by_piece = ngrams_by_piece(found)
    assert len(set(found.ngrams)) == len(found.ngrams)
    for number, ngram in enumerate(found.ngrams):
        assert (found.ids == number).sum() >= 2
        assert len(ngram) in lengths
    for word, ngrams in zip(words, by_piece[FIRST:], strict=True):
        assert all(ngram in f"<{word.casefold()}" for ngram in ngrams)


# ---- The rows ----


def test_rows_are_means_over_the_ngrams_in_value_and_gradient() -> None:
    piece_ngrams = find_char_ngrams(tokenizer_of(PIECES), [2, 3])
    rows = NgramRows(piece_ngrams, 4, sparse=True).double()
    rows.table.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[5, 6, 7], [10, 5, 2]])
    weights = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (rows(ids) * weights).sum().backward()
    assert rows.table.weight.grad is not None
    gradient = rows.table.weight.grad.to_dense()

    plain = rows.table.weight.detach().clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for place, piece in enumerate(ids.flatten().tolist()):
        first, end = piece_ngrams.offsets[piece : piece + 2]
        expected = torch.zeros(4, dtype=torch.float64)
        for number in piece_ngrams.ids[first:end]:
            expected = expected + plain[number] / (end - first)
        assert torch.allclose(rows(ids).view(6, 4)[place], expected)
        total = total + (expected * weights.view(6, 4)[place]).sum()
    total.backward()
    assert torch.allclose(gradient, plain.grad)  # type: ignore[arg-type]


def test_a_vocabulary_that_shares_nothing_adds_nothing() -> None:
    model = build()
    before = vectors_of(model)
    add_char_ngrams(model, find_char_ngrams(tokenizer_of(["ab", "cd", "ef", "g", "h", "i"]), [3]))
    assert torch.equal(vectors_of(model), before)
    model(*pad(INPUT_IDS, LENGTHS)).sum().backward()
    fold_char_ngrams(model)
    assert torch.equal(vectors_of(model), before)


def test_ngrams_change_nothing_before_they_learn() -> None:
    model = build()
    before = vectors_of(model)
    add_char_ngrams(model, find_char_ngrams(tokenizer_of(PIECES), [3]))
    assert torch.equal(vectors_of(model), before)


@pytest.mark.parametrize("layers", [0, 1])
def test_folded_rows_give_the_same_vectors_and_the_names_of_a_plain_model(layers: int) -> None:
    model = with_trained_ngrams(build(layers=layers))
    plain = build(layers=layers)
    before = vectors_of(model)
    assert not torch.allclose(before, vectors_of(plain))
    if not layers:
        assert torch.allclose(embed_bags(model, INPUT_IDS, LENGTHS), before, atol=1e-12)

    fold_char_ngrams(model)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert torch.allclose(vectors_of(model), before, atol=1e-12)
    fold_char_ngrams(model)
    assert torch.allclose(vectors_of(model), before, atol=1e-12)


def test_a_piece_that_was_never_seen_moves_with_those_spelt_alike() -> None:
    model = build()
    add_char_ngrams(model, find_char_ngrams(tokenizer_of(PIECES), [3]))
    model.bert.embeddings.added_rows.double()  # type: ignore[union-attr]
    ids = torch.tensor([6, 10])  # hunde, 水
    before = model.bert.embeddings.word_rows(ids).detach()
    model.bert.embeddings.word_rows(torch.tensor([5])).sum().backward()  # Hund
    with torch.no_grad():
        for parameter in model.bert.embeddings.parameters():
            if parameter.grad is not None:
                parameter -= parameter.grad.to_dense()
    moved = (model.bert.embeddings.word_rows(ids).detach() - before).abs().amax(1)
    assert moved[0] > 0.1
    assert moved[1] == 0


# ---- A run ----


def test_a_run_that_was_stopped_ends_in_the_same_plain_model(
    run_folder: Path, run_config: RunConfig
) -> None:
    options = {"sparse_embeddings": True, "char_ngrams": (1, 2)}
    train = run_config.train.model_copy(update=options)
    config = run_config.model_copy(update={"train": train})

    def run(name: str, evaluate: object = None) -> Path:
        summary = run_training(
            config,
            run_folder / name,
            vocab_folder=run_folder / "vocab",
            data_folder=run_folder,
            evaluate=evaluate,  # type: ignore[arg-type]
        )
        return summary.model_folder

    def stop(model: DualEncoder) -> dict[str, float]:
        assert model.bert.embeddings.added_rows is not None
        signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.raises(InterruptedRunError):
        run("stopped", stop)
    folders = [read_model_folder(run(name)) for name in ("stopped", "straight", "straight")]
    for folder in folders[1:]:
        assert folder.weights.keys() == folders[0].weights.keys()
        for name, weight in folder.weights.items():
            np.testing.assert_array_equal(weight, folders[0].weights[name], err_msg=name)

    plain = run_config.model_copy(
        update={"train": run_config.train.model_copy(update={"sparse_embeddings": True})}
    )
    without = run_training(
        plain, run_folder / "plain", vocab_folder=run_folder / "vocab", data_folder=run_folder
    )
    other = read_model_folder(without.model_folder)
    assert other.weights.keys() == folders[0].weights.keys()
    table = "embeddings.word_embeddings.weight"
    assert not np.array_equal(other.weights[table], folders[0].weights[table])
