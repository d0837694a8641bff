import pytest

from labse.rating.agreement import krippendorff_alpha


def test_alpha_is_that_of_the_published_example() -> None:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four observers,
    # twelve units, nominal data with missing values: .743.
    observers = ["1233 2141 2...", "1233 2241 25.3", ".333 2342 251.", "1233 2441 251."]
    rows = [row.replace(" ", "") for row in observers]
    units = [[label for label in column if label != "."] for column in zip(*rows, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_nothing_to_compare_is_none() -> None:
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1
