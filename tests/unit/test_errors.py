import pytest

from labse.errors import InterruptedRunError, LabseError, ResourceError, UsageError


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(UsageError, 2), (LabseError, 3), (ResourceError, 4), (InterruptedRunError, 5)],
)
def test_every_error_knows_its_exit_code_and_is_caught_as_one(
    error: type[LabseError], exit_code: int
) -> None:
    with pytest.raises(LabseError, match="what to do") as caught:
        raise error("what to do")
    assert caught.value.exit_code == exit_code
