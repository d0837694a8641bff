import numpy as np
import pytest

from labse.evaluation.embedded import embed_distinct
from labse.evaluation.protocol import Encoder


def test_each_distinct_sentence_is_encoded_once(encoder: Encoder) -> None:
    embedded = embed_distinct(encoder, [["en:1", "en:2"], ["de:1", "en:1"]])
    assert encoder.calls == [["en:1", "en:2", "de:1"]]  # type: ignore[attr-defined]
    selected = embedded.select(["de:1", "en:2", "de:1"])
    assert selected.argmax(axis=1).tolist() == [1, 2, 1]
    assert np.array_equal(embedded.encode(["en:2"]), selected[1:2])
    with pytest.raises(KeyError):
        embedded.select(["en:3"])
