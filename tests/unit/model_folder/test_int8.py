import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labse.errors import LabseError
from labse.model_folder.int8 import (
    SCALE_SUFFIX,
    QuantizedRows,
    StoredWeights,
    narrow_weights,
    quantize_rows,
    to_tensors,
)

WORDS = "embeddings.word_embeddings.weight"
LINEAR = "encoder.layer.0.output.dense.weight"
KEPT = (
    "encoder.layer.0.output.dense.bias",
    "embeddings.position_embeddings.weight",
    "dense.weight",
)


def build_weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = {WORDS: (30, 8), LINEAR: (8, 12), KEPT[0]: (8,), KEPT[1]: (5, 8), KEPT[2]: (8, 8)}
    return {name: generator.normal(size=shape).astype("f4") for name, shape in shapes.items()}


@given(arrays(np.float32, (6, 5), elements=st.floats(-1e6, 1e6, width=32)))
def test_a_quantised_value_is_within_half_a_step_of_its_row(table: np.ndarray) -> None:
    quantized = quantize_rows(table)

    steps = np.abs(table).max(axis=1, keepdims=True) / 127
    assert (np.abs(quantized.dequantize() - table) <= steps * 0.501 + 1e-30).all()
    np.testing.assert_array_equal(
        quantized.take(np.array([[4, 0], [2, 4]])), quantized.dequantize()[[[4, 0], [2, 4]]]
    )


@given(arrays(np.float32, (6, 5), elements=st.floats(-100, 100, width=32)))
def test_quantising_twice_changes_no_more_than_rounding_does(table: np.ndarray) -> None:
    once = quantize_rows(table).dequantize()
    np.testing.assert_allclose(quantize_rows(once).dequantize(), once, rtol=1e-6)


def test_words_and_layers_are_narrowed_and_the_rest_is_not() -> None:
    weights = build_weights()

    int8, float16 = to_tensors(weights, "int8"), to_tensors(weights, "float16")

    assert {name for name, array in int8.items() if array.dtype == np.int8} == {WORDS, LINEAR}
    assert int8[LINEAR + SCALE_SUFFIX].shape == (8,)
    assert {name for name, array in float16.items() if array.dtype == np.float16} == {WORDS, LINEAR}
    for name in KEPT:
        np.testing.assert_array_equal(int8[name], weights[name])


@pytest.mark.parametrize(
    ("storage", "tolerance"), [("float32", 0), ("float16", 2e-3), ("int8", 0.02)]
)
def test_narrowed_weights_are_near(storage: str, tolerance: float) -> None:
    weights = build_weights()
    narrowed = narrow_weights(weights, storage)  # type: ignore[arg-type]

    assert list(narrowed) == list(weights)
    assert len(narrowed) == len(weights)
    assert isinstance(narrowed.stored(WORDS), QuantizedRows) == (storage == "int8")
    for name, array in weights.items():
        assert narrowed[name].dtype == np.float32
        np.testing.assert_allclose(narrowed[name], array, atol=tolerance)


def test_a_value_beyond_float16_is_an_error() -> None:
    weights = build_weights()
    weights[LINEAR][0, 0] = 7e4
    with pytest.raises(
        LabseError, match=r"'encoder.layer.0.output.dense.weight' holds values beyond"
    ):
        to_tensors(weights, "float16")


def test_stored_weights_are_a_mapping() -> None:
    weights = StoredWeights({"x": np.zeros(3, np.float32)})
    assert dict(weights).keys() == {"x"}
    with pytest.raises(KeyError):
        weights["y"]
