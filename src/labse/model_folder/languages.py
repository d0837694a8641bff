"""The languages of a model: what it was trained on, how it did in tests, whether it serves.

Takes: a model folder with `languages.tsv`. Gives: a row a language.
Source: recipes/default/package.py writes the file, from the pairs and the reports of the tests.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from labse.errors import LabseError
from labse.files.text import read_lines
from labse.model_folder.hub import locate_model

__all__ = ["LANGUAGES_NAME", "ModelLanguage", "Verdict", "model_languages", "read_languages"]

LANGUAGES_NAME = "languages.tsv"

Verdict: TypeAlias = Literal["good", "weak", "not usable", "not judged"]

_COLUMNS = ("lang", "name", "pairs", "verdict")  # Further columns are test sets.


@dataclass(frozen=True, slots=True)
class ModelLanguage:
    """One language of a model.

    Attributes:
        lang: canonical tag.
        name: in English.
        num_pairs: of translations that the model was trained on.
        verdict: what the lowest score says; `not judged` without a score.
        scores: P@1 from 0 to 1, mean of both directions with English, by the name of the test set.
    """

    lang: str
    name: str
    num_pairs: int
    verdict: Verdict
    scores: Mapping[str, float]


def model_languages(model: str | Path | None = None) -> tuple[ModelLanguage, ...]:
    """Returns the languages that a model was trained on or judged in, by their names.

    Args:
        model: folder or name of the model; None: the model that comes with labse.

    Raises:
        LabseError: there is no such model, or its folder does not say.
    """
    folder = locate_model(model)
    if not (folder / LANGUAGES_NAME).is_file():
        raise LabseError(
            f"{folder}: does not say which languages it was trained on (no {LANGUAGES_NAME}); "
            "labse evaluate judges a model on your languages"
        )
    return read_languages(folder)


def read_languages(folder: Path) -> tuple[ModelLanguage, ...]:
    """Returns the rows of `languages.tsv` in a model folder; none if there is no such file.

    Raises:
        LabseError: the file is broken.
    """
    path = folder / LANGUAGES_NAME
    if not path.is_file():
        return ()
    rows = csv.DictReader(read_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)
    if missing := sorted(set(_COLUMNS) - set(rows.fieldnames or ())):
        raise LabseError(f"{path}: line 1: the column {missing[0]} is missing")
    return tuple(_read_row(path, number, row) for number, row in enumerate(rows, 2))


def _read_row(path: Path, number: int, row: Mapping[str, str | None]) -> ModelLanguage:
    try:
        lang, name, pairs, verdict = (str(row[column]) for column in _COLUMNS)
        scores = {
            column: float(cell) for column, cell in row.items() if column not in _COLUMNS and cell
        }
        return ModelLanguage(lang, name, int(pairs), _as_verdict(verdict), scores)
    except (TypeError, ValueError) as error:
        raise LabseError(f"{path}: line {number}: {error}") from None


def _as_verdict(text: str) -> Verdict:
    for verdict in get_args(Verdict):
        if text == verdict:
            return verdict  # type: ignore[no-any-return]
    raise ValueError(f"verdict {text!r}: none of {', '.join(get_args(Verdict))}")
