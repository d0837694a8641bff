"""The stages of a run: which depth has which steps.

Source: LaBSE's stages of 3, 6 and 12 layers, arXiv 2007.01852, section 4.
"""

from dataclasses import dataclass

from labse.pretraining.config import PretrainConfig

__all__ = ["Stage", "plan_stages"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps with one depth.

    Attributes:
        number: from 1.
        num_layers: of the encoder.
        first_step: updates done when it begins.
        last_step: updates done when it ends.
    """

    number: int
    num_layers: int
    first_step: int
    last_step: int


def plan_stages(config: PretrainConfig) -> tuple[Stage, ...]:
    """Returns the stages of a run; each has twice the layers of the one before."""
    ends = config.train.stage_ends
    starts = (0, *ends[:-1])
    num_layers = config.model.bert.num_hidden_layers
    return tuple(
        Stage(n + 1, num_layers // 2 ** (len(ends) - 1 - n), starts[n], ends[n])
        for n in range(len(ends))
    )
