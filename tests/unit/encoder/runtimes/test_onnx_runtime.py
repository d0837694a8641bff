"""Its vectors are tested in test_onnx_graph.py, against the other runtimes."""

from collections.abc import Callable

import numpy as np
import pytest

from labse.encoder.export.onnx_graph import build_onnx
from labse.encoder.runtimes.onnx_runtime import OnnxRuntime
from labse.model_folder.folder import ModelFolder

pytest.importorskip("onnxruntime")


def test_a_row_does_not_depend_on_its_batch(build_model: Callable[..., ModelFolder]) -> None:
    runtime = OnnxRuntime(build_onnx(build_model(1)).SerializeToString(), pad_token_id=0)
    ids = [[2, 7, 3], [2, 3], [2, 9, 8, 7, 3]]

    together = runtime.embed(ids)

    alone = np.concatenate([runtime.embed([row]) for row in ids])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert runtime.embed([]).shape == (0, runtime.embedding_size) == (0, 32)
    assert runtime.batch_tokens > 0
