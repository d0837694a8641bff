"""The encoder as an ONNX graph: token ids in, unit vectors out.

Dimensions: B sentences, S tokens, H hidden, A heads, D embedding; B and S are dynamic.
Source: onnx/onnx, docs/Operators.md, opset 20, the first with Gelu; labse.network.bert, the same
steps.
"""

from typing import TYPE_CHECKING

import numpy as np

from labse.model_folder.folder import ModelFolder
from labse.model_folder.int4 import PackedRows
from labse.model_folder.int8 import QuantizedRows, stored_weight
from labse.runtime import require

if TYPE_CHECKING:
    import onnx

__all__ = ["INPUT_NAMES", "OPSET", "OUTPUT_NAME", "build_onnx"]

OPSET = 20
INPUT_NAMES = ("input_ids", "attention_mask")
OUTPUT_NAME = "sentence_embedding"
_IR_VERSION = 9  # Of ONNX 1.15, which brought opset 20: older runtimes read it.
_MASKED = -1e9  # Added to a score: its softmax is 0 in float32.


def build_onnx(model: ModelFolder) -> "onnx.ModelProto":
    """Builds the graph: inputs (B, S) int64 ids and mask, output (B, D) float32 unit rows.

    Int8 rows of `StoredWeights` stay int8 in the file and are multiplied by their scales in the
    graph; all arithmetic is float32.

    Raises:
        ResourceError: onnx is not installed.
    """
    helper = require("onnx.helper", "onnx")
    tensor_type = require("onnx", "onnx").TensorProto
    graph = _Graph(model)
    hidden_BSH = _add_embeddings(graph)
    for layer in range(model.config.bert.num_hidden_layers):
        hidden_BSH = _add_layer(graph, hidden_BSH, f"encoder.layer.{layer}")
    _add_projection(graph, _add_pooling(graph, hidden_BSH))

    inputs = [
        helper.make_tensor_value_info(name, tensor_type.INT64, ["batch", "tokens"])
        for name in INPUT_NAMES
    ]
    size = model.config.output_size
    output = helper.make_tensor_value_info(OUTPUT_NAME, tensor_type.FLOAT, ["batch", size])
    built: onnx.ModelProto = helper.make_model(
        helper.make_graph(graph.nodes, "labse", inputs, [output], graph.initializers),
        producer_name="labse",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    return built


class _Graph:
    """Nodes and constants as they are added; every result has a name."""

    def __init__(self, model: ModelFolder) -> None:
        self.config = model.config
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.weights = model.weights
        self._helper = require("onnx.helper", "onnx")
        self._numpy_helper = require("onnx.numpy_helper", "onnx")

    def add(self, operator: str, *inputs: str, out: str | None = None, **attributes: object) -> str:
        name = out or f"{operator}_{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: object, name: str | None = None) -> str:
        """Keeps an array; whole numbers are int64, all others as they are."""
        array = np.asarray(value)
        name = name or f"constant_{len(self.initializers)}"
        self.initializers.append(self._numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(self.weights[name], name)

    def linear(self, x: str, name: str) -> str:
        """Adds x W^T + b; the matrix is stored transposed, as MatMul takes it."""
        matrix = stored_weight(self.weights, f"{name}.weight")
        assert not isinstance(matrix, PackedRows)  # Of word rows alone.
        if isinstance(matrix, QuantizedRows):
            rows = self.constant(np.ascontiguousarray(matrix.rows.T), f"{name}.weight")
            scales = self.constant(matrix.scales, f"{name}.weight.scale")
            # Not DequantizeLinear: onnxruntime 1.32 joins it and MatMul to a product that rounds
            # the activations to int8 too, and vectors then differ by 0.007.
            transposed = self.add("Mul", self.add("Cast", rows, to=1), scales)
        else:
            transposed = self.constant(np.ascontiguousarray(matrix.T), f"{name}.weight")
        return self.add("Add", self.add("MatMul", x, transposed), self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        epsilon = self.config.bert.layer_norm_eps
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)


def _add_embeddings(graph: _Graph) -> str:
    name = "embeddings.word_embeddings.weight"
    words = stored_weight(graph.weights, name)
    if isinstance(words, PackedRows):
        words = words.dequantize()  # ONNX has no levels of its own.
    if isinstance(words, QuantizedRows):
        rows = graph.add("Gather", graph.constant(words.rows, name), "input_ids")
        scales = graph.constant(words.scales[:, None], f"{name}.scale")
        factors_BS1 = graph.add("Gather", scales, "input_ids")
        floats = graph.add("Cast", rows, to=1)  # TensorProto.FLOAT
        word_BSH = graph.add("Mul", floats, factors_BS1)
    else:
        word_BSH = graph.add("Gather", graph.constant(words, name), "input_ids")

    positions = stored_weight(graph.weights, "embeddings.position_embeddings.weight")
    token_types = stored_weight(graph.weights, "embeddings.token_type_embeddings.weight")
    assert isinstance(positions, np.ndarray)
    assert isinstance(token_types, np.ndarray)
    table = graph.constant(positions + token_types[0], "embeddings.position_and_type")
    length = graph.add("Shape", "input_ids", start=1, end=2)
    position_SH = graph.add("Slice", table, graph.constant([0]), length, graph.constant([0]))
    return graph.norm(graph.add("Add", word_BSH, position_SH), "embeddings.LayerNorm")


def _add_layer(graph: _Graph, hidden_BSH: str, name: str) -> str:
    bert = graph.config.bert
    num_heads, width = bert.num_attention_heads, bert.hidden_size // bert.num_attention_heads
    split = graph.constant([0, 0, num_heads, width])
    heads = []
    for part in ("query", "key", "value"):
        projected = graph.linear(hidden_BSH, f"{name}.attention.self.{part}")
        perm = [0, 2, 3, 1] if part == "key" else [0, 2, 1, 3]
        heads.append(graph.add("Transpose", graph.add("Reshape", projected, split), perm=perm))
    query, key, value = heads

    scale = graph.constant(np.float32(1 / np.sqrt(width)))
    scores_BASS = graph.add("Mul", graph.add("MatMul", query, key), scale)
    masked = graph.add("Add", scores_BASS, _add_mask(graph))
    context = graph.add("MatMul", graph.add("Softmax", masked, axis=-1), value)
    joined = graph.add("Transpose", context, perm=[0, 2, 1, 3])
    context_BSH = graph.add("Reshape", joined, graph.constant([0, 0, bert.hidden_size]))

    attended = graph.linear(context_BSH, f"{name}.attention.output.dense")
    hidden_BSH = graph.norm(
        graph.add("Add", hidden_BSH, attended), f"{name}.attention.output.LayerNorm"
    )
    dense = graph.linear(hidden_BSH, f"{name}.intermediate.dense")
    inner = graph.add("Gelu", dense, approximate=bert.gelu_form)
    transformed = graph.linear(inner, f"{name}.output.dense")
    return graph.norm(graph.add("Add", hidden_BSH, transformed), f"{name}.output.LayerNorm")


def _add_mask(graph: _Graph) -> str:
    """Adds, for each layer anew, (B, 1, 1, S): 0 on real tokens, very low on padding."""
    floats = graph.add("Cast", "attention_mask", to=1)
    rows = graph.add("Unsqueeze", floats, graph.constant([1, 2]))
    lowered = graph.add("Sub", graph.constant(np.float32(1)), rows)
    return graph.add("Mul", lowered, graph.constant(np.float32(_MASKED)))


def _add_pooling(graph: _Graph, hidden_BSH: str) -> str:
    if graph.config.pooling == "cls":
        return graph.add("Gather", hidden_BSH, graph.constant(np.int64(0)), axis=1)
    axis = graph.constant([1])
    floats = graph.add("Cast", "attention_mask", to=1)
    weights_BS1 = graph.add("Unsqueeze", floats, graph.constant([2]))
    sums_BH = graph.add("ReduceSum", graph.add("Mul", hidden_BSH, weights_BS1), axis, keepdims=0)
    return graph.add("Div", sums_BH, graph.add("ReduceSum", weights_BS1, axis, keepdims=0))


def _add_projection(graph: _Graph, pooled_BH: str) -> None:
    projection = graph.config.projection
    if projection != "none":
        pooled_BH = graph.linear(pooled_BH, "dense")
    if projection == "tanh":
        pooled_BH = graph.add("Tanh", pooled_BH)
    graph.add("LpNormalization", pooled_BH, axis=1, p=2, out=OUTPUT_NAME)
