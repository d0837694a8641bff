import pytest

from labse.pretraining.config import PretrainConfig
from labse.pretraining.stages import plan_stages


@pytest.mark.parametrize(
    ("reading", "bounds"),
    [
        ("per_stage", [(0, 400), (400, 1200), (1200, 3000)]),
        ("cumulative", [(0, 400), (400, 800), (800, 1800)]),
    ],
)
def test_stages_double_the_layers_in_both_readings_of_their_steps(
    reading: str, bounds: list[tuple[int, int]]
) -> None:
    train = {"stage_steps": [400, 800, 1800], "stage_steps_are": reading}
    config = PretrainConfig.model_validate({"data": {"text": ["a.eng"]}, "train": train})
    stages = plan_stages(config)
    assert [stage.num_layers for stage in stages] == [3, 6, 12]
    assert [(stage.first_step, stage.last_step) for stage in stages] == bounds
