import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save_file

from labse.errors import LabseError
from labse.model_folder.weights import (
    check_finite,
    check_weights,
    expected_shapes,
    read_bert_weights,
    read_tensors,
)
from labse.network.config import BertConfig, DualEncoderConfig

CONFIG = DualEncoderConfig(
    bert=BertConfig(vocab_size=9, hidden_size=4, num_attention_heads=2, num_hidden_layers=1)
)
VALUES = np.array([[1.0, -2.5], [0.0, 3.0]], np.float32)  # Exact in each of the three types.


def save_bfloat16(path: Path, values: np.ndarray) -> None:
    """Writes the format by hand: NumPy has no bfloat16, the upper half of a float32."""
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    entry = {"dtype": "BF16", "shape": values.shape, "data_offsets": [0, len(raw)]}
    header = json.dumps({"x": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_floats_are_cast_to_float32(tmp_path: Path, dtype: type) -> None:
    save_file({"x": VALUES.astype(dtype)}, tmp_path / "w.safetensors")

    tensor = read_tensors(tmp_path / "w.safetensors")["x"]

    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor, VALUES)


def test_bfloat16_is_cast_to_float32(tmp_path: Path) -> None:
    save_bfloat16(tmp_path / "w.safetensors", VALUES)

    np.testing.assert_array_equal(read_tensors(tmp_path / "w.safetensors")["x"], VALUES)


def test_a_tensor_that_starts_at_an_odd_byte_is_aligned(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    header += b" " * (1 + -len(header) % 4)
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + VALUES.tobytes())

    tensor = read_tensors(path)["x"]

    assert tensor.flags.aligned
    np.testing.assert_array_equal(tensor, VALUES)


def test_what_is_read_may_be_changed_and_the_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"x": VALUES, "empty": np.empty((0, 3), np.float32)}, path)
    before = path.read_bytes()

    weights = read_tensors(path)
    weights["x"][:] = 7

    assert path.read_bytes() == before
    assert weights["empty"].shape == (0, 3)


@given(arrays(np.float32, (3, 4), elements=st.floats(width=32)))
def test_values_are_finite_if_each_is(table: np.ndarray) -> None:
    if np.isfinite(table).all():
        check_finite({"x": table}, where="here")
    else:
        with pytest.raises(LabseError, match="here: the weight 'x' holds NaN or infinite"):
            check_finite({"x": table}, where="here")


def test_other_types_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(LabseError, match="No such file"):
        read_tensors(path)

    save_file({"x": VALUES.astype(np.int32)}, path)
    with pytest.raises(LabseError, match="'x' is of type I32"):
        read_tensors(path)

    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LabseError, match="not a whole safetensors file"):
        read_tensors(path)


def test_int8_rows_come_with_a_scale_for_each(tmp_path: Path) -> None:
    rows, scales = np.array([[2, -127], [0, 1]], np.int8), np.array([0.5, 2], np.float32)
    save_file({"x": rows, "x.scale": scales}, tmp_path / "w.safetensors")

    weights = read_tensors(tmp_path / "w.safetensors")

    assert set(weights) == {"x"}
    np.testing.assert_array_equal(weights["x"], [[1, -63.5], [0, 2]])
    for bad in ({}, {"x.scale": scales[:1]}, {"x.scale": scales.astype(np.float16)}):
        save_file({"x": rows, **bad}, tmp_path / "w.safetensors")
        with pytest.raises(LabseError, match="'x' is of type I8 and has no float32 scale"):
            read_tensors(tmp_path / "w.safetensors")


def test_a_pooler_is_kept_as_the_dense_layer_if_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"pooler.dense.weight": VALUES, "embeddings.LayerNorm.bias": VALUES}, path)

    assert set(read_bert_weights(path)) == {"embeddings.LayerNorm.bias"}
    assert set(read_bert_weights(path, with_pooler=True)) == {
        "dense.weight",
        "embeddings.LayerNorm.bias",
    }


def test_old_names_prefix_heads_pooler_and_positions_are_tidied(tmp_path: Path) -> None:
    save_file(
        {
            "bert.embeddings.LayerNorm.gamma": VALUES,
            "bert.embeddings.LayerNorm.beta": VALUES,
            "bert.embeddings.position_ids": np.arange(3),
            "bert.pooler.dense.weight": VALUES,
            "cls.predictions.bias": VALUES,
        },
        tmp_path / "w.safetensors",
    )

    weights = read_bert_weights(tmp_path / "w.safetensors")

    assert set(weights) == {"embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"}


@given(st.sampled_from(["missing", "shape", "nan", "unknown"]), st.randoms(use_true_random=False))
def test_each_fault_names_its_weight(fault: str, random: object) -> None:
    shapes = expected_shapes(CONFIG)
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    check_weights(CONFIG, weights, where="here")
    name = random.choice(list(shapes))  # type: ignore[attr-defined]

    if fault == "missing":
        del weights[name]
    elif fault == "shape":
        weights[name] = np.zeros((*shapes[name], 1), np.float32)
    elif fault == "nan":
        weights[name].flat[-1] = np.nan
    else:
        name = "encoder.layer.1.output.dense.weight"
        weights[name] = np.zeros(1, np.float32)

    with pytest.raises(LabseError, match=f"here: .*{name}"):
        check_weights(CONFIG, weights, where="here")
