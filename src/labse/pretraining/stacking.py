"""Progressive stacking: a trained model, twice as deep.

Source: Gong et al. 2019, "Efficient Training of BERT by Progressively Stacking".
"""

import torch

from labse.pretraining.model import MaskedLm

__all__ = ["stack_layers"]


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
