"""Optional packages and seeds.

Takes: the name of a package or a seed. Gives: the module, or an error that says what to install.
Source: docs/design.md, base install without torch.
"""

import importlib
import random
from types import ModuleType

import numpy as np

from labse.errors import ResourceError

__all__ = ["require", "seed_everything"]


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional module.

    Raises:
        ResourceError: it is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ResourceError(
            f'this needs {error.name}, which is not installed; run: pip install "labse[{extra}]"'
        ) from None


def seed_everything(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and torch; the only place that touches them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    require("torch", "train").manual_seed(seed)
