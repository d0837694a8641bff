from pathlib import Path

import pytest

from labse.encoder.protocol import Encoder
from labse.errors import LabseError
from labse.evaluation.sts import StsPairs, evaluate_sts, read_sts


def test_three_columns_need_no_first_line(tmp_path: Path) -> None:
    path = tmp_path / "toy.test.tsv"
    path.write_text("a\tb\t1.5\nc\td\t0\n", "utf-8")
    assert read_sts(path) == StsPairs("toy", ("a", "c"), ("b", "d"), (1.5, 0.0))


def test_a_first_line_names_columns_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "toy.tsv"
    path.write_text("score\tyear\tsentence1\tsentence2\n5\t12\ta\tb\n1\t13\tc\td\n", "utf-8")
    assert read_sts(path) == StsPairs("toy", ("a", "c"), ("b", "d"), (5.0, 1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\t1\nc\td\n", "line 2: 2 columns, expected 3"),
        ("a\tb\thigh\n", "line 1: 'high' is no number"),
        ("a\tb\tnan\n", "'nan' is no number"),
        ("a\tb\t1\n", "1 pairs; an order needs at least two"),
        ("", "0 pairs"),
    ],
)
def test_a_broken_table_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "toy.tsv").write_text(text, "utf-8")
    with pytest.raises(LabseError, match=message):
        read_sts(tmp_path / "toy.tsv")


def test_cosines_in_the_order_of_people_correlate_fully(encoder: Encoder) -> None:
    # Cosines 1, about 0.71 and 0.
    good = StsPairs("good", ("a:0", "a:0", "a:0"), ("b:0", "b:0+1", "b:1"), (5, 3, 1))
    bad = StsPairs("bad", good.source, good.target, (1, 3, 5))
    report = evaluate_sts(encoder, [good, bad])
    assert [score.value for score in report.scores] == pytest.approx([1.0, -1.0])
    assert report.scores[0].signature.startswith("spearman|data:good|pairs:3|similarity:cosine|")
    assert report.tables[0].rows == (("good", "3", "100.0"), ("bad", "3", "-100.0"))
    assert report.samples[0].statistic == "spearman"


def test_no_set_or_two_of_one_name_are_a_wrong_call(encoder: Encoder) -> None:
    pairs = StsPairs("x", ("a:0", "a:1"), ("b:0", "b:1"), (1, 2))
    for sets in ([], [pairs, pairs]):
        with pytest.raises(ValueError, match="different names"):
            evaluate_sts(encoder, sets)
