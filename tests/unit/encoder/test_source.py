from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.source import describe_encoder, load_any_encoder, load_encoder
from labse.encoder.tokenization import TextOptions
from labse.model_folder.hub import DEFAULT_NAME


class Stranger:
    """An encoder of another library."""

    def encode(self, sentences: Sequence[str], /) -> np.ndarray:
        return np.ones((len(sentences), 2), np.float32)


def test_an_encoder_its_name_its_folder_and_what_loads_it_are_one(model_folder: Path) -> None:
    encoder = SentenceEncoder(model_folder)
    assert load_encoder(encoder) is encoder
    assert load_encoder(lambda: encoder) is encoder
    for source in (model_folder, str(model_folder)):
        assert load_encoder(source).hash_model() == encoder.hash_model()
    assert load_encoder(None).hash_model() == load_encoder(DEFAULT_NAME).hash_model()


def test_an_encoder_of_another_class_is_taken_where_vectors_are_enough() -> None:
    stranger = Stranger()
    assert load_any_encoder(stranger) is stranger
    assert isinstance(load_any_encoder(Stranger), Stranger)
    with pytest.raises(TypeError, match=r"expected a labse\.SentenceEncoder.*not Stranger"):
        load_encoder(stranger)  # type: ignore[arg-type]


def test_what_is_no_encoder_is_told() -> None:
    with pytest.raises(TypeError, match="expected what has a method encode, not 3"):
        load_any_encoder(3)  # type: ignore[type-var]


def test_whatever_changes_vectors_changes_the_description(model_folder: Path) -> None:
    plain = describe_encoder(SentenceEncoder(model_folder))
    assert plain == describe_encoder(SentenceEncoder(model_folder))
    assert plain != describe_encoder(SentenceEncoder(model_folder, text=TextOptions(nfc=True)))
    assert plain != describe_encoder(SentenceEncoder(model_folder, precision="int8"))
