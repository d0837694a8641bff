import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.training.schedule import linear_schedule


def test_rate_climbs_to_its_peak_and_falls_to_zero() -> None:
    rates = [linear_schedule(s, warmup_steps=4, train_steps=10) for s in range(11)]
    # min(1, (s + 1) / 4) * (1 - s / 10), by hand.
    assert rates == pytest.approx([0.25, 0.45, 0.6, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_without_warmup_the_first_update_has_the_full_rate() -> None:
    assert linear_schedule(0, warmup_steps=0, train_steps=3) == 1.0


@given(step=st.integers(0, 999), warmup=st.integers(0, 2000))
def test_rate_is_never_negative_nor_above_the_peak(step: int, warmup: int) -> None:
    assert 0 < linear_schedule(step, warmup_steps=warmup, train_steps=1000) <= 1
