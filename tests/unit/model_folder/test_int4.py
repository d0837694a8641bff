"""Rows of 4 bits: what is lost, how they lie in a file, and that they are never rounded twice."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labse.errors import LabseError
from labse.model_folder.int4 import LEVELS, PackedRows, pack_rows
from labse.model_folder.int8 import narrow_weights, stored_weight, to_tensors
from labse.model_folder.weights import read_tensors

TABLE = "embeddings.word_embeddings.weight"


def normal_rows(num_rows: int = 300, size: int = 64) -> np.ndarray:
    scales = np.random.default_rng(1).uniform(0.01, 9, (num_rows, 1))
    return np.random.default_rng(2).normal(size=(num_rows, size)).astype(np.float32) * scales


def test_values_become_the_nearest_level_times_the_size_of_their_row() -> None:
    rows = np.array([[3.0, -4, 0, 0], [0, 0, 0, 0]], np.float32)
    packed = pack_rows(rows)
    # The root mean square is 2.5: 1.2 is nearest to 1.2562, -1.6 to -1.6181, 0 to -0.1284.
    assert packed.scales.tolist() == [2.5, 0]
    expected = [[1.2562 * 2.5, -1.6181 * 2.5, -0.1284 * 2.5, -0.1284 * 2.5], [0, 0, 0, 0]]
    np.testing.assert_allclose(packed.dequantize(), expected, rtol=1e-6)
    # The numbers of these levels are 12, 2, 7 and 7, the first of each two in the low bits.
    assert packed.packed[0].tolist() == [12 + (2 << 4), 7 + (7 << 4)]


def test_normal_values_lose_what_the_table_of_max_says() -> None:
    rows = normal_rows(100, 4096)
    lost = np.square(pack_rows(rows).dequantize() - rows).sum() / np.square(rows).sum()
    assert lost == pytest.approx(0.00950, rel=0.05)  # Max 1960: a distortion of 0.009497.


def skewed_metric(size: int) -> np.ndarray:
    turned = np.random.default_rng(3).normal(size=(size, size)) * 2.0 ** -np.arange(size)[:, None]
    return (turned.T @ turned).astype(np.float32)


def test_with_a_metric_no_other_level_of_one_value_is_better() -> None:
    rows, metric = normal_rows(40, 8).astype(np.float32), skewed_metric(8).astype(np.float64)
    packed = pack_rows(rows, metric=metric.astype(np.float32))
    levels = packed.dequantize() / packed.scales[:, None]
    error = levels - rows / packed.scales[:, None]
    found = np.einsum("rc,cd,rd->r", error, metric, error)
    for column in range(rows.shape[1]):
        for level in LEVELS:
            other = error.copy()
            other[:, column] += level - levels[:, column]
            lost = np.einsum("rc,cd,rd->r", other, metric, other)
            assert (lost >= found * 0.999 - 1e-9).all()


@pytest.mark.parametrize("size", [6, 34, 64])
@pytest.mark.parametrize("draw", ["normal", "laplace", "standard_cauchy"])
def test_with_a_metric_no_row_loses_more_than_at_its_nearest_levels(draw: str, size: int) -> None:
    rows = getattr(np.random.default_rng(1), draw)(size=(200, size)).astype(np.float32)
    for metric in (np.eye(size, dtype=np.float32), skewed_metric(size)):
        errors = [p.dequantize() - rows for p in (pack_rows(rows, metric=metric), pack_rows(rows))]
        ours, nearest = (np.einsum("rc,cd,rd->r", e, metric, e) for e in errors)
        assert (ours <= nearest * 1.001 + 1e-6).all()


def test_rows_that_lie_on_levels_lose_next_to_nothing() -> None:
    # The size of a row that was rounded is a little off, which a norm takes away.
    metric = skewed_metric(64)
    rows = pack_rows(normal_rows().astype(np.float32)).dequantize()
    error = pack_rows(rows, metric=metric).dequantize() - rows
    lost, whole = (np.einsum("rc,cd,rd->r", x, metric, x).sum() for x in (error, rows))
    assert lost < 0.001 * whole


def test_rows_of_zeros_stay_so_with_a_metric() -> None:
    packed = pack_rows(np.zeros((2, 4), np.float32), metric=skewed_metric(4))
    assert not packed.dequantize().any()


@pytest.mark.parametrize("factor", [0.0, 1e-22, 1e19, np.inf, np.nan])
def test_a_dense_layer_of_any_size_does_no_harm(factor: float) -> None:
    rows = normal_rows().astype(np.float32)
    dense = np.diag(np.full(64, factor, np.float32))
    more = {"dense.weight": dense, "embeddings.LayerNorm.weight": np.ones(64, np.float32)}
    found = narrow_weights({TABLE: rows} | more, "int4")[TABLE]
    lost = np.square(found - rows).sum() / np.square(rows).sum()
    assert lost < 0.02


def test_a_bag_loses_least_of_its_vectors() -> None:
    size = 64
    rows, dense = normal_rows(300, size), skewed_metric(size)
    more = {"dense.weight": dense, "embeddings.LayerNorm.weight": np.ones(size, np.float32)}

    def piece_vectors(table: np.ndarray) -> np.ndarray:
        centred = table - table.mean(1, keepdims=True)
        vectors = centred @ dense.T
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    kept = piece_vectors(rows)
    alone, in_bag, below_layers = (
        np.square(piece_vectors(narrow_weights(weights, "int4")[TABLE]) - kept).sum()
        for weights in (
            {TABLE: rows},
            {TABLE: rows} | more,
            {TABLE: rows, "encoder.layer.0.output.dense.bias": rows[0]} | more,
        )
    )
    assert in_bag < alone / 10
    assert below_layers == alone


def test_some_rows_are_those_of_the_whole_matrix() -> None:
    packed = pack_rows(normal_rows())
    whole = packed.dequantize()
    numbers = np.array([[7, 0], [299, 7]])
    np.testing.assert_array_equal(packed.take(numbers), whole[numbers])
    np.testing.assert_array_equal(packed.select(numbers[0]).dequantize(), whole[numbers[0]])


def test_a_file_gives_the_rows_that_were_written_and_rounds_nothing_twice(tmp_path: Path) -> None:
    rows = normal_rows().astype(np.float32)
    save_file(to_tensors({TABLE: rows}, "int4"), tmp_path / "model.int4.safetensors")
    read = read_tensors(tmp_path / "model.int4.safetensors")
    stored = stored_weight(read, TABLE)
    assert isinstance(stored, PackedRows)
    np.testing.assert_array_equal(read[TABLE], pack_rows(rows).dequantize())
    again = narrow_weights(read, "int4")
    np.testing.assert_array_equal(again[TABLE], read[TABLE])


@pytest.mark.parametrize("left_out", [".scale", ".levels"])
def test_a_file_without_scales_or_levels_is_refused(tmp_path: Path, left_out: str) -> None:
    path = tmp_path / "model.int4.safetensors"
    save_file(to_tensors({TABLE: normal_rows()}, "int4"), path)
    tensors = load_file(path)
    del tensors[TABLE + left_out]
    save_file(tensors, path)
    with pytest.raises(LabseError, match=f"{TABLE}.*of type U8"):
        read_tensors(path)


def test_rows_of_an_odd_width_are_refused() -> None:
    with pytest.raises(LabseError, match="rows of 3 values: int4 needs an even number"):
        pack_rows(np.ones((2, 3), np.float32))


def test_levels_rise_and_are_those_of_their_negatives() -> None:
    assert (np.diff(LEVELS) > 0).all()
    np.testing.assert_array_equal(LEVELS, -LEVELS[::-1])
