import json
from pathlib import Path

import pytest

from labse.errors import LabseError, UsageError
from labse.mining.filter import Bounds, PairScores, broken_bounds, read_scores, score_pairs, to_json


def good(**changes: object) -> PairScores:
    values: dict[str, object] = {
        "is_empty": False,
        "cosine": 0.8,
        "margin": 1.2,
        "length_ratio": 1.5,
        "copy_ratio": 0.1,
        "same_numbers": True,
        "same_names": True,
        "langid": (1.0, 0.5),
    }
    return PairScores(**(values | changes))  # type: ignore[arg-type]


def test_a_pair_at_every_bound_is_kept() -> None:
    bounds = Bounds(0.8, 1.2, 1.5, 0.1, 0.5, same_numbers=True, same_names=True)
    assert broken_bounds(good(), bounds) == ()
    assert broken_bounds(good(), Bounds()) == ()


def test_a_bound_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="min_cosine is nan; give a number"):
        Bounds(min_cosine=float("nan"))


@pytest.mark.parametrize(
    ("change", "bounds", "reason"),
    [
        ({"cosine": 0.79}, Bounds(min_cosine=0.8), "min_cosine"),
        ({"margin": 1.19}, Bounds(min_margin=1.2), "min_margin"),
        ({"length_ratio": 1.6}, Bounds(max_length_ratio=1.5), "max_length_ratio"),
        ({"copy_ratio": 1.0}, Bounds(max_copy_ratio=0.9), "max_copy_ratio"),
        ({"langid": (1.0, 0.0)}, Bounds(min_langid=0.5), "min_langid"),
        ({"same_numbers": False}, Bounds(same_numbers=True), "same_numbers"),
        ({"same_names": False}, Bounds(same_names=True), "same_names"),
        ({"is_empty": True}, Bounds(), "empty"),
    ],
)
def test_each_bound_drops_by_its_name(change: dict, bounds: Bounds, reason: str) -> None:
    assert broken_bounds(good(**change), bounds) == (reason,)
    if reason != "empty":
        assert broken_bounds(good(**change), Bounds()) == ()


def test_all_broken_bounds_are_told() -> None:
    bounds = Bounds(min_cosine=0.9, max_length_ratio=1.1)
    assert broken_bounds(good(), bounds) == ("min_cosine", "max_length_ratio")


def test_a_bound_on_a_score_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LabseError, match="min_margin is set, and the scores have no margin"):
        broken_bounds(good(margin=None), Bounds(min_margin=1.0))


def test_texts_are_scored_pair_by_pair() -> None:
    scored = score_pairs(
        ["Hello 25", "", "same words"], ["Hallo du 35", "x", "same words"], [0.5, 0, 1], None, None
    )
    assert [pair.is_empty for pair in scored] == [False, True, False]
    assert scored[0].length_ratio == 11 / 8
    assert [pair.same_numbers for pair in scored] == [False, True, True]
    assert [pair.copy_ratio for pair in scored] == [0, 0, 1]
    assert {pair.margin for pair in scored} == {None}


def test_scores_come_back_from_json_as_they_were(tmp_path: Path) -> None:
    written = [good(), good(margin=None, langid=None)]
    (tmp_path / "scores.jsonl").write_text("".join(to_json(pair) + "\n" for pair in written))
    assert list(read_scores(str(tmp_path / "scores.jsonl"))) == written
    assert json.loads(to_json(good()))["langid"] == [1.0, 0.5]
    assert "langid" not in json.loads(to_json(good(langid=None)))


@pytest.mark.parametrize("line", ["{}", "[1]", "nothing", '{"cosine": 1, "other": 2}'])
def test_a_broken_line_of_scores_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "scores.jsonl").write_text(to_json(good()) + "\n" + line + "\n")
    with pytest.raises(LabseError, match=r"scores.jsonl, line 2: not a line of labse filter"):
        list(read_scores(str(tmp_path / "scores.jsonl")))


def test_languages_are_sure_unknown_or_other() -> None:
    pytest.importorskip("pycld2")
    pytest.importorskip("py3langid")
    german = "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter von gestern."
    english = "This is a very ordinary English sentence about the weather of yesterday."
    scored = score_pairs([german, german], [english, german], [1, 1], None, ("deu", "eng"))
    assert [pair.langid for pair in scored] == [(1.0, 1.0), (1.0, 0.0)]
