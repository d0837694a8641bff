"""A model under training as an encoder, and the golden vectors that go into its folder.

Takes: the module and its tokenizer. Gives: an encoder, or the content of `golden.safetensors`.
"""

from tokenizers import Tokenizer

from labse.encoder.check.golden import GOLDEN_NAME, build_golden
from labse.encoder.runtimes.torch_runtime import TorchRuntime
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.network.dual_encoder import DualEncoder

__all__ = ["build_encoder", "golden_files"]


def build_encoder(model: DualEncoder, tokenizer: Tokenizer) -> SentenceEncoder:
    """Returns an encoder that reads the module's weights at each call, on their device."""
    return SentenceEncoder(
        TorchRuntime(model), tokenizer, max_seq_length=model.config.max_seq_length
    )


def golden_files(model: DualEncoder, tokenizer: Tokenizer) -> dict[str, bytes]:
    """Returns, by its name, the file of vectors that the model must give whenever it is loaded."""
    return {GOLDEN_NAME: build_golden(build_encoder(model, tokenizer))}
