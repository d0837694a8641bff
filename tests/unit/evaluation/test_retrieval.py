import pytest

from labse.encoder.protocol import Encoder
from labse.errors import LabseError
from labse.evaluation.datasets import AlignedLines
from labse.evaluation.report import report_dict
from labse.evaluation.retrieval import evaluate_retrieval
from labse.evaluation.significance import score_samples


def lines(lang: str, *meanings: str) -> AlignedLines:
    return AlignedLines(lang, tuple(f"{lang}:{meaning}" for meaning in meanings))


def test_every_ordered_pair_by_hand(encoder: Encoder) -> None:
    # French line 2 means 1: it finds line 1 of the others, and nobody finds it.
    files = [lines("deu", "0", "1", "2"), lines("eng", "0", "1", "2"), lines("fra", "0", "1", "1")]
    report = evaluate_retrieval(encoder, files, name="toy")
    # deu:2 and fra have nothing in common; all are equally far, so the first counts: a miss.
    third = pytest.approx(2 / 3)
    value = report_dict(report)
    assert value["p_at_1"] == [[None, 1.0, third], [1.0, None, third], [third, third, None]]
    assert value["langs"] == ["deu", "eng", "fra"]
    (mean,) = report.scores
    assert mean.value == pytest.approx((1 + 1 + 4 * 2 / 3) / 6)
    assert mean.signature.startswith(
        "p_at_1|data:toy|langs:deu+eng+fra|dir:both|lines:3|max_seq_length:16|norm:l2|v:"
    )
    assert score_samples(report.samples) == pytest.approx(mean.value)
    assert [bar.value for bar in report.bars] == pytest.approx([5 / 6, 5 / 6, 2 / 3])
    assert report.tables[0].rows[0] == ("deu", "83.3", "83.3", "fra 66.7")
    assert report.heat_map is not None


def test_the_block_size_changes_nothing(encoder: Encoder) -> None:
    files = [lines(lang, *map(str, range(20))) for lang in ("deu", "eng")]
    reports = [
        evaluate_retrieval(encoder, files, name="toy", block_rows=rows) for rows in (3, 2048)
    ]
    assert reports[0].scores == reports[1].scores


def test_one_line_is_found_by_everyone(encoder: Encoder) -> None:
    files = [lines("deu", "0"), lines("eng", "1")]
    report = evaluate_retrieval(encoder, files, name="toy")
    assert report.scores[0].value == 1.0


def test_fewer_than_two_languages_or_unequal_lines_are_a_wrong_call(encoder: Encoder) -> None:
    for files in ([lines("deu", "0")], [lines("deu", "0"), lines("eng", "0", "1")]):
        with pytest.raises(ValueError, match="two or more languages"):
            evaluate_retrieval(encoder, files, name="toy")


def test_a_broken_encoder_is_told_with_its_sentence() -> None:
    class Nan:
        def encode(self, sentences: object, /) -> object:
            return [[float("nan")]] * len(sentences)  # type: ignore[arg-type]

    with pytest.raises(LabseError, match="NaN or infinity for 'deu:0'"):
        evaluate_retrieval(
            Nan(),  # type: ignore[arg-type]
            [lines("deu", "0"), lines("eng", "0")],
            name="toy",
        )
