from dataclasses import replace

import pytest

from labse.evaluation.samples import build_sample
from labse.evaluation.tables import build_un_report, build_xsim_report
from labse.evaluation.un import UnScore
from labse.evaluation.xsim import XsimScore

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
UN = UnScore("en-fr", 100, 9_000_000, 0.871, "p_at_1|x:1", build_sample("en-fr", [[1]], "a"))


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


def test_the_papers_un_stands_beside_a_pool_of_its_size_only() -> None:
    assert build_un_report(UN).tables[0].rows == (("en-fr", "100", "9,000,000", "87.1", "88.3"),)
    small = build_un_report(replace(UN, num_pool=1000))
    assert small.tables[0].rows[0][-1] == ""
    assert "10,000,000" in small.notes[0]
    assert build_un_report(replace(UN, lang_pair="en-sw")).tables[0].rows[0][-1] == ""
