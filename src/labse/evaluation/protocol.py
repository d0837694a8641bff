"""What every evaluation shares: the encoder it asks for and the signature of a score.

Takes: a metric and the choices that its value depends on. Gives: one line that names them all.
Source: sacrebleu (Post 2018, arXiv 1804.08771), signatures.
"""

from collections.abc import Mapping

from labse import __version__
from labse.encoder.protocol import Encoder, encode_sentences

__all__ = ["Encoder", "build_signature", "describe_length", "encode_sentences"]


def build_signature(metric: str, fields: Mapping[str, str | int]) -> str:
    """Returns `metric|name:value|...|v:0.1.0`, the fields in their order.

    Raises:
        ValueError: a part is empty or holds `|`, which would read as two fields.
    """
    parts = [metric, *(f"{name}:{value}" for name, value in fields.items()), f"v:{__version__}"]
    for part in parts:
        if "|" in part or not part or part.endswith(":"):
            raise ValueError(f"a signature cannot hold {part!r}")
    return "|".join(parts)


def describe_length(max_seq_length: int | None) -> str:
    """Returns what a signature says of the length at which the encoder cuts."""
    return "none" if max_seq_length is None else str(max_seq_length)
