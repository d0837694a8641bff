from collections.abc import Callable

import numpy as np
import pytest
import torch

from labse.encoder.runtimes.numpy_runtime import NumpyRuntime
from labse.encoder.runtimes.torch_runtime import TorchRuntime
from labse.model_folder.folder import ModelFolder
from labse.network.dual_encoder import DualEncoder

BuildModel = Callable[..., ModelFolder]
INPUT_IDS = [[2, 7, 3], [2, 3], [2, 9, 8, 7, 3]]


def test_ragged_rows_are_unit_and_do_not_depend_on_their_batch(build_model: BuildModel) -> None:
    runtime = TorchRuntime.from_folder(build_model(pooling="mean"))

    together = runtime.embed(INPUT_IDS)
    alone = np.concatenate([runtime.embed([np.array(ids, np.int32)]) for ids in INPUT_IDS])

    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_no_sentences_give_no_rows(build_model: BuildModel) -> None:
    runtime = TorchRuntime.from_folder(build_model(embedding_size=12))

    assert runtime.embed([]).shape == (0, 12)


def test_a_model_in_training_is_evaluated_and_put_back_module_by_module(
    build_model: BuildModel,
) -> None:
    model = DualEncoder(build_model().config).train()
    model.bert.embeddings.eval()  # As someone who freezes a part would.
    modes = [module.training for module in model.modules()]
    runtime = TorchRuntime(model)

    first, second = runtime.embed(INPUT_IDS), runtime.embed(INPUT_IDS)

    np.testing.assert_array_equal(first, second)  # Dropout would make them differ.
    assert [module.training for module in model.modules()] == modes


def test_the_weights_of_the_moment_are_used(build_model: BuildModel) -> None:
    model = DualEncoder(build_model().config)
    runtime = TorchRuntime(model)
    before = runtime.embed(INPUT_IDS)

    with torch.no_grad():
        model.dense.weight.mul_(-1)

    assert np.abs(before - runtime.embed(INPUT_IDS)).max() > 0.01


def test_bfloat16_gives_float32_rows_that_are_near(build_model: BuildModel) -> None:
    model = build_model(pooling="mean")
    exact = TorchRuntime.from_folder(model).embed(INPUT_IDS)

    near = TorchRuntime.from_folder(model, precision="bfloat16").embed(INPUT_IDS)

    assert near.dtype == np.float32
    assert not np.array_equal(near, exact)
    assert (near * exact).sum(axis=1).min() > 0.999  # bfloat16 keeps 8 bits.
    np.testing.assert_allclose(np.linalg.norm(near, axis=1), 1, atol=1e-5)


def test_a_batch_on_a_cpu_is_smaller_the_wider_the_model(build_model: BuildModel) -> None:
    model = build_model()  # Inner width 48.
    runtime = TorchRuntime(DualEncoder(model.config))

    assert runtime.batch_tokens == 3 * 2**20 // model.config.bert.intermediate_size == 65_536


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_model_without_layers_gives_the_vectors_of_numpy(
    build_model: BuildModel, pooling: str
) -> None:
    model = build_model(0, pooling=pooling)
    positions = model.weights["embeddings.position_embeddings.weight"]
    for is_bag in (False, True):
        if is_bag:
            positions[:] = 0
        embeddings = TorchRuntime.from_folder(model).embed(INPUT_IDS)
        np.testing.assert_allclose(embeddings, NumpyRuntime(model).embed(INPUT_IDS), atol=2e-6)


def test_bfloat16_keeps_norms_residuals_and_the_dense_layer_in_float32(
    build_model: BuildModel,
) -> None:
    runtime = TorchRuntime.from_folder(build_model(), precision="bfloat16")
    kinds = {name: array.dtype for name, array in runtime._model.named_parameters()}
    narrow = {name for name, kind in kinds.items() if kind == torch.bfloat16}
    assert narrow == {
        f"bert.layers.{layer}.{part}.{kind}"
        for layer in (0, 1)
        for part in (
            "attention.qkv",
            "attention.output",
            "feed_forward.intermediate",
            "feed_forward.output",
        )
        for kind in ("weight", "bias")
    }
