"""A score that comes with labse: weights in a file, and the model whose vectors they are for.

Takes: a file, and the names of the numbers that it is of. Gives: the weights.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from labse.errors import LabseError
from labse.files.atomic import read_json
from labse.mining.logistic import LogisticModel

__all__ = ["LearntScore", "read_learnt_score"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LearntScore:
    """Weights that come with labse.

    Attributes:
        name: of the score; `benchmarks/NAME.py` learns it.
        model: of named numbers.
        encoder_sha256: of the vectors that it was learnt with.
        about: licence, attribution and what else is said of the data.
    """

    name: str
    model: LogisticModel
    encoder_sha256: str
    about: dict[str, object]

    def warn_of_other_encoder(self, model_sha256: str | None) -> None:
        """Logs that a model is another one than the score was learnt with."""
        if model_sha256 not in (None, self.encoder_sha256):
            _LOGGER.warning(
                "the %s score was learnt with the vectors of the model that comes with labse: "
                "with another one it orders pairs less well and is no probability; "
                "benchmarks/%s.py learns it anew",
                *(self.name, self.name),
            )


def read_learnt_score(name: str, path: Path, features: tuple[str, ...]) -> LearntScore:
    """Reads the weights in the package.

    Raises:
        LabseError: they are damaged, or of other numbers than `features`.
    """
    value = read_json(path)
    model = LogisticModel.from_json(value["model"])  # type: ignore[arg-type]
    if model.names != features:
        raise LabseError(f"{path}: made by another version; install labse anew")
    about: dict[str, object] = value["about"]  # type: ignore[assignment]
    return LearntScore(name, model, str(value["encoder_sha256"]), about)
