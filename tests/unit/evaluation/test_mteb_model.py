import importlib.util

import numpy as np
import pytest

from labse.encoder.protocol import Encoder
from labse.errors import LabseError, ResourceError
from labse.evaluation.mteb_model import MtebModel


def test_the_batches_of_mteb_become_one_call(encoder: Encoder) -> None:
    model = MtebModel(encoder, name="labse/toy")
    embeddings = model.encode(
        [{"text": ["a:0", "a:1"]}, {"text": ["a:2"]}], hf_split="test", batch_size=2
    )
    assert encoder.calls == [["a:0", "a:1", "a:2"]]  # type: ignore[attr-defined]
    assert embeddings.argmax(axis=1).tolist() == [0, 1, 2]


def test_similarities_are_cosines(encoder: Encoder) -> None:
    model = MtebModel(encoder, name="labse/toy")
    left = np.array([[3.0, 0.0], [0.0, 2.0]], np.float32)
    right = np.array([[1.0, 1.0], [5.0, 0.0]], np.float32)
    root = 0.5**0.5
    assert model.similarity(left, right) == pytest.approx(np.array([[root, 1], [root, 0]]))
    assert model.similarity_pairwise(left, right) == pytest.approx(np.array([root, 0]))


def test_a_broken_encoder_is_told() -> None:
    class Zeros:
        def encode(self, sentences: object, /) -> np.ndarray:
            return np.zeros((1, 2), np.float32)

    with pytest.raises(LabseError, match="only zeros for 'a'"):
        MtebModel(Zeros(), name="labse/toy").encode([{"text": ["a"]}])


def test_a_name_has_an_organisation(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="organisation/model"):
        MtebModel(encoder, name="toy")


@pytest.mark.skipif(importlib.util.find_spec("mteb") is not None, reason="mteb is installed")
def test_without_mteb_the_extra_is_named(encoder: Encoder) -> None:
    with pytest.raises(ResourceError, match=r"labse\[mteb\]"):
        _ = MtebModel(encoder, name="labse/toy").mteb_model_meta
