from pathlib import Path

import pytest

from labse.config import load_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.tuning import count_pairs, tuning_overrides
from labse.errors import LabseError
from labse.network.config import BertConfig, DualEncoderConfig

BAG = DualEncoderConfig(bert=BertConfig(num_hidden_layers=0), pooling="mean")


def settings(num_pairs: int, model: DualEncoderConfig = BAG, *more: str) -> RunConfig:
    return load_config(RunConfig, None, [*tuning_overrides(["a b.tsv"], num_pairs, model), *more])


@pytest.mark.parametrize(
    ("num_pairs", "batch_size", "steps"),
    # Three passes: 3 * 2 / 2, 3 * 40 / 20, 3 * 10,000 / 512 = 58.6.
    [(1, 2, 2), (2, 2, 3), (40, 20, 6), (10_000, 512, 59)],
)
def test_batches_and_steps_follow_the_number_of_pairs(
    num_pairs: int, batch_size: int, steps: int
) -> None:
    config = settings(num_pairs)
    assert config.data.pairs == ("a b.tsv",)
    assert (config.train.global_batch_size, config.train.train_steps) == (batch_size, steps)
    assert config.train.warmup_steps < steps


def test_a_model_with_layers_is_tuned_by_adamw_a_few_pairs_at_a_time() -> None:
    train = settings(10_000, DualEncoderConfig()).train
    assert (train.embedding_optimizer, train.lr, train.embedding_lr) == ("adamw", 2e-5, 2e-5)
    assert train.micro_batch_size == 64
    assert settings(100, DualEncoderConfig()).train.micro_batch_size is None
    assert settings(10_000).train.embedding_optimizer == "adagrad"


def test_what_is_stated_overrules() -> None:
    assert settings(10_000, BAG, "train.lr=0.5").train.lr == 0.5


def test_pairs_of_all_files_are_counted(tmp_path: Path) -> None:
    for name, count in (("a", 2), ("b", 3)):
        rows = ["source\ttarget", *("one\teins" for _ in range(count))]
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    files = [str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv")]
    assert count_pairs(files, "eng", "deu") == 5
    (tmp_path / "none.tsv").write_text("source\ttarget\n")
    with pytest.raises(LabseError, match=r"none\.tsv: empty"):
        count_pairs([str(tmp_path / "none.tsv")], "eng", "deu")
