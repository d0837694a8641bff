from pathlib import Path

import pytest
import torch

from labse.errors import LabseError
from labse.training.run_state import check_finite_state


def test_a_state_is_finite_or_names_what_is_not(tmp_path: Path) -> None:
    state = {"model.a": torch.ones(2), "step": torch.tensor([3])}
    check_finite_state(tmp_path, 7, state, advice="lower it")
    broken = state | {"b": torch.tensor([1.0, torch.inf])}
    with pytest.raises(LabseError, match="step 7: the update left NaN or infinite values in b; no"):
        check_finite_state(tmp_path, 7, broken, advice="lower it")
