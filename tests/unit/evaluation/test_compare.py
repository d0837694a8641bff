import json
from pathlib import Path

import pytest

from labse.errors import LabseError, UsageError
from labse.evaluation.compare import compare_reports, comparison_table, read_report
from labse.evaluation.report import Report, Score, write_report
from labse.evaluation.significance import build_sample


def save(
    folder: Path,
    name: str,
    hits: list[int],
    *,
    data: str = "toy",
    metric: str = "p_at_1",
    texts: str = "same",
    score: str = "mean",
) -> Path:
    sample = build_sample("deu", [hits], [texts, *map(str, range(len(hits)))])
    scores = (Score(score, metric, sum(hits) / len(hits), f"{metric}|x:{name}", ("deu",)),)
    path = folder / f"{name}.json"
    write_report(path, Report(data, metric, scores, (), (sample,)))
    return path


def test_a_clear_difference_is_told_with_its_interval(tmp_path: Path) -> None:
    first = read_report(save(tmp_path, "a", [0] * 60 + [1] * 40))
    second = read_report(save(tmp_path, "b", [0] * 20 + [1] * 80))
    (found,) = compare_reports(first, second, num_resamples=1000)
    assert found.difference.difference == pytest.approx(0.4)
    # 40 of 100 items gain: by the normal approximation +-1.96 * sqrt(0.4 * 0.6 / 100).
    assert found.difference.low == pytest.approx(0.4 - 0.096, abs=0.02)
    assert found.difference.high == pytest.approx(0.4 + 0.096, abs=0.02)
    assert found.better == str(second.path)
    assert found.signatures == ("p_at_1|x:a", "p_at_1|x:b")
    assert found.to_dict()["num_items"] == 100
    assert found.to_dict()["difference"] == found.difference.difference
    (row,) = comparison_table([found], (str(first.path), str(second.path)), 0.95).rows
    assert (row[3], row[4], row[5], row[-1]) == ("40.00", "80.00", "+40.00", "B")


def test_of_an_error_less_is_better(tmp_path: Path) -> None:
    first = read_report(save(tmp_path, "a", [0] * 60 + [1] * 40, metric="xsim_error"))
    second = read_report(save(tmp_path, "b", [1] * 100, metric="xsim_error"))
    (found,) = compare_reports(first, second, num_resamples=500)
    assert found.better == str(first.path)


def test_what_may_be_chance_is_undecided(tmp_path: Path) -> None:
    first = read_report(save(tmp_path, "a", [0, 1, 0, 1, 1]))
    second = read_report(save(tmp_path, "b", [1, 1, 0, 0, 1]))
    (found,) = compare_reports(first, second, num_resamples=500)
    assert found.better is None
    assert comparison_table([found], ("a", "b"), 0.95).rows[0][-1] == "undecided"


def test_the_same_seed_gives_the_same_interval(tmp_path: Path) -> None:
    first = read_report(save(tmp_path, "a", [0, 1] * 50))
    second = read_report(save(tmp_path, "b", [1, 1, 0, 0] * 25))
    results = [compare_reports(first, second, num_resamples=500, seed=s)[0] for s in (1, 1, 2)]
    intervals = [(found.difference.low, found.difference.high) for found in results]
    assert intervals[0] == intervals[1]


def test_a_folder_stands_for_its_report(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    save(tmp_path / "run", "report", [1, 0])
    assert read_report(tmp_path / "run").data == "toy"


def test_reports_of_other_data_sentences_or_scores_do_not_compare(tmp_path: Path) -> None:
    first = read_report(save(tmp_path, "a", [0, 1]))
    for name, change, message in (
        ("b", {"data": "other"}, "is of toy, .* of other"),
        ("c", {"texts": "others"}, "not of the same sentences"),
        ("d", {"score": "14"}, "no score of the same sets"),
    ):
        second = read_report(save(tmp_path, name, [1, 1], **change))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=message):
            compare_reports(first, second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": []}, "holds no samples"),
        ({"scores": "x"}, "holds no scores"),
        ({"scores": [{"name": "mean"}]}, "scores are damaged"),
        ({"samples": [{"name": "deu"}]}, "samples are damaged"),
    ],
)
def test_what_is_no_report_is_bad_data(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = save(tmp_path, "a", [0, 1])
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), "utf-8")
    with pytest.raises(LabseError, match=message):
        read_report(path)


def test_a_score_without_its_sample_is_bad_data(tmp_path: Path) -> None:
    path = save(tmp_path, "a", [0, 1])
    value = json.loads(path.read_text("utf-8"))
    value["scores"][0]["samples"] = ["fra"]
    path.write_text(json.dumps(value), "utf-8")
    with pytest.raises(LabseError, match="the sample 'fra' is missing"):
        read_report(path)
