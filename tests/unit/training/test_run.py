from pathlib import Path

import pytest
import torch

from labse.errors import LabseError, ResourceError
from labse.training.run import memory_errors
from labse.training.run_state import check_finite_state


def test_an_allocation_that_fails_says_what_to_lower() -> None:
    with (
        pytest.raises(ResourceError, match="too little memory; lower that"),
        memory_errors("lower that"),
    ):
        torch.empty(1 << 60)
    with pytest.raises(ResourceError, match="too little memory"), memory_errors("lower that"):
        raise torch.OutOfMemoryError


def test_another_error_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shape"), memory_errors("lower that"):
        torch.ones(2).view(3)


def test_a_state_is_finite_or_names_what_is_not(tmp_path: Path) -> None:
    state = {"model.a": torch.ones(2), "step": torch.tensor([3])}
    check_finite_state(tmp_path, 7, state, advice="lower it")
    broken = state | {"b": torch.tensor([1.0, torch.inf])}
    with pytest.raises(LabseError, match="step 7: the update left NaN or infinite values in b; no"):
        check_finite_state(tmp_path, 7, broken, advice="lower it")
