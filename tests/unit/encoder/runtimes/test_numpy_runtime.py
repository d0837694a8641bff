from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from labse.encoder.runtimes import numpy_runtime
from labse.encoder.runtimes.kept_rows import KeptRows
from labse.encoder.runtimes.numpy_runtime import NumpyRuntime
from labse.errors import UsageError
from labse.model_folder.folder import ModelFolder
from labse.model_folder.int4 import PackedRows
from labse.model_folder.int8 import QuantizedRows, narrow_weights

BuildModel = Callable[..., ModelFolder]
INPUT_IDS = [[2, 7, 3], [2, 3], [2, 9, 8, 7, 3], [2, 8, 3]]
SETTINGS = [
    {"pooling": "mean", "projection": "none"},
    {"pooling": "mean", "projection": "linear", "embedding_size": 12},
    {"pooling": "mean", "projection": "tanh"},
    {"pooling": "cls", "projection": "tanh"},
]


def embed_plainly(model: ModelFolder, ids: list[int]) -> np.ndarray:
    """The definition, one token at a time, in float64."""
    w = {name: array.astype(np.float64) for name, array in model.weights.items()}
    states = []
    for place, token in enumerate(ids):
        x = w["embeddings.word_embeddings.weight"][token]
        x = x + w["embeddings.position_embeddings.weight"][place]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = (x - x.mean()) / np.sqrt(x.var() + model.config.bert.layer_norm_eps)
        states.append(x * w["embeddings.LayerNorm.weight"] + w["embeddings.LayerNorm.bias"])
    vector = states[0] if model.config.pooling == "cls" else np.mean(states, axis=0)
    if model.config.projection != "none":
        vector = w["dense.weight"] @ vector + w["dense.bias"]
    if model.config.projection == "tanh":
        vector = np.tanh(vector)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("settings", SETTINGS)
def test_vectors_are_those_of_the_definition(
    build_model: BuildModel, settings: dict[str, object]
) -> None:
    model = build_model(0, **settings)

    embeddings = NumpyRuntime(model).embed(INPUT_IDS)

    assert embeddings.dtype == np.float32
    expected = [embed_plainly(model, ids) for ids in INPUT_IDS]
    np.testing.assert_allclose(embeddings, expected, atol=2e-6)  # float32 sums of 32 values.


def without_places(model: ModelFolder) -> ModelFolder:
    """Such a model is a bag: a piece has one normalised row, wherever it stands."""
    model.weights["embeddings.position_embeddings.weight"][:] = 0
    return model


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_bag_gives_the_vectors_of_the_definition_first_and_from_what_it_kept(
    build_model: BuildModel, settings: dict[str, object]
) -> None:
    model = without_places(build_model(0, **settings))
    runtime = NumpyRuntime(model)

    first, second = runtime.embed(INPUT_IDS), runtime.embed(INPUT_IDS)

    expected = [embed_plainly(model, ids) for ids in INPUT_IDS]
    np.testing.assert_allclose(first, expected, atol=2e-6)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("num_kept", [0, 1, 3, 40])
def test_which_rows_are_kept_changes_no_bit(num_kept: int) -> None:
    generator = np.random.default_rng(0)
    table, addend = generator.normal(size=(50, 16)), generator.normal(size=16)
    ids = generator.integers(0, 50, (30, 7))

    def pool(kept_bytes: int) -> list[np.ndarray]:
        rows = KeptRows(
            table.astype(np.float32),
            addend=addend.astype(np.float32),
            layer_norm_eps=1e-12,
            kept_bytes=kept_bytes,
        )
        return [rows.pool(ids[start : start + 5]) for start in range(0, 30, 5)]

    np.testing.assert_array_equal(pool(num_kept * 16 * 4), pool(1 << 20))


def test_int8_rows_are_near_and_a_quarter_of_the_size(build_model: BuildModel) -> None:
    model = build_model(0, pooling="mean")
    exact, quantized = NumpyRuntime(model), NumpyRuntime(model, precision="int8")

    cosines = (exact.embed(INPUT_IDS) * quantized.embed(INPUT_IDS)).sum(axis=1)

    assert cosines.min() > 0.999
    assert isinstance(quantized._word, QuantizedRows)


def test_a_row_of_zeros_survives_int8(build_model: BuildModel) -> None:
    model = build_model(0, pooling="mean")
    model.weights["embeddings.word_embeddings.weight"][7] = 0

    assert np.isfinite(NumpyRuntime(model, precision="int8").embed([[2, 7, 3]])).all()


def test_chunks_do_not_change_the_vectors(
    build_model: BuildModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = NumpyRuntime(build_model(0, pooling="mean"))
    whole = runtime.embed(INPUT_IDS * 5)

    monkeypatch.setattr(numpy_runtime, "_CHUNK_TOKENS", 6)

    np.testing.assert_allclose(runtime.embed(INPUT_IDS * 5), whole, atol=1e-6)


def test_no_sentences_give_no_rows(build_model: BuildModel) -> None:
    assert NumpyRuntime(build_model(0)).embed([]).shape == (0, 32)


def test_the_weights_are_not_changed(build_model: BuildModel) -> None:
    model, untouched = build_model(0, pooling="mean"), build_model(0, pooling="mean")

    NumpyRuntime(model, precision="int8").embed(INPUT_IDS)

    for name, array in untouched.weights.items():
        np.testing.assert_array_equal(model.weights[name], array)


def test_a_model_with_layers_is_refused(build_model: BuildModel) -> None:
    with pytest.raises(UsageError, match="this one has 2; use ctranslate2 or torch"):
        NumpyRuntime(build_model(2))


def test_rows_of_4_bits_give_what_their_plain_table_gives(build_model: BuildModel) -> None:
    model = build_model(0, pooling="mean")
    packed = replace(model, weights=narrow_weights(model.weights, "int4"))
    plain = replace(model, weights=dict(packed.weights))

    runtime = NumpyRuntime(packed)

    assert isinstance(runtime._word, PackedRows)
    np.testing.assert_array_equal(runtime.embed(INPUT_IDS), NumpyRuntime(plain).embed(INPUT_IDS))
