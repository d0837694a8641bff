"""Progressive stacking: a trained model, twice as deep.

Source: Gong et al. 2019, "Efficient Training of BERT by Progressively Stacking"; LaBSE's stages of
3, 6 and 12 layers, arXiv 2007.01852, section 4.
"""

from dataclasses import dataclass

import torch

from labse.pretraining.config import PretrainConfig
from labse.pretraining.model import MaskedLm

__all__ = ["Stage", "plan_stages", "stack_layers"]


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


def stack_layers(model: MaskedLm) -> MaskedLm:
    """Returns a model whose layers are those of `model` and, above them, the same again.

    Embeddings and head are kept: layers 0, 1, 2 become 0, 1, 2, 0, 1, 2. Nothing is shared with
    `model`, and no number is drawn from a generator that others use.
    """
    num_layers = len(model.bert.layers)
    config = model.config.model_copy(update={"num_hidden_layers": 2 * num_layers})
    with torch.random.fork_rng([]):  # Building draws weights, which are replaced.
        grown = MaskedLm(config, max_logits_bytes=model.head.max_logits_bytes)
    state = model.state_dict()
    for name in list(state):
        if name.startswith("bert.layers."):
            _, _, number, rest = name.split(".", 3)
            state[f"bert.layers.{int(number) + num_layers}.{rest}"] = state[name]
    grown.load_state_dict(state)
    return grown.to(model.device).train(model.training)
