"""Exported folders in sentence-transformers: float16 is read, narrow rows are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.model_data import random_folder

from labse.encoder.check.sample import sample_sentences
from labse.encoder.export.model import export_model
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.model_folder.folder import write_model_folder
from labse.model_folder.int8 import Storage
from labse.vocab.tokenizer import SPECIAL_TOKENS, save_vocabulary

sentence_transformers = pytest.importorskip("sentence_transformers")
SENTENCES = sample_sentences(20)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    characters = sorted({char for text in SENTENCES for char in text if not char.isspace()})
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{char}" for char in characters)]
    save_vocabulary(tmp_path / "vocab", pieces)

    def write(*, uncased: bool = False, **settings: object) -> Path:
        if uncased:
            small = dict.fromkeys(piece.lower() for piece in pieces[len(SPECIAL_TOKENS) :])
            save_vocabulary(tmp_path / "vocab", [*SPECIAL_TOKENS, *small], uncased=True)
        bert = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        bert |= {"intermediate_size": 64, "max_position_embeddings": 60}
        options = {"max_seq_length": 40} | settings
        model = random_folder(tmp_path / "vocab", bert, seed=1, scale=0.2, **options)
        write_model_folder(tmp_path / "source", model, vocab_folder=tmp_path / "vocab", manifest={})
        return tmp_path / "source"

    return write


@pytest.mark.parametrize("settings", [{}, {"pooling": "mean", "projection": "none"}])
def test_a_float16_export_is_read_by_both_alike(
    write: Write, tmp_path: Path, settings: dict[str, object]
) -> None:
    export_model(write(**settings), tmp_path / "half", storage="float16")

    oracle = sentence_transformers.SentenceTransformer(str(tmp_path / "half"), device="cpu")
    expected = oracle.encode(SENTENCES, show_progress_bar=False)
    found = SentenceEncoder.from_pretrained(tmp_path / "half").encode(SENTENCES)

    assert np.sum(found * expected, axis=1).min() > 0.9999


def test_an_uncased_model_folds_capitals_in_both_alike(write: Write, tmp_path: Path) -> None:
    export_model(write(uncased=True), tmp_path / "half", storage="float16")

    oracle = sentence_transformers.SentenceTransformer(str(tmp_path / "half"), device="cpu")
    capitals = [sentence.upper() for sentence in SENTENCES]
    expected = oracle.encode(capitals, show_progress_bar=False)
    encoder = SentenceEncoder.from_pretrained(tmp_path / "half")

    assert np.sum(encoder.encode(capitals) * expected, axis=1).min() > 0.9999
    np.testing.assert_array_equal(encoder.encode(capitals), encoder.encode(SENTENCES))


@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_narrow_rows_are_refused_there_and_not_read_without_their_scales(
    write: Write, tmp_path: Path, storage: Storage
) -> None:
    export_model(write(), tmp_path / "narrow", storage=storage)

    with pytest.raises(OSError, match=r"model\.safetensors"):
        sentence_transformers.SentenceTransformer(str(tmp_path / "narrow"), device="cpu")
