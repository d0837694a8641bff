import json
import logging
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import labse
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.run import RunSummary, run_training
from labse.dual_encoder.train import Evaluate
from labse.encoder.runtimes.torch_runtime import TorchRuntime
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import InterruptedRunError, ResourceError, UsageError
from labse.files.atomic import claim_folder
from labse.model_folder.folder import read_model_folder
from labse.model_folder.torch_model import to_model_folder
from labse.network.dual_encoder import DualEncoder
from labse.vocab.tokenizer import load_tokenizer


def run(
    config: RunConfig, folder: Path, name: str = "run", evaluate: Evaluate | None = None
) -> RunSummary:
    return run_training(
        config,
        folder / name,
        vocab_folder=folder / "vocab",
        data_folder=folder,
        evaluate=evaluate,
    )


def model_bytes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "model").rglob("*.safetensors"))]


def test_a_run_leaves_a_model_whose_manifest_tells_its_lineage(
    run_folder: Path, run_config: RunConfig
) -> None:
    summary = run(run_config, run_folder)
    assert summary.model_folder == run_folder / "run" / "model"
    assert (summary.step, summary.counts.num_kept) == (6, 60)

    config = read_model_folder(summary.model_folder).config
    assert config.bert.vocab_size == load_tokenizer(run_folder / "vocab").get_vocab_size()
    manifest = json.loads((summary.model_folder / "manifest.json").read_text())
    assert (manifest["kind"], manifest["step"], manifest["seed"]) == ("model", 6, 0)
    assert manifest["inputs"][0]["num_rows"] == 62
    assert manifest["counts"]["num_copies"] == 1
    assert manifest["run_config"]["train"]["global_batch_size"] == 8
    assert manifest["vocabulary"]["inputs"][0]["num_rows"] == 62
    assert manifest["torch_version"] == torch.__version__
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    assert manifest["device"] == device


def test_one_call_from_python_scores_an_encoder_and_tells_its_progress(
    run_folder: Path, run_config: RunConfig
) -> None:
    done: list[tuple[int, int | None]] = []
    rows: list[Mapping[str, float]] = []

    def evaluate(encoder: SentenceEncoder) -> dict[str, float]:
        return {"length": float(np.linalg.norm(encoder.encode(["a b"])))}

    summary = labse.train_dual_encoder(
        run_config,
        run_folder / "run",
        vocab_folder=run_folder / "vocab",
        data_folder=run_folder,
        evaluate=evaluate,
        on_metrics=rows.append,
        on_progress=lambda step, total: done.append((step, total)),
    )
    assert done == [(2, 6), (4, 6), (6, 6)]
    assert [row["length"] for row in rows if "length" in row] == pytest.approx([1, 1])
    SentenceEncoder.from_pretrained(summary.model_folder)  # Its golden vectors are there.
    with pytest.raises(ValueError, match="give vocab_folder"):
        labse.train_dual_encoder(run_config, run_folder / "other")


def test_the_manifest_of_the_best_model_tells_its_step(
    run_folder: Path, run_config: RunConfig
) -> None:
    train = run_config.train.model_copy(update={"keep_best": True, "patience": 1})
    scores = iter([0.5, 0.4])
    summary = run(
        run_config.model_copy(update={"train": train}),
        run_folder,
        evaluate=lambda _: {"p_at_1": next(scores)},
    )
    assert summary.step == 3
    assert json.loads((summary.model_folder / "manifest.json").read_text())["step"] == 3


def test_the_written_model_gives_the_vectors_of_the_trained_one(
    run_folder: Path, run_config: RunConfig
) -> None:
    seen: list[DualEncoder] = []

    def evaluate(model: DualEncoder) -> dict[str, float]:
        seen.append(model)
        return {}

    folder = read_model_folder(run(run_config, run_folder, evaluate=evaluate).model_folder)
    input_ids = [[2, 7, 8, 3], [2, 9, 3]]
    trained = TorchRuntime(seen[-1]).embed(input_ids)
    np.testing.assert_array_equal(TorchRuntime.from_folder(folder).embed(input_ids), trained)
    again = to_model_folder(seen[-1], folder.tokenizer)
    assert sorted(again.weights) == sorted(folder.weights)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    run_folder: Path, run_config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(_: DualEncoder) -> dict[str, float]:
        signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.raises(InterruptedRunError):
        run(run_config, run_folder, "stopped", evaluate=stop)
    assert not (run_folder / "stopped" / "model").exists()

    with caplog.at_level(logging.INFO, "labse"):
        run(run_config, run_folder, "stopped")
    assert "tokens of an earlier start" in caplog.text
    assert "going on from" in caplog.text
    run(run_config, run_folder, "straight")
    assert model_bytes(run_folder / "stopped") == model_bytes(run_folder / "straight")


def test_a_run_on_changed_data_or_vocabulary_is_refused(
    run_folder: Path, run_config: RunConfig
) -> None:
    run(run_config, run_folder)
    before = (run_folder / "run" / "manifest.json").read_bytes()
    pairs, vocab = run_folder / "pairs.tsv", run_folder / "vocab" / "tokenizer.json"

    for path, what in ((pairs, "other data"), (vocab, "another vocabulary")):
        original = path.read_bytes()
        path.write_bytes(original + (b"deu\tone more\tnoch eins\n" if path == pairs else b"\n"))
        with pytest.raises(UsageError, match=f"holds a run on {what}"):
            run(run_config, run_folder)
        path.write_bytes(original)

    assert (run_folder / "run" / "manifest.json").read_bytes() == before
    run(run_config, run_folder)


def test_a_refused_configuration_leaves_the_manifest_of_the_run(
    run_folder: Path, run_config: RunConfig
) -> None:
    run(run_config, run_folder)
    before = (run_folder / "run" / "manifest.json").read_bytes()
    train = run_config.train.model_copy(update={"seed": 9})
    with pytest.raises(UsageError, match=r"train\.seed: 0 -> 9"):
        run(run_config.model_copy(update={"train": train}), run_folder)
    assert (run_folder / "run" / "manifest.json").read_bytes() == before


def test_a_refused_configuration_does_not_tokenise_the_data_anew(
    run_folder: Path, run_config: RunConfig
) -> None:
    run(run_config, run_folder)
    before = (run_folder / "run" / "tokens" / "manifest.json").read_bytes()
    model = run_config.model.model_copy(update={"max_seq_length": 5})
    with pytest.raises(UsageError, match=r"model\.max_seq_length: 16 -> 5"):
        run(run_config.model_copy(update={"model": model}), run_folder)
    assert (run_folder / "run" / "tokens" / "manifest.json").read_bytes() == before


def test_a_second_process_on_the_folder_of_a_run_is_refused_before_it_touches_anything(
    run_folder: Path, run_config: RunConfig
) -> None:
    # While the first process prepares its data, and while it trains.
    with claim_folder(run_folder), pytest.raises(UsageError, match="another process"):
        run(run_config, run_folder, name=".")
    assert not (run_folder / "tokens").exists()
    messages: list[str] = []

    def run_again(_: DualEncoder) -> dict[str, float]:
        with pytest.raises(UsageError) as raised:
            run(run_config, run_folder)
        messages.append(str(raised.value))
        return {}

    run(run_config, run_folder, evaluate=run_again)
    assert len(messages) == 2
    assert "another process" in messages[0]


def test_too_little_memory_is_told_with_what_to_lower(
    run_folder: Path, run_config: RunConfig
) -> None:
    bert = run_config.model.bert.model_copy(update={"intermediate_size": 1 << 54})
    model = run_config.model.model_copy(update={"bert": bert})
    with pytest.raises(ResourceError, match=r"too little memory; set or lower train\.micro_batch"):
        run(run_config.model_copy(update={"model": model}), run_folder)


def test_a_run_into_a_folder_of_something_else_is_refused(
    run_folder: Path, run_config: RunConfig
) -> None:
    before = (run_folder / "vocab" / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="vocab holds a vocabulary; give another --out"):
        run(run_config, run_folder, name="vocab")
    assert (run_folder / "vocab" / "manifest.json").read_bytes() == before
    assert not (run_folder / "vocab" / "tokens").exists()
