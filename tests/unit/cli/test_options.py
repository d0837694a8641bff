from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from labse.cli.options import Precision, Runtime, VisibleEncoder, load_encoder
from labse.encoder import sentence_encoder
from labse.errors import LabseError


def test_the_choices_are_those_of_the_library() -> None:
    assert get_args(Precision) == get_args(sentence_encoder.Precision)
    assert get_args(Runtime) == get_args(sentence_encoder.RuntimeName)


def test_a_model_folder_becomes_an_encoder(model: Path) -> None:
    encoder = load_encoder(model, "float32", "auto", None)
    sentences = ["free and equal", "equal in rights"]
    np.testing.assert_array_equal(
        VisibleEncoder(encoder).encode(sentences), encoder.encode(sentences)
    )


def test_a_folder_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="not a model folder"):
        load_encoder(tmp_path, "float32", "auto", None)
