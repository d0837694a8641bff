from collections.abc import Sequence

import numpy as np
import pytest

from labse.encoder.protocol import encode_sentences
from labse.errors import LabseError


class FixedEncoder:
    def __init__(self, rows: object) -> None:
        self.rows = rows

    def encode(self, sentences: Sequence[str], /) -> object:
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((1, 4), np.float32), "1 rows for 2 sentences"),
        (np.ones(2, np.float32), r"float32 of shape \(2,\)"),
        (np.ones((2, 4), np.int64), "int64 of shape"),
        ([[1.0], [1.0, 2.0]], "rows of different widths"),
        (np.array([[1, 1], [np.nan, 1]], np.float32), "NaN or infinity for 'dog'"),
        (np.array([[1, 1], [1, -np.inf]], np.float32), "NaN or infinity for 'dog'"),
        (np.array([[0, 0], [1, 1]], np.float32), "only zeros for 'cat'"),
    ],
)
def test_what_is_not_one_vector_a_sentence_is_refused(rows: object, message: str) -> None:
    with pytest.raises(LabseError, match=message):
        encode_sentences(FixedEncoder(rows), ["cat", "dog"])  # type: ignore[arg-type]


def test_errors_of_the_encoder_itself_pass_through() -> None:
    with pytest.raises(ValueError, match="its own"):
        encode_sentences(FixedEncoder(ValueError("its own")), ["cat"])  # type: ignore[arg-type]


def test_rows_become_float32() -> None:
    rows = encode_sentences(FixedEncoder(np.ones((1, 3), np.float16)), ["cat"])  # type: ignore[arg-type]
    assert rows.dtype == np.float32
