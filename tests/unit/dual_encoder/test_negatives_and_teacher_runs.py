"""Runs with hard negatives and with a teacher, from files to a model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.dual_encoder.config import DistillConfig, RunConfig
from labse.dual_encoder.distillation import Teacher
from labse.dual_encoder.run import run_training
from labse.errors import InterruptedRunError, UsageError


def encode(sentences: Sequence[str]) -> NDArray[np.float32]:
    """Says which letters a sentence has, without case: what the cipher keeps."""
    rows = [[sentence.lower().count(letter) for letter in "abcdefghij"] for sentence in sentences]
    counts = np.array(rows, np.float32) + 0.01
    unit: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    return unit


TEACHER = Teacher(encode, "of letters")


def run(
    config: RunConfig, folder: Path, name: str, *, teacher: Teacher | None = None, stop: int = 0
) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []

    def report(row: dict[str, float]) -> None:
        rows.append(dict(row))
        if row["step"] == stop:
            raise InterruptedRunError("stopped by the test")

    run_training(
        config,
        folder / name,
        vocab_folder=folder / "vocab",
        data_folder=folder,
        teacher=teacher,
        on_metrics=report,  # type: ignore[arg-type]
    )
    return rows


def weights(folder: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / name / "model").rglob("*.safetensors"))]


@pytest.fixture
def hard_config(run_folder: Path, run_config: RunConfig) -> RunConfig:
    """Each pair has two others' targets as negatives; two are drawn."""
    lines = (run_folder / "pairs.tsv").read_text("utf-8").splitlines()[3:]
    cells = [line.split("\t") for line in lines]
    rows = ["source\ttarget\tsource_lang\ttarget_lang\ttarget_negative_1\ttarget_negative_2"]
    for number, (lang, source, target) in enumerate(cells):
        others = [cells[(number + shift) % len(cells)][2] for shift in (1, 2)]
        rows.append("\t".join([source, target, "eng", lang, *others]))
    (run_folder / "hard.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    data = run_config.data.model_copy(update={"pairs": ("hard.tsv",), "hard_negatives": 2})
    return run_config.model_copy(update={"data": data})


def student(config: RunConfig, **changes: object) -> RunConfig:
    values: dict[str, object] = {"teacher": "letters"}
    distill = DistillConfig.model_validate(values | changes)
    shape = {"pooling": "mean", "projection": "linear", "embedding_size": 10}
    model = config.model.model_copy(update=shape)
    return config.model_copy(update={"distill": distill, "model": model})


def test_hard_negatives_make_the_loss_of_the_first_steps_larger(
    run_folder: Path, hard_config: RunConfig
) -> None:
    plain = hard_config.data.model_copy(update={"hard_negatives": 0})
    without = run(hard_config.model_copy(update={"data": plain}), run_folder, "plain")
    with_some = run(hard_config, run_folder, "hard")
    assert with_some[0]["loss"] > without[0]["loss"]
    assert (run_folder / "hard" / "hard_negatives" / "manifest.json").is_file()
    assert not (run_folder / "plain" / "hard_negatives").exists()


@pytest.mark.parametrize("kind", ["hard negatives", "distillation"])
def test_a_run_that_was_stopped_ends_in_the_same_bits(
    run_folder: Path, hard_config: RunConfig, kind: str
) -> None:
    config = hard_config if kind == "hard negatives" else student(hard_config)
    teacher = None if kind == "hard negatives" else TEACHER
    run(config, run_folder, "whole", teacher=teacher)
    with pytest.raises(InterruptedRunError):
        run(config, run_folder, "stopped", teacher=teacher, stop=4)
    run(config, run_folder, "stopped", teacher=teacher)
    assert weights(run_folder, "stopped") == weights(run_folder, "whole")


def test_a_student_comes_nearer_to_its_teacher(run_folder: Path, run_config: RunConfig) -> None:
    train = run_config.train.model_copy(update={"train_steps": 40, "log_every": 5})
    config = student(run_config.model_copy(update={"train": train}), ranking_weight=0, weight=1)
    rows = [row for row in run(config, run_folder, "student", teacher=TEACHER) if "loss" in row]
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]


def test_a_run_does_not_go_on_with_another_teacher(run_folder: Path, run_config: RunConfig) -> None:
    config = student(run_config)
    with pytest.raises(InterruptedRunError):
        run(config, run_folder, "run", teacher=TEACHER, stop=4)
    with pytest.raises(UsageError, match="teacher"):
        run(config, run_folder, "run", teacher=Teacher(encode, "another"))


def test_a_teacher_that_is_asked_for_must_be_given(run_folder: Path, run_config: RunConfig) -> None:
    with pytest.raises(ValueError, match="needs a teacher"):
        run(student(run_config), run_folder, "run")
