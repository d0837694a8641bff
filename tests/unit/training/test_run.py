import pytest
import torch

from labse.errors import ResourceError
from labse.training.run import memory_errors


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
