"""`labse languages`."""

import json

import pytest

from labse.cli import main


def test_it_lists_those_asked_for_and_names_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["languages", "sw", "amharic", "sumerian"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines() if "│" in line] == ["Amharic", "Swahili"]
    assert err == "Sumerian (sux): the model was not trained on it\n"


def test_without_names_it_lists_the_judged_ones_and_counts_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["languages"]) == 0
    out, err = capsys.readouterr()
    assert "Zulu" in out
    assert "not judged" not in out
    assert "--all lists them" in err


def test_json_has_all_or_those_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["languages", "--json"]) == 0
    rows = {row["lang"]: row for row in json.loads(capsys.readouterr().out)["languages"]}
    assert rows["amh"]["scores"].keys() == {"Tatoeba", "TICO-19"}
    assert rows["abk"]["verdict"] == "not judged"
    assert main(["languages", "sw", "--json"]) == 0
    assert [row["lang"] for row in json.loads(capsys.readouterr().out)["languages"]] == ["swa"]
