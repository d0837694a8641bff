import pytest

from labse import __version__
from labse.evaluation.protocol import build_signature, describe_length


def test_fields_keep_their_order_and_the_version_ends_the_line() -> None:
    signature = build_signature("bucc_f1", {"data": "bucc", "k": 4})
    assert signature == f"bucc_f1|data:bucc|k:4|v:{__version__}"


@pytest.mark.parametrize(("metric", "value"), [("", "x"), ("p_at_1", ""), ("p_at_1", "a|b")])
def test_a_part_that_would_not_read_back_is_refused(metric: str, value: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        build_signature(metric, {"data": value})


def test_an_encoder_that_does_not_cut_has_no_length() -> None:
    assert [describe_length(length) for length in (None, 64)] == ["none", "64"]
