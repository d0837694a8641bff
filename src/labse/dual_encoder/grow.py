"""The module that training starts from: a trained model's, perhaps with new layers on top.

Source: progressive stacking (Gong et al. 2019), continued down to zero layers.
"""

import torch
from torch import nn

from labse.errors import UsageError
from labse.model_folder.folder import ModelFolder
from labse.model_folder.torch_model import Undrawn, to_dual_encoder
from labse.network.config import DualEncoderConfig
from labse.network.dual_encoder import DualEncoder

__all__ = ["grow_from_bag", "start_model"]


def start_model(
    folder: ModelFolder, config: DualEncoderConfig, *, sparse_embeddings: bool
) -> DualEncoder:
    """Builds the folder's module in the shape of `config`; new layers draw their weights now.

    Raises:
        UsageError: layers cannot grow on this model.
    """
    model = to_dual_encoder(folder)
    if config.bert.num_hidden_layers != folder.config.bert.num_hidden_layers:
        try:
            return grow_from_bag(model, config, sparse_embeddings=sparse_embeddings)
        except ValueError as error:
            raise UsageError(f"model.bert.num_hidden_layers: {error}") from None
    with Undrawn():
        started = DualEncoder(config, sparse_embeddings=sparse_embeddings)
    started.load_state_dict(model.state_dict())
    return started


@torch.no_grad()
def grow_from_bag(
    bag: DualEncoder, config: DualEncoderConfig, *, sparse_embeddings: bool = False
) -> DualEncoder:
    """Puts layers on top of a model without any; the result gives the same vectors.

    A new layer writes nothing into the residual path, for its two output matrices are 0. What
    remains of it are layer norms, and these are the identity on a normalised vector; so the scale
    and shift of the bag's own norm move into the projection first: with x the normalised vector,

        W (gamma * x + beta) + b = (W diag(gamma)) x + (W beta + b).

    Args:
        bag: zero layers, mean pooling, projection `linear` or `tanh`.
        config: the bag's with `num_hidden_layers`, and what describes a layer, changed.
        sparse_embeddings: see `DualEncoder`.

    Raises:
        ValueError: the model has layers, or no projection to take the scale.
    """
    has_layers = bag.config.bert.num_hidden_layers > 0
    if has_layers or bag.config.pooling != "mean" or bag.dense is None:
        raise ValueError("only a mean-pooled model without layers and with a projection can grow")

    grown = DualEncoder(config, sparse_embeddings=sparse_embeddings)
    grown.bert.embeddings.load_state_dict(bag.bert.embeddings.state_dict())
    dense = grown.dense
    assert dense is not None
    norm = grown.bert.embeddings.norm
    dense.bias.copy_(bag.dense.weight @ norm.bias + bag.dense.bias)
    dense.weight.copy_(bag.dense.weight * norm.weight)
    norm.reset_parameters()

    for layer in grown.bert.layers:
        for output in (layer.attention.output, layer.feed_forward.output):  # type: ignore[union-attr]
            nn.init.zeros_(output.weight)  # type: ignore[union-attr, arg-type]
    return grown
