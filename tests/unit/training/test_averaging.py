import pytest
from torch import nn

from labse.training.averaging import WeightSum, averaged_steps


@pytest.mark.parametrize(
    ("number", "every", "total", "expected"),
    [
        (2, 5, 12, [10, 12]),
        (3, 5, 12, [5, 10, 12]),
        (2, 6, 12, [6, 12]),
        (1, 50, 12, []),
    ],
)
def test_the_last_due_steps_and_the_end_of_the_run_are_averaged(
    number: int, every: int, total: int, expected: list[int]
) -> None:
    assert averaged_steps(number, checkpoint_every=every, train_steps=total) == expected


def test_more_checkpoints_than_a_run_has_are_refused() -> None:
    with pytest.raises(ValueError, match="4 checkpoints, but the run has 3"):
        averaged_steps(4, checkpoint_every=5, train_steps=12)


def test_the_mean_is_that_of_the_weights_as_they_were() -> None:
    model, summed = nn.Linear(2, 1), WeightSum()
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, value)
        nn.init.constant_(model.bias, -value)
        summed.add(model)
    mean = summed.mean(3)
    assert mean["weight"].tolist() == [[3.0, 3.0]]
    assert mean["bias"].tolist() == [-3.0]


def test_a_sum_goes_on_from_its_tensors() -> None:
    model, first = nn.Linear(1, 1), WeightSum()
    nn.init.constant_(model.weight, 2.0)
    first.add(model)
    second = WeightSum(first.tensors)
    nn.init.constant_(model.weight, 4.0)
    second.add(model)
    assert second.mean(2)["weight"].item() == 3.0
