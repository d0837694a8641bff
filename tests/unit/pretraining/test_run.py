import json
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.run import run_training
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.files.atomic import claim_folder
from labse.model_folder.folder import read_model_folder
from labse.pretraining.config import PretrainConfig
from labse.pretraining.folder import read_bert_folder
from labse.pretraining.run import PretrainSummary, pretrain
from labse.training.lineage import describe_folder
from labse.training.metrics import OnMetrics
from labse.vocab.tokenizer import save_vocabulary

from .conftest import build_config


def run(
    config: PretrainConfig, folder: Path, name: str = "run", **options: object
) -> PretrainSummary:
    vocab_folder = folder / "vocab"
    return pretrain(
        config,
        folder / name,
        vocab_folder=vocab_folder,
        data_folder=folder,
        **options,  # type: ignore[arg-type]
    )


def stop_at(step: int) -> OnMetrics:
    def stop(row: Mapping[str, float]) -> None:
        if row["step"] == step:
            signal.raise_signal(signal.SIGTERM)

    return stop


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_run_leaves_a_folder_a_stage_with_its_lineage(
    run_folder: Path, config: PretrainConfig
) -> None:
    done: list[tuple[int, int | None]] = []
    summary = run(config, run_folder, on_progress=lambda step, total: done.append((step, total)))
    assert done == [(step, 12) for step in (2, 4, 6, 8, 10, 12)]
    assert (summary.step, summary.num_layers) == (12, 2)
    assert summary.counts.num_pairs == 80
    first = read_bert_folder(run_folder / "run" / "stage-1-layers")
    assert first.config.num_hidden_layers == 1
    assert read_bert_folder(summary.model_folder).config.num_hidden_layers == 2
    manifest = json.loads((summary.model_folder / "manifest.json").read_text())
    assert (manifest["kind"], manifest["step"], manifest["seed"]) == ("model", 12, 0)
    assert [file["num_rows"] for file in manifest["inputs"]] == [80, 80]
    assert manifest["run_config"]["train"]["stage_steps"] == [6, 6]


@pytest.mark.parametrize(("pooler", "pooling"), [("random", "cls"), ("none", "mean")])
def test_a_dual_encoder_starts_from_the_model(run_folder: Path, pooler: str, pooling: str) -> None:
    config = build_config(
        model={"pooler": pooler, "bert": build_config().model.bert.model_dump(exclude_unset=True)},
        train={"stage_steps": [1, 1]},
    )
    model_folder = run(config, run_folder).model_folder
    read = read_model_folder(model_folder)
    assert read.config.pooling == pooling
    values: dict[str, object] = {
        "data": {"pairs": ["pairs.tsv"]},
        "train": {"train_steps": 1, "global_batch_size": 4, "lr": 1e-9},
    }
    tuned = run_training(
        parse_config(RunConfig, values, where="test"),
        run_folder / "dual",
        vocab_folder=model_folder,
        data_folder=run_folder,
        start=model_folder,
    )
    name = "encoder.layer.1.attention.self.query.weight"
    before, after = read.weights[name], read_model_folder(tuned.model_folder).weights[name]
    # One step at a rate of 1e-9 leaves the weights where they were.
    assert abs(before - after).max() < 1e-7


def test_a_stop_at_the_end_of_a_stage_and_within_one_go_on_to_the_same_bytes(
    run_folder: Path, config: PretrainConfig
) -> None:
    run(config, run_folder, "straight")
    for step in (6, 8):
        name = f"stopped-{step}"
        with pytest.raises(InterruptedRunError):
            run(config, run_folder, name, on_metrics=stop_at(step))
        run(config, run_folder, name)
        for part in ("stage-1-layers", "model"):
            ours, theirs = run_folder / name / part, run_folder / "straight" / part
            assert weights(ours) == weights(theirs)


def test_a_finished_stage_is_grown_by_hand(run_folder: Path, config: PretrainConfig) -> None:
    run(config, run_folder)
    shallow = run_folder / "run" / "stage-1-layers"
    grown_config = build_config(train={"stage_steps": [1], "lr": 1e-12, "warmup_steps": 0})
    run(grown_config, run_folder, "grown", grow=shallow)
    below = read_bert_folder(shallow).state
    state = read_bert_folder(run_folder / "grown" / "model").state
    for name, tensor in below.items():
        for layer in ("0", "1") if ".layers." in name else ("",):
            grown = state[name.replace("layers.0", f"layers.{layer}")]
            # One step at a rate of 1e-12 and decay.
            torch.testing.assert_close(grown, tensor, rtol=0, atol=1e-7)


def test_what_does_not_fit_the_model_to_grow_is_told(
    run_folder: Path, config: PretrainConfig
) -> None:
    model_folder = run(config, run_folder).model_folder
    with pytest.raises(UsageError, match="first stage has 2 layers, and the model to grow has 2"):
        run(build_config(train={"stage_steps": [1]}), run_folder, "deep", grow=model_folder)
    vocab = model_folder / "vocab.txt"
    vocab.write_text(vocab.read_text() + "extra\n")
    with pytest.raises(UsageError, match="another vocabulary"):
        run(config, run_folder, "other", grow=model_folder)
    with pytest.raises(LabseError, match="no such folder"):
        run(config, run_folder, "other", grow=run_folder / "nothing")


def test_changed_data_another_vocabulary_and_another_folder_are_refused(
    run_folder: Path, config: PretrainConfig
) -> None:
    run(config, run_folder)
    with (run_folder / "news.eng").open("a") as stream:
        stream.write("a b c\n")
    with pytest.raises(UsageError, match="on other data"):
        run(config, run_folder)
    with pytest.raises(UsageError, match="holds a vocabulary"):
        run(config, run_folder, "vocab")
    bert = config.model.bert.model_dump(exclude_unset=True) | {"vocab_size": 7}
    with pytest.raises(UsageError, match="vocab_size is 7, the vocabulary says"):
        run(build_config(model={"bert": bert}), run_folder, "size")


def test_a_folder_where_another_process_is_at_work_is_left_as_it_is(
    run_folder: Path, config: PretrainConfig
) -> None:
    out = run_folder / "run"
    out.mkdir()
    with claim_folder(out), pytest.raises(UsageError, match=r"another process .* is at work there"):
        run(config, run_folder)
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_a_run_goes_on_with_smaller_micro_batches(run_folder: Path) -> None:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    bert = build_config().model.bert.model_dump(exclude_unset=True) | still
    build = lambda size: build_config(model={"bert": bert}, train={"micro_batch_size": size})  # noqa: E731
    run(build(8), run_folder, "straight")
    with pytest.raises(InterruptedRunError):
        run(build(8), run_folder, "changed", on_metrics=stop_at(8))
    run(build(2), run_folder, "changed")
    ours, theirs = (
        read_bert_folder(run_folder / name / "model").state for name in ("changed", "straight")
    )
    for name, tensor in theirs.items():
        # The bias of keys moves by rounding errors alone: no loss depends on it.
        if not name.endswith("qkv.bias"):
            torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-4)


def test_weights_that_cannot_be_cut_are_told_before_the_data_is_read(run_folder: Path) -> None:
    config = build_config(train={"shard": "full"})
    with pytest.raises(UsageError, match="shard full needs several processes"):
        run(config, run_folder)
    assert not (run_folder / "run").exists()


def test_a_changed_configuration_is_refused_before_the_tokens_are_made_anew(
    run_folder: Path, config: PretrainConfig
) -> None:
    run(config, run_folder)
    before = (run_folder / "run" / "tokens" / "manifest.json").read_bytes()
    changed = build_config(data={"max_seq_length": 12}, train={"lr": 0.5, "log_every": 1})
    message = r"data.max_seq_length: 20 -> 12; train.lr: 0.01 -> 0.5\)"
    with pytest.raises(UsageError, match=message):
        run(changed, run_folder)
    assert (run_folder / "run" / "tokens" / "manifest.json").read_bytes() == before


def test_one_sentence_of_a_language_and_one_token_rows_are_trained_on(run_folder: Path) -> None:
    (run_folder / "tiny.fra").write_text("a\n\nb\n")
    (run_folder / "one.deu").write_text("A\n")
    config = build_config(data={"text": ["tiny.fra", "one.deu"], "pairs": []})
    assert run(config, run_folder).counts.num_examples == 3


def test_a_run_its_stages_and_its_model_are_described(
    run_folder: Path, config: PretrainConfig
) -> None:
    run(config, run_folder)
    described = describe_folder(run_folder / "run")
    facts = described.facts
    assert (described.kind, facts["stage"], facts["step"]) == ("run", "pretraining", 12)
    assert facts["stage_steps"] == "6, 6 (per stage)"
    assert (facts["finished stages"], facts["model"]) == ("stage-1-layers", "written")
    # Numbers of single languages are in metrics.jsonl.
    assert {name for name in facts if "perplexity" in name} == {
        "last mlm_perplexity",
        "last tlm_perplexity",
    }
    for name, layers in (("stage-1-layers", 1), ("model", 2)):
        inner = describe_folder(run_folder / "run" / name)
        assert (inner.kind, inner.facts["layers"], inner.facts["step"]) == (
            "model",
            layers,
            6 * layers,
        )
        assert {file.state for file in inner.files} == {"ok"}


def test_another_vocabulary_than_that_of_the_checkpoint_is_refused(
    run_folder: Path, config: PretrainConfig
) -> None:
    run(config, run_folder)
    vocab = run_folder / "vocab"
    pieces = (vocab / "vocab.txt").read_text().splitlines()
    save_vocabulary(vocab, [*pieces[:-2], pieces[-1], pieces[-2]])
    with pytest.raises(UsageError, match="on another vocabulary"):
        run(config, run_folder)
    save_vocabulary(vocab, pieces[:-1])
    message = f"vocab_size: {len(pieces)} -> {len(pieces) - 1}"
    with pytest.raises(UsageError, match=message):
        run(config, run_folder)


def test_rows_of_pairs_without_text_or_with_one_piece_are_trained_on(run_folder: Path) -> None:
    header = "source\ttarget\tsource_lang\ttarget_lang\n"
    (run_folder / "odd.tsv").write_text(header + "a\tA\teng\tdeu\n\tB\teng\tdeu\na\tB\teng\tfra\n")
    config = build_config(data={"text": [], "pairs": ["odd.tsv"]}, train={"stage_steps": [2]})
    counts = run(config, run_folder).counts
    assert (counts.num_pairs, counts.num_blank_pairs, counts.num_examples) == (3, 1, 2)
