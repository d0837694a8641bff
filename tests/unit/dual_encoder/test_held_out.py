import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.training_data import pairs_of, random_pairs

from labse.dual_encoder.config import DataConfig, RunConfig
from labse.dual_encoder.data.held_out import (
    RunQuality,
    choose_held_out,
    describe_quality,
    find_hits,
    is_by_chance,
)
from labse.dual_encoder.data.sampler import PairSampler
from labse.dual_encoder.run import RunSummary
from labse.encoder.trained import train_dual_encoder
from labse.errors import UsageError
from labse.training.lineage import describe_folder


def test_a_share_or_a_number_of_pairs_is_held_out_wherever_they_stand() -> None:
    pairs = random_pairs(200)
    held_out = choose_held_out(pairs, 0.1)
    assert len(held_out) == len(choose_held_out(pairs, 20)) == 20
    order = np.random.default_rng(3).permutation(200)
    moved = replace(pairs, pairs=pairs.pairs[order])
    assert {*order[choose_held_out(moved, 20)].tolist()} == {*held_out.tolist()}
    assert not len(choose_held_out(pairs, None))
    assert not len(choose_held_out(pairs, 0))


def test_pairs_of_one_source_are_held_out_together_and_a_source_of_too_many_stays() -> None:
    numbers = np.array([[0, 1], [0, 2], [0, 3], [4, 5], [4, 5], [6, 7]])
    pairs = pairs_of(np.arange(5, 21), np.full(8, 2), numbers)
    for amount in (1, 2, 3):
        taken = set(choose_held_out(pairs, amount).tolist())
        assert taken
        assert all(taken >= group or not taken & group for group in ({0, 1, 2}, {3, 4}))
        assert amount == 3 or 0 not in taken
    with pytest.raises(UsageError, match="6 of 6 pairs would be held out"):
        choose_held_out(pairs, 6)


def test_what_is_held_out_is_never_drawn() -> None:
    pairs = random_pairs(60)
    config = DataConfig(pairs=("x",), held_out=15, repeats="mask")
    sampler = PairSampler(pairs, config, batch_size=12, seed=1)
    drawn = {int(side) // 2 for step in range(40) for side in sampler.sides(step)[:, 0]}
    assert drawn == set(range(60)) - set(choose_held_out(pairs, 15).tolist())


def test_any_translation_that_the_pairs_name_is_right() -> None:
    # Sentence 0 has the translations 1 and 2; the vector of 4 points to 1, which is not its own.
    numbers = np.array([[0, 1], [0, 2], [4, 5]], np.int32)
    x, y, z = np.eye(3, dtype=np.float32)
    hits = find_hits(numbers, np.stack([y, y, x]), np.stack([x, y, z]))
    assert hits.tolist() == [True, True, False, False, True, False]


@pytest.mark.parametrize(("gained", "lost", "chance"), [(5, 0, True), (6, 0, False), (0, 0, True)])
def test_a_change_that_a_coin_would_give_is_called_chance(
    gained: int, lost: int, chance: bool
) -> None:
    # Two tails of a coin: 2 / 2 ** 5 = .06, 2 / 2 ** 6 = .03.
    before = np.array([False] * gained + [True] * lost + [True] * 9)
    assert is_by_chance(before, np.array([True] * gained + [False] * lost + [True] * 9)) is chance
    many = np.zeros(4000, bool)
    assert not is_by_chance(many, ~many)


def test_a_person_is_told_better_or_worse_and_who_lost() -> None:
    quality = RunQuality(75, 0.793, 0.877, "better", False, {"uig": (0.95, 0.9)}, ["uig"], 0.04)
    held_out, others, lost = describe_quality(quality)
    assert held_out == "held out: 75 pairs, P@1 79.3% before, 87.7% now: better"
    assert "P@1 95.0% before, 90.0% now" in others
    assert lost.startswith("worse by more than 4%: uig 95% to 90%. If you need them, lower")
    few = replace(quality, verdict="worse", is_by_chance=True, other_langs={}, lost_langs=[])
    assert describe_quality(few)[0].endswith("worse (so few changed that it may be chance)")
    none = replace(few, p_at_1=None, p_at_1_before=None, verdict=None)
    assert "nothing says whether the model is better" in describe_quality(none)[0]


def test_a_tuned_model_is_judged_once_by_what_it_was_not_trained_on(
    run_folder: Path, run_config: RunConfig
) -> None:
    def train(name: str, start: Path | None, held_out: float | None) -> RunSummary:
        data = run_config.data.model_copy(update={"held_out": held_out})
        return train_dual_encoder(
            run_config.model_copy(update={"data": data}),
            run_folder / name,
            vocab_folder=run_folder / "vocab",
            start=start,
            data_folder=run_folder,
        )

    begun = train("begun", None, None)
    assert begun.quality is None
    tuned = train("tuned", begun.model_folder, 12)
    again = train("tuned", begun.model_folder, 12)
    quality = tuned.quality
    assert quality is not None
    assert quality == again.quality
    assert quality.num_held_out == 12
    assert quality.verdict in ("better", "worse", "same")
    assert "deu" not in quality.other_langs
    assert "rus" in quality.other_langs
    manifest = json.loads((tuned.model_folder / "manifest.json").read_text("utf-8"))
    assert manifest["quality"]["p_at_1"] == quality.p_at_1
    facts = describe_folder(tuned.model_folder).facts
    assert (facts["held out: pairs"], facts["held out: verdict"]) == (12, quality.verdict)
    rows = (run_folder / "tuned/metrics.jsonl").read_text("utf-8").splitlines()
    assert [row["step"] for row in map(json.loads, rows) if "held_out_p_at_1" in row] == [6]
