from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.corpus.writers import write_rows
from labse.errors import LabseError, ResourceError, UsageError
from labse.rating.labels import SCHEMES
from labse.rating.rating_file import RatingFile
from labse.rating.ratings import MinedRow, read_gold_pairs, read_mined, read_ratings
from labse.rating.sample import draw_sample, sample_order

ROWS = [MinedRow(n, 1 / n, f"source {n}", f"ziel ä {n}") for n in range(1, 6)]


def read_all_mined(path: Path) -> list[MinedRow]:
    return list(read_mined(path))


def write_mined(path: Path, num_rows: int) -> Path:
    rows = [f"{2 - n / num_rows}\tsource {n}\ttarget {n}\t{n}\t{n}\n" for n in range(num_rows)]
    path.write_text("".join(rows))
    return path


@pytest.mark.parametrize("name", ["m.tsv", "m.jsonl", "m.parquet"])
def test_mined_tables_are_read_by_the_names_of_their_columns(tmp_path: Path, name: str) -> None:
    columns = ("source", "margin_score", "target", "source_line")
    rows = [("eins", 1.5, "one", 7), ("zwei", 1.25, "two", 3)]
    write_rows(tmp_path / name, columns, rows)
    read = [(row.score, row.source, row.target) for row in read_mined(tmp_path / name)]
    assert read == [(1.5, "eins", "one"), (1.25, "zwei", "two")]
    assert {row.target for row in draw_sample(tmp_path / name, 2, seed=1)} == {"one", "two"}
    assert read_gold_pairs(tmp_path / name) == {("eins", "one"), ("zwei", "two")}


def test_ratings_may_have_a_header(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_text("label\tscore\nGOOD\t1.5\nBAD\t1.0\n")
    ratings = read_ratings(tmp_path / "r.tsv")
    assert (ratings.scores.tolist(), ratings.is_good.tolist()) == ([1.5, 1.0], [True, False])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.integers(0, 99))
def test_the_order_holds_each_row_once(scores: list[float], seed: int) -> None:
    order = sample_order(np.array(scores), seed=seed)
    assert sorted(order.tolist()) == list(range(len(scores)))


def test_each_beginning_of_the_order_is_spread_over_the_scores() -> None:
    scores = np.random.default_rng(1).random(1_000)
    rank = np.argsort(np.argsort(scores))
    for size in (10, 50, 200):
        tenths = Counter((rank[sample_order(scores, seed=3)[:size]] // 100).tolist())
        assert tenths == {tenth: size // 10 for tenth in range(10)}


def test_a_larger_count_only_adds_pairs(tmp_path: Path) -> None:
    path = write_mined(tmp_path / "mined.tsv", 100)
    few, many = draw_sample(path, 20, seed=4), draw_sample(path, 500, seed=4)
    assert many[:20] == few
    assert len(many) == 100
    assert draw_sample(path, 20, seed=5) != few
    assert few[0].source == f"source {few[0].line - 1}"


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "mined.tsv").write_text("")
    with pytest.raises(LabseError, match="nothing to rate"):
        draw_sample(tmp_path / "mined.tsv", 5, seed=1)


def test_ratings_are_appended_and_read_back(tmp_path: Path) -> None:
    out = tmp_path / "rated.tsv"
    with RatingFile(out, ROWS) as file:
        file.rate(ROWS[0], "GOOD")
        file.rate(ROWS[2], "BAD")
        assert out.read_text() == "1.0\tGOOD\tsource 1\tziel ä 1\t1\n" + (
            f"{1 / 3!r}\tBAD\tsource 3\tziel ä 3\t3\n"
        )
    with RatingFile(out, ROWS) as file:
        assert file.labels == {1: "GOOD", 3: "BAD"}
        file.rate(ROWS[1], "SKIP")
    assert len(out.read_text().splitlines()) == 3


def test_undo_takes_the_last_row_away_even_after_a_restart(tmp_path: Path) -> None:
    out = tmp_path / "rated.tsv"
    with RatingFile(out, ROWS) as file:
        file.rate(ROWS[0], "GOOD")
        file.rate(ROWS[1], "BAD")
    with RatingFile(out, ROWS) as file:
        assert file.undo() == ROWS[1]
        file.rate(ROWS[1], "GOOD")
        assert file.undo() == ROWS[1]
        assert file.undo() == ROWS[0]
        assert file.undo() is None
    assert out.read_bytes() == b""


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_row_cut_short_by_a_kill_is_taken_away(tmp_path: Path, cut: int) -> None:
    out = tmp_path / "rated.tsv"
    with RatingFile(out, ROWS) as file:
        file.rate(ROWS[0], "GOOD")
        before = out.read_bytes()
        file.rate(ROWS[1], "GOOD")
    whole = out.read_bytes()
    out.write_bytes(whole[: len(before) + cut % (len(whole) - len(before))])
    with RatingFile(out, ROWS) as file:
        assert file.labels == {1: "GOOD"}
        file.rate(ROWS[1], "GOOD")
    assert out.read_bytes() == whole


@pytest.mark.parametrize("text", ["a letter to a friend\n", "no line end", "1.0\tGOOD\n"])
def test_another_file_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    out = tmp_path / "letter.txt"
    out.write_text(text)
    with pytest.raises(LabseError, match="line 1: not a row of labse rate"):
        RatingFile(out, ROWS)
    assert out.read_text() == text


def test_ratings_of_other_pairs_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "rated.tsv"
    with RatingFile(out, ROWS) as file:
        file.rate(ROWS[4], "GOOD")
    with pytest.raises(UsageError, match="not in this sample"):
        RatingFile(out, ROWS[:3])


def test_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "rated.tsv"
    with (
        RatingFile(out, ROWS),
        pytest.raises(UsageError, match="another labse rate"),
    ):
        RatingFile(out, ROWS)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        RatingFile(tmp_path / "none" / "rated.tsv", ROWS)


def test_rows_are_read_with_their_numbers_and_more_columns_ignored(tmp_path: Path) -> None:
    path = tmp_path / "mined.tsv"
    path.write_text("1.25\ta\tb\n-0.5\tc\td\t7\t8\n")
    assert read_all_mined(path) == [MinedRow(1, 1.25, "a", "b"), MinedRow(2, -0.5, "c", "d")]


def test_gold_pairs_are_a_set(tmp_path: Path) -> None:
    path = tmp_path / "gold.tsv"
    path.write_text("a\tb\na\tb\nc\td\tmore\n")
    assert read_gold_pairs(path) == {("a", "b"), ("c", "d")}


def test_ratings_are_read_in_any_case_and_skips_counted(tmp_path: Path) -> None:
    path = tmp_path / "rated.tsv"
    path.write_text("1.5\tGOOD\ta\tb\t3\n0.5\tbad\n0.7\tSKIP\tc\td\t1\n")
    found = read_ratings(path)
    assert found.scores.tolist() == [1.5, 0.5]
    assert found.is_good.tolist() == [True, False]
    assert found.num_skipped == 1


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_all_mined, "1.0\ta\n", "line 1: 2 columns"),
        (read_all_mined, "1.0\ta\tb\nnan\ta\tb\n", "line 2: the score is 'nan'"),
        (read_all_mined, "inf\ta\tb\n", "line 1: the score is 'inf'"),
        (read_gold_pairs, "a\n", "line 1: 1 column"),
        (read_gold_pairs, "", "empty"),
        (read_ratings, "1.0\n", "line 1: 1 column"),
        (read_ratings, "1.0\tGOOD\n0.9\tMAYBE\n", "line 2: the label is 'MAYBE'"),
        (read_ratings, "GOOD\t1.0\n", "line 1: the score is 'GOOD'"),
    ],
)
def test_a_broken_row_is_told_with_its_line(
    tmp_path: Path, read: Callable[[Path], object], text: str, message: str
) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text(text)
    with pytest.raises(LabseError, match=message):
        read(path)


def test_finer_labels_count_as_good_by_choice(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_text("1.5\tV\n1.4\tMT\n1.3\tSKIP\n1.2\tA\n")
    with pytest.raises(UsageError, match="--good V,F,MT"):
        read_ratings(tmp_path / "r.tsv")
    assert read_ratings(tmp_path / "r.tsv", ["V", "F"]).is_good.tolist() == [True, False, False]
    assert read_ratings(tmp_path / "r.tsv", ["v", "mt"]).is_good.tolist() == [True, True, False]
    with pytest.raises(UsageError, match="--good CC"):
        read_ratings(tmp_path / "r.tsv", ["CC"])
    (tmp_path / "r.tsv").write_text("1.5\tV\n1.4\tCC\n")
    with pytest.raises(LabseError, match="not of one scheme"):
        read_ratings(tmp_path / "r.tsv")


def test_labels_of_several_raters_become_shares_with_their_agreement(tmp_path: Path) -> None:
    for name, labels in (("a", "V V A"), ("b", "V E SKIP")):
        with RatingFile(tmp_path / name, ROWS, SCHEMES["paracrawl"]) as file:
            for row, label in zip(ROWS, labels.split(), strict=False):
                file.rate(row, label)
    ratings = read_ratings([tmp_path / "a", tmp_path / "b"], ["V"])
    assert ratings.is_good.tolist() == [1.0, 0.5, 0.0]
    assert (ratings.num_raters, ratings.num_skipped) == (2, 1)
    # Two items with two labels, V V and V E: D_o = 1/2, D_e = 6/12; alpha = 0.
    assert ratings.alpha == ratings.alpha_good == pytest.approx(0.0)
    (tmp_path / "c").write_text("1.0\tV\n")
    with pytest.raises(LabseError, match="several raters are matched"):
        read_ratings([tmp_path / "a", tmp_path / "c"], ["V"])


def test_strata_of_the_range_are_rated_alike_and_weighted_back(tmp_path: Path) -> None:
    # 900 bad pairs with low scores, 90 good ones with high scores, 10 between.
    rng = np.random.default_rng(5)
    scores = np.concatenate([rng.uniform(0, 0.4, 900), rng.uniform(0.4, 0.6, 10),
                             rng.uniform(0.6, 1, 90)])  # fmt: skip
    rows = [f"{score}\ts{n}\tt{n}\tde\ten" for n, score in enumerate(scores)]
    header = "margin_score\tsource\ttarget\tsource_lang\ttarget_lang\n"
    (tmp_path / "m.tsv").write_text(header + "\n".join(rows) + "\n")
    sample = draw_sample(tmp_path / "m.tsv", 60, seed=1, stratify="score")
    between = [row for row in sample if 0.4 <= row.score < 0.6]
    assert len(between) > 4  # Of an even sample it would be 0.6.
    with RatingFile(tmp_path / "r.tsv", sample) as file:
        for row in sample:
            file.rate(row, "GOOD" if row.score >= 0.6 else "BAD")
    ratings = read_ratings(tmp_path / "r.tsv")
    assert ratings.lang_pairs == ("de-en",) * 60
    assert ratings.weights is not None
    share = ratings.weights[ratings.is_good.astype(bool)].sum() / ratings.weights.sum()
    assert share == pytest.approx(0.09, abs=0.02)
    with RatingFile(tmp_path / "r.tsv", sample) as file:  # It is read again.
        assert len(file.labels) == 60


def test_another_column_may_be_the_score(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text("margin_score\tsource\ttarget\tquality\n1.5\ta\tb\t0.25\n")
    assert [row.score for row in read_mined(tmp_path / "m.tsv", "quality")] == [0.25]
    (tmp_path / "m.tsv").write_text("1.5\ta\tb\n")
    with pytest.raises(LabseError, match="no column quality"):
        draw_sample(tmp_path / "m.tsv", 5, seed=1, score="quality")
