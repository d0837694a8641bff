from dataclasses import replace

import numpy as np
import pytest

from labse.encoder.protocol import Encoder
from labse.errors import UsageError
from labse.evaluation.datasets import AlignedLines
from labse.evaluation.near_misses import NearMiss
from labse.evaluation.significance import build_sample
from labse.evaluation.xsim import (
    XsimScore,
    build_xsim_report,
    evaluate_xsim,
    evaluate_xsim_files,
)


def score(
    encoder: Encoder, source: list[str], target: list[str], *near_misses: NearMiss, k: int = 4
) -> XsimScore:
    return evaluate_xsim(
        encoder,
        source,
        target,
        data="toy",
        lang_pair="deu-eng",
        near_misses=near_misses,
        k=k,
    )


def test_errors_by_hand(encoder: Encoder) -> None:
    found = score(encoder, ["de:0", "de:1", "de:2+1*0.2"], ["en:0", "en:1", "en:1+2*0.9"])
    assert found.error == 0.0
    found = score(encoder, ["de:0", "de:1", "de:1"], ["en:0", "en:1", "en:2"])
    assert found.error == pytest.approx(1 / 3)
    assert found.metric == "xsim_error"
    assert found.signature.startswith(
        "xsim_error|data:toy|lang_pair:deu-eng|margin:ratio|k:4|match:text|max_seq_length:16|v:"
    )
    assert found.sample.values[:, 0].tolist() == [0, 0, 1]


def test_a_target_of_equal_text_is_the_same_target(encoder: Encoder) -> None:
    assert score(encoder, ["de:0", "fr:0", "de:1"], ["en:0", "en:0", "en:1"]).error == 0.0


def test_a_near_miss_that_is_nearer_is_an_error_of_its_kind(encoder: Encoder) -> None:
    source, target = ["de:0+5*0.5", "de:1"], ["en:0", "en:1"]
    fooling = NearMiss(0, "number", "en:0+5*0.4")
    harmless = NearMiss(1, "negation", "en:1+6*5")
    found = score(encoder, source, target, fooling, harmless)
    assert found.error == 0.5
    assert found.kinds == (("number", 1),)
    assert found.num_near_misses == 2
    assert "|near_misses:negation+number|num_near_misses:2|" in found.signature
    assert found.signature.startswith("xsimpp_error|")


def test_a_near_miss_that_is_a_target_is_left_out(encoder: Encoder) -> None:
    found = score(encoder, ["de:0", "de:1"], ["en:0", "en:1"], NearMiss(0, "number", "en:1"))
    assert found.num_near_misses == 0


def test_one_line_and_k_above_the_corpus_are_fine(encoder: Encoder) -> None:
    assert score(encoder, ["de:0"], ["en:0"], k=100).error == 0.0


def test_it_is_lasers_definition_written_as_a_double_loop() -> None:
    # facebookresearch/LASER, source/xsim.py: _score_knn and _score_margin.
    generator = np.random.default_rng(3)
    count, k = 40, 4
    source = generator.standard_normal((count, 8)).astype(np.float32)
    target = source + 0.9 * generator.standard_normal((count, 8)).astype(np.float32)
    x = source / np.linalg.norm(source, axis=1, keepdims=True)
    y = target / np.linalg.norm(target, axis=1, keepdims=True)
    cosines = x @ y.T
    of_x = np.sort(cosines, axis=1)[:, -k:].mean(axis=1)
    of_y = np.sort(cosines, axis=0)[-k:].mean(axis=0)
    errors = 0
    for i in range(count):
        nearest = np.argsort(-cosines[i])[:k]
        margins = [cosines[i, j] / ((of_x[i] + of_y[j]) / 2) for j in nearest]
        errors += int(nearest[int(np.argmax(margins))] != i)

    class Table:
        def encode(self, sentences: list[str], /) -> np.ndarray:
            rows = {"x": source, "y": target}
            return np.array([rows[text[0]][int(text[1:])] for text in sentences])

    found = score(
        Table(),  # type: ignore[arg-type]
        [f"x{n}" for n in range(count)],
        [f"y{n}" for n in range(count)],
    )
    assert 0 < errors < count
    assert found.error == pytest.approx(errors / count)


def test_unaligned_or_no_sentences_are_a_wrong_call(encoder: Encoder) -> None:
    for source, target in ((["de:0"], []), ([], [])):
        with pytest.raises(ValueError, match="aligned sentences"):
            score(encoder, source, target)


def files() -> list[AlignedLines]:
    return [
        AlignedLines("deu", ("de 1:0", "de:1")),
        AlignedLines("eng", ("en 1:0", "en:1")),
        AlignedLines("fra", ("fr:1", "fr:0")),
    ]


def test_a_folder_gives_xsim_and_xsimpp_of_each_pair(encoder: Encoder) -> None:
    found = evaluate_xsim_files(encoder, files(), "en", data="toy", per_kind=1)
    pairs = [(each.lang_pair, each.metric) for each in found]
    assert pairs == [
        (pair, metric)
        for pair in ("deu-eng", "fra-eng")
        for metric in ("xsim_error", "xsimpp_error")
    ]
    assert [each.error for each in found if each.metric == "xsim_error"] == [0.0, 1.0]
    assert len(encoder.calls) == 1  # type: ignore[attr-defined]


def test_zero_near_misses_leave_xsimpp_out(encoder: Encoder) -> None:
    found = evaluate_xsim_files(encoder, files(), "eng", data="toy", per_kind=0)
    assert {each.metric for each in found} == {"xsim_error"}


def test_a_target_without_a_file_or_without_near_misses_is_a_usage_error(encoder: Encoder) -> None:
    with pytest.raises(UsageError, match="no file for the target 'swe'; there are deu eng fra"):
        evaluate_xsim_files(encoder, files(), "swe", data="toy")
    blank = [AlignedLines("deu", ("x:a",)), AlignedLines("eng", ("x",))]
    with pytest.raises(UsageError, match="no near-misses can be written for eng"):
        evaluate_xsim_files(encoder, blank, "eng", data="toy")


PLAIN = XsimScore(
    lang_pair="deu-eng",
    num_pairs=4,
    num_near_misses=0,
    error=0.25,
    kinds=(),
    signature="xsim_error|data:toy|lang_pair:deu-eng|k:4",
    sample=build_sample("deu-eng xsim_error", [[0, 0, 0, 1]], "abcd"),
)
HARD = replace(
    PLAIN,
    num_near_misses=3,
    error=0.5,
    kinds=(("number", 2),),
    signature="xsimpp_error|data:toy|lang_pair:deu-eng|k:4",
    sample=build_sample("deu-eng xsimpp_error", [[0, 0, 1, 1]], "abcd"),
)


def test_xsim_and_xsimpp_stand_in_rows_with_the_kinds_that_fooled() -> None:
    report = build_xsim_report("toy", [PLAIN, HARD])
    assert report.tables[0].headers[-1] == "number"
    assert report.tables[0].rows == (
        ("deu-eng", "xsim", "4", "0", "25.0", ""),
        ("deu-eng", "xsim++", "4", "3", "50.0", "2"),
    )
    assert len(report.notes) == 1
    assert build_xsim_report("toy", [PLAIN]).notes == ()


def test_the_mean_of_pairs_names_them_all_in_its_signature() -> None:
    other = replace(
        PLAIN,
        lang_pair="fra-eng",
        error=0.75,
        sample=build_sample("fra-eng xsim_error", [[1, 1, 1, 0]], "abcd"),
    )
    report = build_xsim_report("toy", [PLAIN, other])
    mean = report.scores[0]
    assert (mean.name, mean.value) == ("mean", pytest.approx(0.5))
    assert mean.signature == "xsim_error|data:toy|lang_pair:deu-eng+fra-eng|k:4"
    assert mean.samples == ("deu-eng xsim_error", "fra-eng xsim_error")
    assert report.tables[0].rows[-1] == ("mean", "xsim", "", "", "50.0")
