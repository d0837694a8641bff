"""Between a model folder's arrays and the module that is trained."""

from collections.abc import Callable, Mapping, Sequence

import torch
from tokenizers import Tokenizer
from torch.overrides import TorchFunctionMode

from labse.model_folder.folder import ModelFolder
from labse.network.dual_encoder import DualEncoder
from labse.network.names import from_hf_state_dict, to_hf_state_dict

__all__ = ["Undrawn", "to_dual_encoder", "to_model_folder"]

_DENSE = "dense."


class Undrawn(TorchFunctionMode):
    """Leaves the weights of modules built inside undrawn, for they are loaded next.

    A table of 280,000 x 384 would be drawn twice: by torch, and as BERT's. That is 2 s.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Calls `func`, unless it draws numbers into a tensor."""
        options = kwargs or {}
        # torch.nn.init names its tensor, and kaiming_uniform_ is one of it.
        if func.__name__.endswith(("normal_", "uniform_")):
            return args[0] if args else options["tensor"]
        return func(*args, **options)


def to_dual_encoder(folder: ModelFolder) -> DualEncoder:
    """Builds the module that computes what the folder holds, on the CPU."""
    tensors = {name: torch.from_numpy(folder.weights[name]) for name in folder.weights}
    dense = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_DENSE)}
    with Undrawn():
        model = DualEncoder(folder.config)
    model.bert.load_state_dict(from_hf_state_dict(tensors))
    if model.dense is not None:
        named = {name.removeprefix(_DENSE): tensor for name, tensor in dense.items()}
        model.dense.load_state_dict(named)
    return model


def to_model_folder(model: DualEncoder, tokenizer: Tokenizer) -> ModelFolder:
    """Converts a trained model to what `write_model_folder` takes."""
    tensors = to_hf_state_dict(model.bert.state_dict())
    if model.dense is not None:
        tensors |= {f"{_DENSE}{name}": value for name, value in model.dense.state_dict().items()}
    weights = {name: value.detach().float().cpu().numpy() for name, value in tensors.items()}
    return ModelFolder(config=model.config, weights=weights, tokenizer=tokenizer)
