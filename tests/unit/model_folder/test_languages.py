"""The languages that a model says it was trained on."""

from pathlib import Path

import pytest

import labse
from labse.errors import LabseError
from labse.model_folder.languages import ModelLanguage, read_languages

TABLE = """lang\tname\tpairs\tTatoeba\tTICO-19\tverdict
amh\tAmharic\t44432\t0.652\t0.773\tgood
kab\tKabyle\t31015\t0.479\t\tweak
kin-Latn\tA "quoted" name\t7\t\t\tnot judged
"""


def test_a_row_has_the_scores_of_the_sets_that_have_the_language(tmp_path: Path) -> None:
    (tmp_path / "languages.tsv").write_text(TABLE)
    assert read_languages(tmp_path) == (
        ModelLanguage("amh", "Amharic", 44_432, "good", {"Tatoeba": 0.652, "TICO-19": 0.773}),
        ModelLanguage("kab", "Kabyle", 31_015, "weak", {"Tatoeba": 0.479}),
        ModelLanguage("kin-Latn", 'A "quoted" name', 7, "not judged", {}),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the column lang is missing"),
        (TABLE.replace("44432", "many"), "line 2: invalid literal"),
        (TABLE.replace("weak", "fine"), "line 3: verdict 'fine'"),
        (TABLE.replace("0.479", "half"), "line 3: could not convert"),
        (TABLE + "xyz\tShort\n", "line 5"),
    ],
)
def test_a_broken_table_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "languages.tsv").write_text(text)
    with pytest.raises(LabseError, match=said):
        read_languages(tmp_path)


def test_a_model_that_does_not_say_is_told_so(tmp_path: Path) -> None:
    assert read_languages(tmp_path) == ()
    with pytest.raises(LabseError, match="does not say which languages"):
        labse.model_languages(tmp_path)


def test_the_model_that_comes_with_labse_knows_each_language_once() -> None:
    languages = labse.model_languages()
    assert len({language.lang for language in languages}) == len(languages) > 600
    assert all(
        (language.verdict == "not judged") == (not language.scores) for language in languages
    )
