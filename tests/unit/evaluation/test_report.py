import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labse import __version__
from labse.errors import ResourceError, UsageError
from labse.evaluation.pictures import Bar, HeatMap
from labse.evaluation.report import (
    Report,
    Score,
    Table,
    build_signature,
    check_destination,
    format_percent,
    render_markdown,
    report_dict,
    write_report,
)
from labse.evaluation.significance import build_sample, sample_from_dict


def build_report() -> Report:
    return Report(
        data="toy",
        metric="p_at_1",
        scores=(Score("mean", "p_at_1", 0.5, "p_at_1|data:toy|v:0", ("deu",)),),
        tables=(Table("Toy", ("lang", "P@1"), (("d|u", "50.0"),)),),
        samples=(build_sample("deu", [[1, 0]], ["a", "b"]),),
        bars=(Bar("deu", "deu", 0.5),),
        heat_map=HeatMap("toy", ("a",), ("b",), np.array([[0.5]])),
        notes=("a note",),
        details={"langs": ["deu"]},
    )


def test_markdown_has_a_table_a_signature_and_notes() -> None:
    text = render_markdown(build_report())
    assert "| lang | P@1 |\n| --- | ---: |\n| d\\|u | 50.0 |" in text
    assert "```\np_at_1|data:toy|v:0\n```" in text
    assert text.endswith("- a note\n")
    assert "- a note" not in render_markdown(replace(build_report(), notes=()))


def test_json_holds_scores_samples_and_the_details_of_the_protocol(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", build_report())
    value = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert value == report_dict(build_report())
    assert value["langs"] == ["deu"]
    assert value["scores"][0]["samples"] == ["deu"]
    assert sample_from_dict(value["samples"][0], "x").values.tolist() == [[1.0], [0.0]]


def test_a_folder_gets_all_forms(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_report(tmp_path / "out", build_report())
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["heat_map.png", "report.json", "report.md", "report.png"]
    write_report(tmp_path / "out", replace(build_report(), bars=(), heat_map=None))


def test_without_matplotlib_a_folder_has_no_pictures_which_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    check_destination(tmp_path / "out.json")
    assert not caplog.records
    check_destination(tmp_path / "out")
    assert 'pip install "labse[plot]"' in caplog.text
    write_report(tmp_path / "out", build_report())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report.json",
        "report.md",
    ]


def test_a_destination_that_cannot_be_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"ends in \.json"):
        check_destination(tmp_path / "report.txt")
    with pytest.raises(UsageError, match="is a file"):
        check_destination(tmp_path / "file")
    with pytest.raises(ResourceError, match="cannot be written"):
        check_destination(tmp_path / "file" / "report.json")
    with pytest.raises(ResourceError, match="cannot be written"):
        check_destination(tmp_path / "file" / "folder")
    check_destination(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_percent_has_one_digit() -> None:
    assert format_percent(0.9534) == "95.3"


def test_fields_keep_their_order_and_the_version_ends_the_line() -> None:
    signature = build_signature("bucc_f1", {"data": "bucc", "k": 4})
    assert signature == f"bucc_f1|data:bucc|k:4|v:{__version__}"


@pytest.mark.parametrize(("metric", "value"), [("", "x"), ("p_at_1", ""), ("p_at_1", "a|b")])
def test_a_part_that_would_not_read_back_is_refused(metric: str, value: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        build_signature(metric, {"data": value})
