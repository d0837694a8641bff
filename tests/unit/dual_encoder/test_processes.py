"""Each process with its part: loss and gradients are those of one process with the whole batch.

Each process computes every case in turn (`work`); the tests compare what they wrote.
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.training_data import gradients, random_pairs, small_model, whole_batch
from torch import Tensor

from labse.dual_encoder.config import DistillConfig, TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.gradients import add_gradients
from labse.dual_encoder.loss import additive_margin_softmax
from labse.network.dual_encoder import DualEncoder
from labse.training.distributed import SINGLE, Processes, join_processes

NUM_PAIRS = 12
SIZES = (2, 4)
TYPES = {"float64": torch.float64, "float32": torch.float32}
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}


@dataclass(frozen=True)
class Case:
    """One way to compute the same gradients."""

    layers: int = 2
    micro_batch_size: int | None = None
    block_bytes: int = 2**20
    kind: str = "plain"  # Or with repeated sentences, hard negatives, or a teacher.
    is_sparse: bool = True
    dtype: str = "float64"
    dropout: float = 0.0

    def options(self) -> TrainConfig:
        return TrainConfig(
            global_batch_size=NUM_PAIRS,
            micro_batch_size=self.micro_batch_size,
            logit_block_bytes=self.block_bytes,
            logit_scale=20.0,
            logit_margin=0.1,
            max_negative_excess=0.01 if self.kind == "bound" else None,
        )

    def build(self) -> DualEncoder:
        return small_model(
            self.layers,
            dropout=self.dropout,
            dtype=TYPES[self.dtype],
            is_sparse=self.is_sparse,
        )

    @property
    def distill(self) -> DistillConfig:
        return DistillConfig(teacher="any", weight=3.0)

    def batch(self) -> Batch:
        batch, generator = whole_batch(self.pairs()), np.random.default_rng(1)
        if self.kind == "negatives":
            lengths = generator.integers(2, 9, 7)
            known = np.full((7, 1), -1)
            known[2], known[5] = 4, NUM_PAIRS + 6
            ids = generator.integers(5, 50, lengths.sum()).astype(np.int32)
            batch = replace(batch, negatives=Negatives(ids, lengths, 3, known))
        if self.kind == "teacher":
            vectors = torch.from_numpy(generator.normal(size=(2 * NUM_PAIRS, 8)))
            unit = torch.nn.functional.normalize(vectors.to(TYPES[self.dtype]), dim=-1)
            batch = replace(batch, teacher_vectors=unit.numpy())
        return batch

    def pairs(self) -> TokenizedPairs:
        # In parts of different processes, on either side.
        repeats = {(4, 0): (0, 0), (11, 1): (2, 0)} if self.kind == "repeats" else None
        return random_pairs(NUM_PAIRS, repeats=repeats)

    def compute(self, processes: Processes) -> dict[str, Tensor]:
        """Returns the loss and all gradients."""
        model = self.build()
        torch.manual_seed(100 + processes.rank)
        result = add_gradients(model, self.batch(), self.options(), self.distill, processes)
        processes.sum_gradients(model.parameters())
        p_at_1 = result.in_batch_p_at_1(self.block_bytes)
        return gradients(model) | {
            "loss": result.loss.double().reshape(()).detach(),
            "false_negatives": result.num_false_negatives.double().reshape(()),
            "p_at_1": torch.tensor(processes.add([p_at_1])[0] / processes.size),
        }


CASES = [
    *itertools.starmap(Case, itertools.product((0, 2), (None, 1, 2), (2**20, 600))),
    *(Case(kind=kind, micro_batch_size=2) for kind in ("repeats", "bound", "negatives", "teacher")),
    Case(kind="negatives", block_bytes=300, is_sparse=False),
    Case(kind="repeats", block_bytes=300, micro_batch_size=5),
    Case(dtype="float32"),
    Case(dtype="float32", micro_batch_size=2, block_bytes=300),
]
WITH_DROPOUT = [Case(dropout=0.3, micro_batch_size=size) for size in (None, 1, 2)]


def work(out: Path) -> None:
    """Computes every case in this process and writes what it found."""
    with join_processes() as processes:
        for number, case in enumerate(CASES + WITH_DROPOUT):
            found = case.compute(processes)
            save_file(found, out / f"{number}-of-rank-{processes.rank}.safetensors")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("number", range(len(CASES)), ids=[str(case) for case in CASES])
def test_every_process_has_the_gradients_of_one_big_batch(
    worlds: Path, size: int, number: int
) -> None:
    folder = worlds / str(size)
    case = CASES[number]
    expected = case.compute(SINGLE)
    for rank in range(size):
        found = load_file(folder / f"{number}-of-rank-{rank}.safetensors")
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            tolerance = TOLERANCES[case.dtype]
            torch.testing.assert_close(
                found[name], tensor, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: n + m
            )
    if case.kind in ("repeats", "bound"):
        assert expected["false_negatives"] > 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("number", range(len(WITH_DROPOUT)))
def test_with_dropout_each_part_has_the_masks_of_its_process(
    worlds: Path, size: int, number: int
) -> None:
    folder = worlds / str(size)
    case = WITH_DROPOUT[number]
    model, pairs = case.build(), case.pairs()
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for rank, part_n2 in enumerate(np.split(pairs.pairs, size)):
        torch.manual_seed(100 + rank)
        sentences = part_n2.T.reshape(-1)
        order = np.argsort(-pairs.gather(sentences)[1], kind="stable")
        width = 2 * (case.micro_batch_size or len(part_n2))
        chunks = np.split(sentences[order], range(width, len(order), width))
        vectors = torch.cat([model.embed_flat(*pairs.gather(chunk)) for chunk in chunks])
        vectors = vectors.index_select(0, torch.from_numpy(order.argsort()))
        for side, part in zip(sides, vectors.chunk(2), strict=True):
            side.append(part)
    source, target = map(torch.cat, sides)
    loss = additive_margin_softmax(source, target, logit_scale=20.0, logit_margin=0.1)
    loss.backward()
    expected = gradients(model)
    for rank in range(size):
        found = load_file(folder / f"{len(CASES) + number}-of-rank-{rank}.safetensors")
        torch.testing.assert_close(found["loss"], loss.detach(), rtol=1e-10, atol=0)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_hard_negatives_of_all_processes_are_those_of_the_batch(size: int) -> None:
    negatives = Case(kind="negatives").batch().negatives
    assert negatives is not None
    for_sources, for_targets = zip(
        *(negatives.rows_of_rank(rank, size) for rank in range(size)), strict=True
    )
    assert list(itertools.chain(*for_sources)) == [0, 1, 2]
    assert list(itertools.chain(*for_targets)) == [3, 4, 5, 6]
