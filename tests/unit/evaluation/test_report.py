import io
import json
from pathlib import Path

from rich.console import Console

from labse.evaluation.datasets import TATOEBA_GROUPS
from labse.evaluation.report import render_report, report_dict, write_report
from labse.evaluation.tatoeba import IncompleteGroup, MeanScore, TatoebaReport, TatoebaScore


def build_report() -> TatoebaReport:
    return TatoebaReport(
        langs=(TatoebaScore("deu", 1000, 0.905, 0.915), TatoebaScore("zz9", 2, 0.5, 1.0)),
        mean=MeanScore("mean", 2, 0.83, 0.7025, 0.9575, "p_at_1|langs:deu+zz9"),
        groups=(MeanScore("14", 14, 0.9411, 0.94, 0.9422, "p_at_1|langs:14"),),
        incomplete_groups=(IncompleteGroup("112", 112, TATOEBA_GROUPS["112"][:9]),),
    )


def rendered(report: TatoebaReport) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100).print(render_report(report))
    return stream.getvalue()


def cells(text: str, first: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {first} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_table_shows_each_language_in_percent() -> None:
    text = rendered(build_report())
    assert cells(text, "deu") == ["deu", "German", "1,000", "90.5", "91.5", "91.0"]
    assert cells(text, "zz9") == ["zz9", "", "2", "50.0", "100.0", "75.0"]


def test_groups_stand_beside_the_numbers_of_the_paper() -> None:
    text = rendered(build_report())
    assert cells(text, "14") == ["14", "14", "94.0", "94.2", "94.1", "95.3", "95.3"]
    assert cells(text, "all given")[1:5] == ["2", "70.2", "95.8", "83.0"]


def test_every_mean_has_its_signature_and_every_missing_group_its_reason() -> None:
    text = rendered(build_report())
    assert "p_at_1|langs:14\np_at_1|langs:deu+zz9\n" in text
    assert "group 112 left out: 9 of its 112 sets missing" in text
    assert "and 1 more" in text


def test_the_file_holds_the_report_as_json(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", build_report())
    value = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert value == report_dict(build_report())
    assert value["langs"][0] == {
        "lang": "deu",
        "name": "German",
        "num_pairs": 1000,
        "p_at_1_to_english": 0.905,
        "p_at_1_from_english": 0.915,
        "p_at_1": 0.91,
    }
    assert value["langs"][1]["name"] is None
    assert value["groups"][0]["paper"] == {"LaBSE": 0.953, "LASER": 0.953, "m-USE": 0.939}
    assert value["incomplete_groups"][0]["num_langs"] == 112
    assert value["mean"]["signature"] == "p_at_1|langs:deu+zz9"
