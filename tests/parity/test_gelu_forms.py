"""Google's form of gelu in every runtime and in files, against the formula of google-research."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.model_data import random_folder

from labse.encoder.export.onnx_graph import build_onnx
from labse.encoder.runtimes.onnx_runtime import OnnxRuntime
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.vocab.tokenizer import SPECIAL_TOKENS, save_vocabulary

torch = pytest.importorskip("torch")
SENTENCES = ["free", "born free", "equal in rights and free", "ee"]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModelFolder]:
    """Both forms with the same weights, so large that the forms are told apart."""
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    save_vocabulary(tmp_path / "vocab", [*SPECIAL_TOKENS, *"abefghinqrstu", *"#"])
    built = {}
    for act in ("gelu", "gelu_tanh"):
        bert = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
        bert |= {"intermediate_size": 64, "max_position_embeddings": 40}
        bert["hidden_act"] = act  # type: ignore[assignment]
        built[act] = random_folder(
            tmp_path / "vocab", bert, seed=2, scale=0.3, max_seq_length=40, pooling="mean"
        )
    return built


def encode_all(model: ModelFolder) -> list[np.ndarray]:
    runtimes = ("torch", "ctranslate2")
    encoders = [SentenceEncoder.from_model(model, runtime=name) for name in runtimes]  # type: ignore[arg-type]
    pytest.importorskip("onnxruntime")
    graph = OnnxRuntime(build_onnx(model).SerializeToString(), pad_token_id=0)
    encoders.append(SentenceEncoder.from_runtime(graph, model.tokenizer, max_seq_length=40))
    return [encoder.encode(SENTENCES) for encoder in encoders]


def test_all_runtimes_compute_the_form_of_the_model(models: dict[str, ModelFolder]) -> None:
    exact, by_tanh = (encode_all(models[act]) for act in ("gelu", "gelu_tanh"))
    for vectors in (exact, by_tanh):
        for other in vectors[1:]:
            np.testing.assert_allclose(other, vectors[0], atol=2e-6)
    assert np.abs(exact[0] - by_tanh[0]).max() > 2e-5


def test_the_form_by_tanh_is_that_of_google(models: dict[str, ModelFolder]) -> None:
    from labse.network.bert import FeedForward

    config = models["gelu_tanh"].config.bert
    layer = FeedForward(config).double()
    x = torch.randn(5, 24, dtype=torch.float64)
    inner = layer.intermediate(x)
    # google-research/bert, modeling.py: 0.5 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) x.
    gelu = 0.5 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (inner + 0.044715 * inner**3))) * inner
    torch.testing.assert_close(layer(x), layer.output(gelu), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["gelu_pytorch_tanh", "gelu_new", "gelu_fast"])
def test_a_folder_says_it_in_the_words_of_transformers(
    models: dict[str, ModelFolder], tmp_path: Path, name: str
) -> None:
    written = tmp_path / "model"
    write_model_folder(written, models["gelu_tanh"], vocab_folder=tmp_path / "vocab", manifest={})
    config = json.loads((written / "config.json").read_text("utf-8"))
    assert config["hidden_act"] == "gelu_pytorch_tanh"
    assert read_model_folder(written).config == models["gelu_tanh"].config
    # A folder of others has no manifest.
    (written / "manifest.json").unlink()
    (written / "config.json").write_text(json.dumps(config | {"hidden_act": name}), "utf-8")
    assert read_model_folder(written).config.bert.hidden_act == "gelu_tanh"


def test_sentence_transformers_computes_the_same(
    models: dict[str, ModelFolder], tmp_path: Path
) -> None:
    oracle_package = pytest.importorskip("sentence_transformers", reason="the oracle")
    model = models["gelu_tanh"]
    write_model_folder(tmp_path / "m", model, vocab_folder=tmp_path / "vocab", manifest={})
    oracle = oracle_package.SentenceTransformer(str(tmp_path / "m"), device="cpu")
    expected = oracle.encode(SENTENCES, show_progress_bar=False)
    found = SentenceEncoder(tmp_path / "m").encode(SENTENCES)
    np.testing.assert_allclose(found, expected, atol=2e-6)
