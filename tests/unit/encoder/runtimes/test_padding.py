import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labse.encoder.runtimes.padding import pad_sentences


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=6))
def test_rows_are_the_sentences_and_the_rest_is_filling(sentences: list[list[int]]) -> None:
    padded = pad_sentences([np.array(ids, np.int32) for ids in sentences], pad_token_id=0)

    assert padded.input_ids.shape[1] == max(map(len, sentences))
    for row, is_real, ids in zip(padded.input_ids, padded.is_real, sentences, strict=True):
        assert row[is_real].tolist() == ids
        assert is_real.tolist() == [place < len(ids) for place in range(len(row))]
        assert not row[~is_real].any()
