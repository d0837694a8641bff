import pytest

from labse.cli.options import parse_size
from labse.errors import UsageError


@pytest.mark.parametrize(
    ("size", "num_bytes"),
    [
        ("2GB", 2 << 30),
        ("800M", 800 << 20),
        ("1.5 gib", 3 << 29),
        ("16777216", 16 << 20),
        ("1T", 1 << 40),
    ],
)
def test_sizes_are_read_as_people_write_them(size: str, num_bytes: int) -> None:
    assert parse_size(size) == num_bytes


@pytest.mark.parametrize("size", ["", "much", "-1G", "1X"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(UsageError, match="give a size such as 800M"):
        parse_size(size)


@pytest.mark.parametrize("size", ["1", "0.0001G", "1000K"])
def test_memory_that_holds_nothing_is_refused(size: str) -> None:
    with pytest.raises(UsageError, match="give at least 1M"):
        parse_size(size)
