"""The graph against our own runtimes; onnx's checker and onnxruntime are the oracles."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from labse.encoder.export.onnx_graph import INPUT_NAMES, OPSET, OUTPUT_NAME, build_onnx
from labse.encoder.runtimes.onnx_runtime import OnnxRuntime
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.model_folder.folder import ModelFolder
from labse.model_folder.int8 import narrow_weights

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
BuildModel = Callable[..., ModelFolder]


@pytest.mark.parametrize("storage", ["float32", "int8"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": "mean", "projection": "linear", "embedding_size": 12},
        {"layers": 1, "pooling": "mean", "projection": "none"},
        {"layers": 0, "pooling": "mean", "projection": "tanh"},
    ],
)
def test_vectors_are_those_of_labse(
    build_model: BuildModel, sentences: list[str], settings: dict[str, object], storage: str
) -> None:
    built = build_model(**settings)
    model = replace(built, weights=narrow_weights(built.weights, storage))  # type: ignore[arg-type]
    runtime = "torch" if model.config.bert.num_hidden_layers else "numpy"
    expected = SentenceEncoder.from_model(model, runtime=runtime).encode(sentences)  # type: ignore[arg-type]

    graph = build_onnx(model)
    onnx.checker.check_model(graph, full_check=True)
    runtime = OnnxRuntime(graph.SerializeToString(), pad_token_id=0)
    encoder = SentenceEncoder.from_runtime(runtime, model.tokenizer, max_seq_length=24)

    for batch_tokens in (24, 4096):
        found = encoder.encode(sentences, batch_tokens=batch_tokens)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_names_opset_and_dynamic_axes_are_those_promised(build_model: BuildModel) -> None:
    graph = build_onnx(build_model())

    assert [opset.version for opset in graph.opset_import] == [OPSET] == [20]
    assert tuple(value.name for value in graph.graph.input) == INPUT_NAMES
    (output,) = graph.graph.output
    assert output.name == OUTPUT_NAME
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.graph.input, output)
    ]
    assert shapes == [["batch", "tokens"], ["batch", "tokens"], ["batch", 32]]


def test_int8_matrices_are_a_quarter_in_the_file(build_model: BuildModel) -> None:
    built = build_model()
    narrow = replace(built, weights=narrow_weights(built.weights, "int8"))
    kinds = {tensor.name: tensor.data_type for tensor in build_onnx(narrow).graph.initializer}
    assert kinds["embeddings.word_embeddings.weight"] == onnx.TensorProto.INT8
    assert kinds["encoder.layer.0.intermediate.dense.weight"] == onnx.TensorProto.INT8
